"""Worker processes: their ids, and the interpreter they need."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from schemas.errors import Incompatible

RECURSION_MAX = 200_000


@contextlib.contextmanager
def claim_instance(group_id: str, wanted: str | None = None) -> Iterator[str]:
    """Yield a static member id that a restarted worker gets again and no other process shares.

    The lowest number of this host and group that no living process holds: a file lock ends with
    its process, kill -9 included. Two members with one id would evict each other for ever.
    """
    folder = _lock_folder()
    names = [wanted] if wanted else [f"{socket.gethostname()}-{n}" for n in range(1_000)]
    for name in names:
        file = _lock(folder / f"{group_id}.{name}.lock")
        if file is not None:
            with file:
                yield name
            return
    raise Incompatible(
        f"worker id {wanted or 'on this host'} is already in use for {group_id}. "
        "Stop that worker, or give another id."
    )


@contextlib.contextmanager
def only_one(command: str, topics: str, servers: str | None) -> Iterator[None]:
    """Keep the same command on the same topics of the same servers from running a second time here.

    Each of two at once would write all. Raises `Incompatible`. Other machines are not seen.
    """
    servers_hash = hashlib.sha256((servers or "").encode()).hexdigest()[:12]
    file = _lock(_lock_folder() / f"{topics}.{command}.{servers_hash}.lock")
    if file is None:
        raise Incompatible(
            f"`riverrun {command}` runs for {topics} already. Wait for its end: what it has "
            "written by then is not written again."
        )
    with file:
        yield


def _lock_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"riverrun-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _lock(path: Path) -> IO[str] | None:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def recurse_deeply() -> None:
    """Let Python code recurse as deep as memory allows.

    River's EBST and TEBST splitters recurse once per distinct value of a growing feature; at the
    usual limit they fail at an example that depends on the caller's own depth.
    """
    sys.setrecursionlimit(RECURSION_MAX)


def claim_standard_streams() -> None:
    """Take any output to stdout and stderr, whatever the shell and the locale made of them.

    A descriptor of 0 to 2 that was closed (`>&-`) goes to the null device, so that no file or
    socket gets its number. What a stream's encoding lacks is written as an escape: `\\u2026`.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # the lowest number that is free is given out first
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 - as long as the process
    sys.stdout, sys.stderr = sys.stdout or open(1, "w"), sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Let the rest of stdout go nowhere: Python writes it at the exit, and would fail once more."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.close(descriptor)


def reexec_if_unsafe(arguments: Sequence[str]) -> None:
    """Restart this process under `python -P` and PYTHONHASHSEED=0, unless it runs so already.

    River sums over sets of names: under another hash seed the last bits differ. `arguments` are
    those after the interpreter, as in `["-m", "streams.cli", "worker", …]`.
    """
    if sys.flags.safe_path and os.environ.get("PYTHONHASHSEED") == "0":
        return
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-P", *arguments])
