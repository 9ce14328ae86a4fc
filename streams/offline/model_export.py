"""A use case's models as a folder that predicts on its own: see `exported_predictor.py.txt`.

predict.py  manifest.json  card.md  requirements.txt
state/<partition>.pickle        the parts of a partition's state, without any event
lib/                            the code that made it: the core, the loader, the use case's file
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from models.task.checkpoint import parts_of
from models.task.partition_task import PartitionTask
from schemas.errors import ConfigError, Incompatible
from streams.config.use_case_loader import LoadedUseCase

NEEDS = ("river", "pydantic", "orjson", "numpy")
"""What an exported model needs to run, besides Python."""
LOADER = (
    "__init__.py",
    "config/__init__.py",
    "config/lazy_river.py",
    "config/lookup_files.py",
    "config/former_names.py",
    "config/use_case_loader.py",
    "unpickling/__init__.py",
    "unpickling/pickle_dry_run.py",
    "unpickling/safe_unpickler.py",
)
RIVER_NAMES = ("unpickling/river_allowlist.py", "unpickling/river_allowlist.txt")
RUNNER = "exported_predictor.py.txt"


@dataclass(slots=True)
class Export:
    """One export under way. take each partition's state → finish. `folder` is not there yet."""

    loaded: LoadedUseCase
    model: str | None
    partitions: int
    states: dict[int, bytes] = field(default_factory=dict)
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, task: PartitionTask) -> None:
        """Keep what a partition's answers depend on. Raises `Incompatible` for another definition.

        Events that wait, are early or are held stay behind: they may be personal, and say nothing.
        """
        if task.definition != self.loaded.definition:
            raise Incompatible(
                f"partition {task.partition} ran under definition {task.definition} there, the "
                f"file is {self.loaded.definition}: export with the file as it was then."
            )
        parts = parts_of(task) | {"early": {}, "quarantine": {}}
        parts["watermark"] = (task.watermark.time, [])
        for name in task.router.names if self.model is not None else ():
            if name != self.model:
                parts.pop(f"slot/{name}", None)
        if task.shared is not None:
            parts["shared"] = task.shared.portable(self.model)
        self.states[task.partition] = pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
        reached = task.watermark.time
        self.positions[str(task.partition)] = {
            "seq": task.seq,
            "step": task.step,
            "watermark": None if reached is None else datetime.fromtimestamp(reached, UTC),
            "learnt": {slot.name: slot.trained_on for slot in task.router.pooled.values()},
        }

    def finish(self, folder: Path, card: str) -> str:
        """Write the folder, whole or not at all, and try it; returns its manifest's SHA-256."""
        if folder.exists():
            raise ConfigError(f"{folder} is there already.", hint="Give another --to.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as staging:
            staged = Path(staging) / "export"
            self._write(staged, card)
            manifest = orjson.dumps(
                self._manifest(staged), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
            )
            (staged / "manifest.json").write_bytes(manifest)
            digest = hashlib.sha256(manifest).hexdigest()
            _try(staged, digest)
            staged.rename(folder)
        return digest

    def _write(self, staged: Path, card: str) -> None:
        lib = staged / "lib"
        for package in ("schemas", "models", "riverrun"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_package(package), lib / package, ignore=ignored)
        for name in (*LOADER, *RIVER_NAMES):
            _copy(_package("streams") / name, lib / "streams" / name)
        _copy(self.loaded.path, lib / "usecases" / self.loaded.path.name)
        for path, name in _beside(self.loaded.source):
            _copy(path, lib / name)
        for file in self.loaded.files:
            if not file.is_movable:
                raise ConfigError(
                    f"{self.loaded.path.name} reads {file.name}, which an export cannot hold.",
                    hint="Put it beside the use case's file, and open it by a path from there.",
                )
            _copy(file.path, lib / "usecases" / file.name)
        (staged / "state").mkdir()
        for partition, data in self.states.items():
            (staged / "state" / f"{partition}.pickle").write_bytes(data)
        (staged / "card.md").write_text(card, "utf-8")
        (staged / "requirements.txt").write_text(
            "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in NEEDS)
        )
        runner = files("streams.offline").joinpath(RUNNER).read_text("utf-8")
        (staged / "predict.py").write_text(runner, "utf-8")

    def _manifest(self, staged: Path) -> dict[str, Any]:
        use_case = self.loaded.use_case
        paths = sorted(path for path in staged.rglob("*") if path.is_file())
        return {
            "use_case": use_case.name,
            "owner": use_case.owner,
            "model": self.model,
            "definition": self.loaded.definition,
            "file": self.loaded.path.name,
            "key": use_case.key,
            "partitions": self.partitions,
            "positions": self.positions,
            "exported_at": datetime.now(UTC),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "versions": {name: importlib.metadata.version(name) for name in ("riverrun", *NEEDS)},
            "files": {
                path.relative_to(staged).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in paths
            },
        }


def _package(name: str) -> Path:
    return Path(str(files(name)))


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _beside(source: str) -> Iterator[tuple[Path, str]]:
    """Return the modules of the package `usecases` that a use case's file imports.

    The packages that contain them are included.
    """
    root = _package("usecases")
    yield root / "__init__.py", "usecases/__init__.py"
    named = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for name in sorted(named):
        parts = name.split(".")
        if parts[0] != "usecases" or len(parts) == 1:
            continue
        path = root.joinpath(*parts[1:])
        for module in (path.with_suffix(".py"), path / "__init__.py"):
            if module.is_file():
                yield module, f"usecases/{module.relative_to(root).as_posix()}"
                yield from _beside(module.read_text("utf-8"))


def _try(staged: Path, digest: str) -> None:
    """Load it as its user will, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", str(staged / "predict.py"), "--check", "--expect", digest],
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(staged / "__pycache__", ignore_errors=True)
    for left in list(staged.rglob("__pycache__")):
        shutil.rmtree(left, ignore_errors=True)
    if done.returncode:
        raise Incompatible(f"what was exported does not load: {done.stderr.strip()[-500:]}")
