"""The actions started from this page, and their progress, shown to every visitor."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from time import time
from typing import Any, Literal

from aiokafka.errors import KafkaError

from schemas.errors import RiverrunError

log = logging.getLogger("riverrun.ops")

ACTIONS_MAX = 30


@dataclass(slots=True)
class Action:
    """One action: `done` of `total` (partitions, records), and refusals by position."""

    number: int
    use_case: str
    kind: str
    description: str
    who: str
    why: str
    total: int = 0
    done: int = 0
    state: Literal["under way", "done", "not done"] = "under way"
    result: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time)


class ActionLog:
    """The newest actions. Memory: `ACTIONS_MAX` of them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._actions: deque[Action] = deque(maxlen=ACTIONS_MAX)
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(
        self, use_case: str, kind: str, description: str, who: str, why: str, total: int = 0
    ) -> Action:
        """Return a new action, and log it with who and why."""
        action = Action(next(self._numbers), use_case, kind, description, who, why, total)
        self._actions.append(action)
        log.warning("%s: %s by %s: %s", use_case, description, who, why)
        return action

    def run(self, action: Action, work: Coroutine[Any, Any, Any]) -> None:
        """Run the work of an action in the background; its failure is shown on the action."""
        task = asyncio.create_task(_finished(action, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def of(self, use_case: str, *kinds: str) -> list[Action]:
        """Return the actions of a use case and of these kinds, newest first."""
        return [
            action
            for action in reversed(self._actions)
            if action.use_case == use_case and action.kind in kinds
        ]

    async def close(self) -> None:
        """Wait for running actions, two seconds; what was sent stays sent."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=2)


async def _finished(action: Action, work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except RiverrunError as error:
        action.state, action.result = "not done", str(error)
    except (KafkaError, OSError) as error:  # without the connection's details
        action.state, action.result = "not done", f"Kafka: {type(error).__name__}"
