"""Watches the topics of a running worker: a deleted, recreated or raised one is reported at once.

A consumer notices neither: it reads on in a new topic from the old offset, and learns of new
partitions after minutes. Here the brokers are asked every `LOOK_S`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import Incompatible, Unavailable
from streams.replay.input_check import START_OVER, changes
from streams.topics.topic_identity import TopicIdentity, Topics

log = logging.getLogger("riverrun.worker")

LOOK_S = 2.0
GONE_LOOKS = 3
"""So many looks in a row a topic must be missing: one broker may not have heard of it yet."""


class TopicWatch:
    """Of one worker. first → run, until cancelled. `topics` kind → name."""

    def __init__(
        self, client: Mapping[str, Any], topics: Mapping[str, str], name: str, partitions: int
    ) -> None:
        self.warnings: list[str] = []
        self._client = client
        self._topics = topics
        self._name = name
        self._partitions = partitions
        self._first: dict[str, TopicIdentity] = {}
        self._gone = 0

    async def first(self) -> None:
        """See which topics these are, before anything is read of them."""
        try:
            async with Topics(self._client) as asked:
                self._first = await asked.identities(self._topics.values())
        except Unavailable as error:
            log.warning("topics: %s", error)

    async def run(self, end: Callable[[Incompatible], None]) -> None:
        """Look every `LOOK_S`; `end` is called with errors after which a worker must stop."""
        while True:
            try:
                async with Topics(self._client) as asked:
                    while True:
                        self._look(await asked.identities(self._topics.values()), end)
                        await asyncio.sleep(LOOK_S)
            except Unavailable as error:  # others tell of it, and wait
                log.debug("topics: %s", error)
            await asyncio.sleep(LOOK_S)

    def _look(self, now: Mapping[str, TopicIdentity], end: Callable[[Incompatible], None]) -> None:
        self._first = {**now, **self._first}
        ending, warnings = changes(self._name, self._topics, self._first, now, self._partitions)
        deleted = sorted(set(self._first) - set(now))
        self._gone = self._gone + 1 if deleted else 0
        if self._gone >= GONE_LOOKS:
            ending.append(f"{', '.join(deleted)}: deleted while this worker ran. {START_OVER}")
        for text in warnings:
            if text not in self.warnings:
                log.warning("%s", text)
        self.warnings = list(dict.fromkeys([*self.warnings, *warnings]))
        if ending:
            end(Incompatible("\n".join(ending)))
