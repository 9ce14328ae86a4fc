"""Answers computed in the background: the last one is shown meanwhile."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaError

from schemas.errors import RiverrunError

ANSWERS_MAX = 60


@dataclass(slots=True)
class CachedAnswer:
    """The last answer, or why there is none, and its time; `answer` None: not yet."""

    answer: Any = None
    failed: str = ""
    at: float | None = None


class BackgroundCache:
    """One computation at a time; each is repeated when its answer is `fresh_s` old.

    Memory: the last `ANSWERS_MAX` answers.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._answers: OrderedDict[Any, CachedAnswer] = OrderedDict()
        self._tasks: dict[Any, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def latest(self, key: Any, work: Callable[[], Awaitable[Any]]) -> CachedAnswer:
        """Return the last answer; start `work` if there is none or it is old."""
        cached = self._answers.setdefault(key, CachedAnswer())
        self._answers.move_to_end(key)
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        old = cached.at is None or monotonic() - cached.at > self._fresh_s
        if old and key not in self._tasks:
            task = asyncio.create_task(self._work(cached, work))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return cached

    async def _work(self, cached: CachedAnswer, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            async with self._turn:
                cached.answer, cached.failed = await work(), ""
        except RiverrunError as error:
            cached.failed = str(error)
        except (KafkaError, OSError, TimeoutError) as error:
            cached.failed = f"Kafka does not answer ({type(error).__name__})."
        cached.at = monotonic()

    async def close(self) -> None:
        """Cancel running computations."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2)
