"""One server of a stack in the hands of those who test what happens when it dies."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from schemas.errors import Unavailable
from streams.embedded import stack_file as records
from streams.embedded.process import STOP_GRACE_S, Identity, is_alive, send, stop
from streams.embedded.stack_file import StackRecord


class Starter(Protocol):
    """What a handle needs of its stack."""

    home: Path

    def start(
        self, record: StackRecord, names: set[str], progress: Callable[[str], None]
    ) -> StackRecord:
        """Start the named servers; the folder's lock is held."""


class Handle:
    """One server, by its name within the stack. It may die and come back under the same handle."""

    def __init__(self, stack: Starter, name: str) -> None:
        self._stack = stack
        self.name = name

    @property
    def pid(self) -> int | None:
        """Return the server's process, if it runs."""
        identity = self._identity()
        return identity.pid if identity and is_alive(identity) else None

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL); returns when it is gone."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT make a server that hangs."""
        if identity := self._identity():
            send(identity, number)

    def stop(self) -> None:
        """End it in good order, killed after 20 s."""
        if identity := self._identity():
            stop([identity], grace_s=STOP_GRACE_S)

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Start it again on the port that it had and return once it answers."""
        home = self._stack.home
        with records.exclusive(home, progress):
            record = records.load(home)
            if record is None:
                raise Unavailable(f"No stack in {home}: `riverrun up` first.")
            if not is_alive(record.processes.get(self.name)):
                self._stack.start(record, {self.name}, progress)

    def _identity(self) -> Identity | None:
        record = records.load(self._stack.home)
        return record.processes.get(self.name) if record else None
