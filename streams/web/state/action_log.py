"""What was done from this page, and how far it is: shown to whoever looks, as it happens."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from time import time
from typing import Any, Literal

DEEDS_MAX = 30


@dataclass(slots=True)
class Deed:
    """One act: `done` of `total` (partitions, records), and what was refused, by its place."""

    number: int
    use_case: str
    kind: str
    words: str
    who: str
    why: str
    total: int = 0
    done: int = 0
    state: Literal["under way", "done", "not done"] = "under way"
    result: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time)


class Deeds:
    """The newest acts. Memory: `DEEDS_MAX` of them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._deeds: deque[Deed] = deque(maxlen=DEEDS_MAX)
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, use_case: str, kind: str, words: str, who: str, why: str) -> Deed:
        """A new one."""
        deed = Deed(next(self._numbers), use_case, kind, words, who, why)
        self._deeds.append(deed)
        return deed

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it while the page goes on."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def of(self, use_case: str, *kinds: str) -> list[Deed]:
        """Those of a use case and of these kinds, newest first."""
        return [d for d in reversed(self._deeds) if d.use_case == use_case and d.kind in kinds]

    async def close(self) -> None:
        """Wait for what is under way, for a moment; what was sent stays sent."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=2)
