"""A child process with this process's state as of now, that writes a file and ends; and the same
at once, in this process, where little is to be written: a fork takes 10 ms, the child 20, and the
pages that the parent touches afterwards, copied one by one, another 10.

`fork` copies the page tables and nothing else (copy-on-write), so the parent goes on at once while
the child, for seconds, pickles a state that stands still. Rules of the child:

1. It runs on one thread of its own and none of the parent's: it takes no lock that another thread
   may have held, so it opens no connection, logs nothing and uses nothing but this project's own
   code, `pickle` and BLAKE2b. That thread has a big stack: `pickle` recurses in C as deep as the
   state is nested, and River's search-tree splitters go one node deeper a value.
2. It closes every descriptor but its file: no connection, port or lock outlives the parent in it.
3. It is nice to the parent, and the alarm ends it if it takes too long.
4. It leaves by `os._exit`: nothing of the parent's is cleaned up twice.

docs/adr/0010-snapshots-are-written-by-a-forked-child.md has the figures.
"""

from __future__ import annotations

import contextlib
import gc
import io
import mmap
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from schemas.errors import Unavailable

CHILD_S_MAX = 600
NICE = 5
STACK_BYTES = 1 << 30
"""Address space; memory is taken as it is touched. Enough for process_env.RECURSION_MAX."""

_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Child:
    """A child under way. `forked_s`: how long the parent was held up."""

    pid: int
    file: Any
    forked_s: float

    def wait(self) -> float:
        """Wait until the child has ended, in a thread; return the CPU seconds that it took.

        Raise `Unavailable` with its message if it failed.
        """
        deadline = time.monotonic() + CHILD_S_MAX + 5
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            time.sleep(_LOOK_S)
        if status:
            self.file.seek(0)
            message = self.file.read().decode("utf-8", "replace") if os.WIFEXITED(status) else ""
            code = os.waitstatus_to_exitcode(status)
            raise Unavailable(f"the snapshot's process ended with {code}: {message[-500:]}")
        return usage.ru_utime + usage.ru_stime

    def data(self) -> mmap.mmap:
        """Return the bytes that it wrote; the map is closed with its last view, which a failure may
        hold.
        """
        return mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written at once. `forked_s`: how long the loop was held up."""

    file: io.BytesIO
    forked_s: float
    error: Exception | None

    def wait(self) -> float:
        """Return its cost at once; raise `Unavailable` if it failed, as a child's `wait` does."""
        if self.error is not None:
            raise Unavailable(f"{type(self.error).__name__}: {self.error}") from self.error
        return 0.0

    def data(self) -> bytes:
        """Return what was written."""
        return self.file.getvalue()


def write_here(work: Callable[[BinaryIO], None]) -> Written:
    """Run `work(file)` in this process, with a big stack, and wait for it. Never raises."""
    file, error, began = io.BytesIO(), None, time.perf_counter()
    try:
        deeply(work, file)
    except Exception as failure:
        error = failure
    return Written(file, time.perf_counter() - began, error)


def fork(work: Callable[[BinaryIO], None]) -> Child:
    """Start `work(file)` in a child. Returns within milliseconds; raises OSError if there is no
    room for another process.
    """
    file: Any = tempfile.TemporaryFile(prefix="riverrun-snapshot-")  # noqa: SIM115 - the job's
    began = time.perf_counter()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads: rule 1 is what it asks for.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _be_child(work, file)
    return Child(pid, file, time.perf_counter() - began)


def _be_child(work: Callable[[BinaryIO], None], file: Any) -> None:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(CHILD_S_MAX)
        gc.disable()
        keep = file.fileno()
        os.closerange(0, keep)
        os.closerange(keep + 1, 65_536)
        os.nice(NICE)
        deeply(work, file)
        file.flush()
        code = 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            file.seek(0)
            file.truncate()
            file.write(f"{type(error).__name__}: {error}".encode())
            file.flush()
    finally:
        os._exit(code)


def deeply(work: Callable[[Any], None], argument: Any) -> None:
    """Run `work(argument)` on a thread with a big stack and wait for it; raise what it raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work(argument)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    before = threading.stack_size(STACK_BYTES)
    try:
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if failures:
        raise failures[0]
