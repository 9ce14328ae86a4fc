"""Answers that are read from topics while the page goes on: the last one is shown meanwhile."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaError

from schemas.errors import RiverrunError

KEPT_MAX = 60


@dataclass(slots=True)
class Known:
    """The last answer, why there is none, and when that was; `answer` None: not yet."""

    answer: Any = None
    failed: str = ""
    at: float | None = None


class Background:
    """One piece of work at a time, each question again when its answer is `fresh_s` old.

    Memory: the last `KEPT_MAX` answers.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._known: OrderedDict[Any, Known] = OrderedDict()
        self._tasks: dict[Any, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def latest(self, question: Any, work: Callable[[], Awaitable[Any]]) -> Known:
        """What is known now; work begins where that is nothing or old."""
        known = self._known.setdefault(question, Known())
        self._known.move_to_end(question)
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        old = known.at is None or monotonic() - known.at > self._fresh_s
        if old and question not in self._tasks:
            task = asyncio.create_task(self._work(known, work))
            self._tasks[question] = task
            task.add_done_callback(lambda _: self._tasks.pop(question, None))
        return known

    async def _work(self, known: Known, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            async with self._turn:
                known.answer, known.failed = await work(), ""
        except RiverrunError as error:
            known.failed = str(error)
        except (KafkaError, OSError, TimeoutError) as error:
            known.failed = f"Kafka does not answer ({type(error).__name__})."
        known.at = monotonic()

    async def close(self) -> None:
        """Work no further."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2)
