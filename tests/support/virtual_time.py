"""Virtual time for asyncio: sleeps take no time, so what runs is a function of its seed."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


TURN_S = 1e-6
"""What a turn of the loop takes: a time that cannot pass would be waited for, for ever."""


class _Skip(selectors.DefaultSelector):
    """Waits in virtual time: the loop's clock moves on, nothing else happens."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let that time have passed."""
        if timeout is None:
            raise RuntimeError("everything waits for something that will not come")
        self.now += timeout + TURN_S
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time: what runs on it is a function of its seed."""

    def __init__(self) -> None:
        self._skip = _Skip()
        super().__init__(self._skip)

    def time(self) -> float:
        """Virtual seconds since it was made."""
        return self._skip.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
