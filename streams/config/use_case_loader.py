"""A use case's file, loaded: the object in it, its source and the hash that names its definition.

USECASE is a file's path, or a bare name: `flight_eta` is `usecases/flight_eta.py` here, or the one
that riverrun brings. The definition is a SHA-256, cut to 12 hex digits, of all that its floats
depend on: the file's text without trailing white space (any other change, a comment too, is a new
definition) and the runtime: Python's minor version, River's version, and riverrun's own core.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import platform
import sys
import traceback
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.usecase import UseCase
from schemas.errors import Misdeclared


@dataclass(frozen=True, slots=True)
class Loaded:
    """A use case with where it came from."""

    use_case: UseCase
    path: Path
    source: str
    definition: str


def definition_of(source: str, run_by: str | None = None) -> str:
    """The hash of a definition under a runtime (default: this one): 12 hex digits."""
    lines = "\n".join(line.rstrip() for line in source.strip().splitlines())
    text = f"{lines}\n{runtime() if run_by is None else run_by}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def runtime() -> str:
    """What else the floats depend on, in words."""
    core = hashlib.sha256()
    for package in ("models", "schemas"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        for place in spec.submodule_search_locations or ():
            for file in sorted(Path(place).rglob("*.py")):
                core.update(file.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    river = importlib.metadata.version("river")
    return f"python {python}, river {river}, riverrun core {core.hexdigest()[:12]}"


def find(name: str) -> Path:
    """The file of a use case; raises `Misdeclared` that lists where it was looked for."""
    asked = Path(name)
    if asked.suffix == ".py":
        if asked.is_file():
            return asked.resolve()
        raise Misdeclared(f"There is no file {name}.", mend="`riverrun new NAME` writes one.")
    for place in (Path("usecases"), *_brought()):
        if (place / f"{name}.py").is_file():
            return (place / f"{name}.py").resolve()
    near = difflib.get_close_matches(name, known(), 1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise Misdeclared(
        f"There is no use case {name!r}; there are: {', '.join(known())}.{meant}",
        mend=f"Give a path, or `riverrun new {name}` to begin one.",
    )


def known() -> list[str]:
    """The bare names of the use cases here and of those that riverrun brings."""
    places = (Path("usecases"), *_brought())
    files = (path for place in places for path in place.glob("*.py"))
    return sorted({path.stem for path in files if not path.name.startswith("_")})


def check_has(case: UseCase, model: str) -> None:
    """Whether a use case has that model; `Misdeclared` says which it has."""
    if model not in case.models:
        raise Misdeclared(
            f"{case.name} has no model {model!r}.", mend=f"It has: {', '.join(case.models)}."
        )


def load(name: str) -> Loaded:
    """Run a use case's file and take the one `UseCase` that it makes.

    Raises `Misdeclared`, with the line where it is known, if the file fails or makes none or many.
    """
    path = find(name)
    source = path.read_text()
    module = f"usecases.{path.stem}"
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded  # pydantic looks a model's annotations up there
    try:
        spec.loader.exec_module(loaded)
    except Misdeclared:
        raise
    except Exception as error:  # whatever the author's file raises is a mistake in it
        raise Misdeclared(
            f"{path.name} failed: {type(error).__name__}: {error}.",
            mend="Mend the line that is named.",
            line=_line_in(path, error),
        ) from error
    found = [value for value in vars(loaded).values() if isinstance(value, UseCase)]
    if len({id(value) for value in found}) != 1:
        raise Misdeclared(
            f"{path.name} makes {len(found)} use cases.", mend="Make one `UseCase(...)` in a file."
        )
    return Loaded(found[0], path, source, definition_of(source))


@contextmanager
def standing_in(module: str, namespace: dict[str, Any]) -> Iterator[None]:
    """While it lasts, `module` is what holds these names: pickles of an older definition's classes
    and functions are by the same module's name as the newer one's.
    """
    stand_in, current = types.ModuleType(module), sys.modules.get(module)
    vars(stand_in).update(namespace)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        if current is None:
            del sys.modules[module]
        else:
            sys.modules[module] = current


def namespace_of(module: str, functions: Iterable[Any]) -> dict[str, Any]:
    """The names of the module that a use case's functions were written in."""
    for function in functions:
        if getattr(function, "__module__", None) == module and hasattr(function, "__globals__"):
            found: dict[str, Any] = function.__globals__
            return found
    return vars(sys.modules[module])


@cache
def versions() -> dict[str, str]:
    """The versions that a definition's floats depend on."""
    return {
        "python": platform.python_version(),
        "river": importlib.metadata.version("river"),
        "riverrun": importlib.metadata.version("riverrun"),
    }


def lock() -> str:
    """The installed distributions, `name==version` a line, sorted."""
    lines = {
        f"{dist.metadata['Name']}=={dist.version}" for dist in importlib.metadata.distributions()
    }
    return "\n".join(sorted(lines))


def _brought() -> tuple[Path, ...]:
    spec = importlib.util.find_spec("usecases")
    places = spec.submodule_search_locations if spec else None
    return tuple(Path(place) for place in places or ())


def _line_in(path: Path, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if Path(f.filename) == path), None)
