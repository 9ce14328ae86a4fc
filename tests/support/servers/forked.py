"""Processes forked from one that has imported River, as `streams.worker.supervisor` starts its
workers.

The tests start riverrun some hundred times, and its imports take a second of CPU or two each time.
What runs is the same `main` with the same arguments, environment and interpreter flags, in a
process of its own that can be stopped and killed. `Forked` has the methods of `subprocess.Popen`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

PRELOADED = [
    "streams.cli",
    "models.validation",
    "streams.demo.loop",
    "streams.registry.known_schemas",
    "streams.inspection.audit_trail",
    "streams.monitor.agent",
    "streams.worker.launch",
    "streams.web.app",
    "streams.operations.redefine",
    "streams.replay.verify",
]
INTERPRETER = {"PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
"""What workers need (`streams.config.process_env.reexec_if_unsafe`)."""

RIVERRUN = "streams.cli"

_context = multiprocessing.get_context("forkserver")


def _start_server() -> None:
    """Start the process that imports, unless it runs."""
    before = dict(os.environ)
    os.environ.update(INTERPRETER)
    try:
        _context.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], out: str, err: str
) -> None:
    """Become that process: its environment, its channels, its `sys.argv`; and run its `main`."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    main = importlib.import_module(module).main
    sys.path[:] = [path for path in sys.path if path]
    sys.argv = ["riverrun", *arguments]
    sys.exit(main())


class Forked:
    """A running process. What it writes is appended to the files `out` and `err`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        module: str = RIVERRUN,
        out: Path | str = os.devnull,
        err: Path | str = os.devnull,
    ) -> None:
        _start_server()
        for path in (out, err):
            Path(path).touch()  # there before the process has written anything
        job = (module, list(arguments), dict(environment), str(out), str(err))
        # A daemon in multiprocessing's sense: it ends with the tests.
        self._process = _context.Process(target=_run, args=job, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, the negative number of the signal that ended it, or None."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raise `subprocess.TimeoutExpired` if that does not come in time."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `riverrun …` to its end and return what it wrote."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Forked(arguments, environment, out=out, err=err)
        try:
            code = process.wait(timeout_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            list(arguments), code, out.read_text("utf-8"), err.read_text("utf-8")
        )
