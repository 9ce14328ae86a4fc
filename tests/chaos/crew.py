"""Worker processes under a supervisor: whoever ends is started again, under its own id."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).parents[2]
AGAIN_S = 0.5


class Crew:
    """Workers by name, each with the parent that starts it again (streams/worker/supervisor.py).
    `exits` counts the codes of those that ended by themselves, parent and all.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, use_case: Path) -> None:
        self.use_case = use_case
        self.environment = {**os.environ, **environment}
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.wanted: set[str] = set()
        self.exits: Counter[int] = Counter()
        self.kills = 0
        self._seen: dict[str, tuple[int | None, float]] = {}

    def start(self, name: str) -> None:
        """Start a worker and keep it running."""
        self.wanted.add(name)
        command = [sys.executable, "-P", "-m", "streams.cli", "worker", str(self.use_case), "-v"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stderr=log, stdout=log
            )

    async def rested(self, age_s: float, within_s: float) -> None:
        """Wait until every wanted worker, and not only its parent, has run for that long, but not
        for ever.
        """
        until = monotonic() + within_s
        while monotonic() < until:
            if all(self._age_s(name) >= age_s for name in self.wanted):
                return
            await asyncio.sleep(0.2)

    def _age_s(self, name: str) -> float:
        now, pid = monotonic(), self.worker(name) if name in self.running else None
        if pid is None:
            return 0.0
        if self._seen.get(name, (None, 0.0))[0] != pid:
            self._seen[name] = pid, now
        return now - self._seen[name][1]

    def worker(self, name: str) -> int | None:
        """The pid of the worker itself; None while its parent has none."""
        pid = self.running[name].pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def learner(self) -> str | None:
        """The worker whose log says last that it learns; None if none does."""
        newest: dict[str, str] = {}
        for name in self.running:
            for line in (self.folder / f"{name}.log").read_text().splitlines():
                if "learner: live" in line:
                    newest[name] = line[:24]  # the time, which sorts
        return max(newest, key=lambda name: newest[name]) if newest else None

    def kill(self, name: str, *, parent: bool) -> None:
        """kill -9 of the worker alone, as if memory had run out, or of its parent with it, as if
        the container were gone. It is started again, here or there.
        """
        worker = self.worker(name)
        if parent or worker is None:
            self.running[name].kill()
        else:
            os.kill(worker, signal.SIGKILL)
        self.kills += 1

    def signal(self, name: str, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT to the worker."""
        worker = self.worker(name)
        if worker is not None:
            os.kill(worker, number)

    def leave(self, name: str) -> None:
        """End it for good."""
        self.wanted.discard(name)
        if self.running[name].poll() is None:
            self.running[name].terminate()

    async def supervise(self) -> None:
        """For ever."""
        while True:
            for name, worker in list(self.running.items()):
                code = worker.poll()
                if code is None:
                    continue
                if code != -signal.SIGKILL:
                    self.exits[code] += 1
                del self.running[name]
                if name in self.wanted:
                    asyncio.get_running_loop().call_later(AGAIN_S, self._start_again, name)
            await asyncio.sleep(0.2)

    def _start_again(self, name: str) -> None:
        if name in self.wanted and name not in self.running:
            self.start(name)

    def stop(self) -> None:
        """End all that still run."""
        self.wanted.clear()
        for name, worker in self.running.items():
            if worker.poll() is None:
                self.signal(name, signal.SIGCONT)
                worker.terminate()
        for worker in self.running.values():
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def log_tails(self, size: int = 3_000) -> str:
        """What the workers said last."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-size:]}" for file in files)
