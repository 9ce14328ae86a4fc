"""Each peer's own Python environment, from a lock file with hashes: benchmarks/.envs/NAME."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
PEERS = BENCHMARKS / "peers"
ENVS = BENCHMARKS / ".envs"


class NotToBeHad(Exception):
    """The environment cannot be made here; the text says why."""


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, made if it is missing or its lock has changed."""
    lock, folder = PEERS / f"{name}.txt", ENVS / name
    python, stamp = folder / "bin" / "python", folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"setting up {folder.relative_to(BENCHMARKS.parent)}", file=sys.stderr)
    try:
        _make(folder, python, lock)
    except subprocess.CalledProcessError as error:
        raise NotToBeHad(error.stderr.decode()[-300:].strip()) from error
    stamp.write_text(digest)
    return python


def _make(folder: Path, python: Path, lock: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock))
        return
    _run(uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder))
    _run(uv, "pip", "install", "-q", "--python", str(python), "--require-hashes", "-r", str(lock))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def version_of(python: Path, distribution: str) -> str:
    """The installed version of a distribution in that environment."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    completed = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=False
    )
    return completed.stdout.strip() or "?"
