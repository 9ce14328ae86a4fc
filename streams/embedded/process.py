"""Server processes that outlive whoever started them.

A process is known by its pid and its start time: a pid alone may by now be somebody else's. The
time is that since the machine was started: a clock that was set, or slowly corrected, must not make
a server look gone, since a second Kafka on the same folder would damage it. A server runs in a
session of its own, with its output in a file, in a working folder of its own; the working folder is
also how a server without a record is recognised.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TIME_TOLERANCE_S = 0.1
START_TIME_FIELD = 19
"""Of those after the program's name in /proc/PID/stat: `starttime` (man 5 proc_pid_stat)."""
STOP_GRACE_S = 20.0
KILLED_WITHIN_S = 10.0
PROGRAMS = ("java", "redis-server", "valkey-server")
# What a server needs of the environment: secrets of the caller are not among it.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class Identity:
    """A process: its pid and when it was started (`started_of`)."""

    pid: int
    started: float


def launch(command: list[str], *, folder: Path, output: Path) -> Identity:
    """Start a server in its folder, detached from this process, its output appended to a file.

    A shell starts it and ends: the server is then nobody's child here, leaves no zombie to its
    starter, and Ctrl-C on the starter's terminal does not reach it.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    script = 'output=$1; shift; "$@" </dev/null >>"$output" 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(output), *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
        text=True,
    )
    pid = int(started.stdout)
    try:
        return identity_of(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return Identity(pid, 0.0)


def identity_of(process: psutil.Process) -> Identity:
    """Return by what the process is known. Raises `psutil.NoSuchProcess`."""
    return Identity(process.pid, started_of(process))


def identities_of(processes: Iterable[psutil.Process]) -> list[Identity]:
    """Return by what they are known, of those that have not ended meanwhile."""
    identities = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            identities.append(identity_of(process))
    return identities


def started_of(process: psutil.Process) -> float:
    """Return when a process was started, in seconds since the machine was: no clock moves that.
    Where the system does not say so (no Linux), in seconds since the epoch.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return float(process.create_time())
    ticks = fields.rpartition(")")[2].split()[START_TIME_FIELD]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def is_alive(identity: Identity | None) -> bool:
    """Return whether that very process still runs; a zombie does not."""
    return identity is not None and _process(identity) is not None


def stop(identities: Iterable[Identity], *, grace_s: float) -> list[Identity]:
    """End processes: SIGTERM to all, then SIGKILL to those that still run after `grace_s`.

    Returns the killed ones. Returns within `grace_s` plus a few seconds.
    """
    running = [p for p in map(_process, identities) if p is not None]
    for process in running:
        _signal(process, signal.SIGTERM)
        _signal(process, signal.SIGCONT)  # a stopped process would not see its SIGTERM
    stubborn = _wait_until_ended(running, grace_s)
    killed = identities_of(stubborn)
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    _wait_until_ended(stubborn, KILLED_WITHIN_S)
    return killed


def send(identity: Identity, number: signal.Signals) -> None:
    """Send a signal to that very process; nothing if it is gone."""
    process = _process(identity)
    if process is not None:
        _signal(process, number)
        if number == signal.SIGKILL:
            _wait_until_ended([process], KILLED_WITHIN_S)


def servers_in(home: Path) -> Iterator[psutil.Process]:
    """Return the server processes whose working folder is in `home`, recorded or not."""
    root = str(home.resolve()) + os.sep
    for process in psutil.process_iter():
        try:
            if process.name() in PROGRAMS and process.cwd().startswith(root) and _runs(process):
                yield process
        except psutil.Error:
            continue


def server_name(process: psutil.Process) -> str:
    """Return the name of a server of `servers_in`: its folder's, also after that was deleted."""
    return Path(process.cwd().removesuffix(" (deleted)")).name


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, without the frames of Java's stack traces."""
    try:
        text = log.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    told = [line for line in text.splitlines() if not line.lstrip().startswith("at ")]
    return "\n".join(told[-lines:])


def _process(identity: Identity) -> psutil.Process | None:
    try:
        process = psutil.Process(identity.pid)
        same = abs(started_of(process) - identity.started) < START_TIME_TOLERANCE_S
        return process if same and _runs(process) else None
    except psutil.Error:
        return None


def _wait_until_ended(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait for processes; those that still run then. A zombie has ended, whoever is to reap it."""
    deadline = time.monotonic() + timeout_s
    while (running := [p for p in processes if _runs(p)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def _runs(process: psutil.Process) -> bool:
    """Return whether the process runs.

    A zombie has ended, unless threads of it remain: those still hold its ports.
    """
    try:
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return True
        return bool(process.num_threads() > 1)
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
