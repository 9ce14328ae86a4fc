"""What a stack writes down about itself: `stack.json`, and the lock that orders its changes."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from schemas.errors import Incompatible, Unavailable
from streams.config.project_dir import make_home
from streams.embedded.process import Identity

RECORD_FILE = "stack.json"
LOCK_FILE = "stack.lock"
FORMAT = 2
LOCK_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class StackRecord:
    """Ports and processes of a stack; `ports` are (client, controller) by broker number."""

    cluster_id: str
    ports: dict[int, tuple[int, int]]
    redis_port: int
    processes: dict[str, Identity] = field(default_factory=dict)

    def running(self, name: str, identity: Identity | None) -> StackRecord:
        """Return the same record with one server's process replaced."""
        others = {k: v for k, v in self.processes.items() if k != name}
        return replace(self, processes=others if identity is None else {**others, name: identity})


def load(home: Path) -> StackRecord | None:
    """Return the record of a stack's folder, or None if there is none."""
    try:
        stored = json.loads((home / RECORD_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _unreadable(home) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise _unreadable(home)
    return StackRecord(
        cluster_id=stored["cluster_id"],
        ports={int(node): (two[0], two[1]) for node, two in stored["ports"].items()},
        redis_port=stored["redis_port"],
        processes={name: Identity(**identity) for name, identity in stored["processes"].items()},
    )


def save(home: Path, record: StackRecord) -> None:
    """Write the record; a reader sees the old one or the new one, never a part."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=2)
    partial = home / f"{RECORD_FILE}.{os.getpid()}"
    partial.write_text(text + "\n", "utf-8")
    partial.replace(home / RECORD_FILE)


@contextmanager
def exclusive(home: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock: one `up` or `down` at a time, whichever process asks."""
    descriptor = _lock(home, progress)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(home: Path, progress: Callable[[str], None]) -> int:
    deadline, is_reported = time.monotonic() + LOCK_TIMEOUT_S, False
    while True:
        make_home(home)  # a purge may have removed it while we waited
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(home, descriptor):
                return descriptor
            os.close(descriptor)
            continue
        except BlockingIOError:
            os.close(descriptor)
        if not is_reported:
            progress(f"waiting for another riverrun that starts or stops the servers of {home}")
            is_reported = True
        if time.monotonic() > deadline:
            raise Unavailable(f"Another riverrun has held {home / LOCK_FILE} for too long. End it.")
        time.sleep(0.1)


def _is_current(home: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(home / LOCK_FILE))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _unreadable(home: Path) -> Incompatible:
    return Incompatible(
        f"{home / RECORD_FILE} is not a record that this version reads. `riverrun down --purge` "
        "ends the servers of this folder and removes it."
    )
