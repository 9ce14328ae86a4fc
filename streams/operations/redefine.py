"""`riverrun redefine`: begins a new definition in every partition.

1. No worker may run: it would be fenced, and refuse to go on.
2. Each partition's state is derived to the journal's end, under the definitions of then.
3. It is carried over. What cannot be is said here, before anything is written.
4. The new source goes to the `definitions` topic.
5. In each partition one transaction: the journal entry, and what is told on `lifecycle`.
6. The new state is kept as a snapshot, so that workers start at once.

Broken off between partitions, it is done again: those that are done are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import orjson

from models.carrying import kept_models
from models.publishing import Output
from models.task import PartitionTask
from schemas.errors import Incompatible
from streams import definitions, statuses, topics
from streams.loading import Loaded
from streams.log import KafkaLog
from streams.operating import group_of, log_of, store_of
from streams.recovery import Entry
from streams.redefining import Eras, redefined
from streams.settings import Settings
from streams.status import STATUS_TTL_S
from streams.writer import Limits, Writer


@dataclass(frozen=True, slots=True)
class Wish:
    """How a definition is to be begun, by whom and why."""

    how: str
    who: str
    why: str


@dataclass(slots=True)
class Begun:
    """One partition: the entry that begins the definition (None: it is in force), and its state."""

    partition: int
    entry: Entry | None
    kept: list[str]
    task: PartitionTask | None

    def row(self) -> dict[str, Any]:
        """Plain values."""
        entry = None if self.entry is None else self.entry.seq
        return {"partition": self.partition, "entry": entry, "kept_models": self.kept}


class Redefinition:
    """One act. `on_progress(partition, entries derived)`."""

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings,
        wish: Wish,
        on_progress: Callable[[int, int], None] = lambda partition, seq: None,
    ) -> None:
        self._loaded = loaded
        self._settings = settings
        self._wish = wish
        self._on_progress = on_progress
        self._names = topics.names_of(loaded.use_case, settings)

    async def run(self) -> list[Begun]:
        """Steps 1 to 6; raises `Incompatible`, and has changed nothing, where it cannot be."""
        partitions = await topics.ensure(self._loaded.use_case, self._settings)
        await self._refuse_workers()
        eras = Eras(self._loaded, self._settings, self._names, partitions)
        async with AsyncExitStack() as open_logs:
            logs = []
            for partition in range(partitions):
                log = log_of(self._settings, self._names, partition)
                await log.start()
                open_logs.push_async_callback(log.close)
                logs.append(log)
            begun = [await self._carried(eras, log, n) for n, log in enumerate(logs)]
            await definitions.publish(self._loaded, self._settings)
            for one, log in zip(begun, logs, strict=True):
                if one.entry is not None:
                    await self._commit(one, log)
        for one in begun:
            await self._keep(one)
        return begun

    async def _refuse_workers(self) -> None:
        # What a worker tells of itself outlives it by some seconds.
        group, deadline = group_of(self._loaded, self._settings), monotonic() + STATUS_TTL_S + 2
        while running := await statuses.workers(group, self._settings):
            if monotonic() > deadline:
                names = ", ".join(str(worker["worker"]) for worker in running)
                raise Incompatible(f"workers run: {names}. Stop them, then again.")
            await asyncio.sleep(0.5)

    async def _carried(self, eras: Eras, log: KafkaLog, partition: int) -> Begun:
        last = await log.last()
        if last is None or last.definition == self._loaded.definition:
            return Begun(partition, None, [], None)
        past = eras.past(log, partition)
        past.exact = False  # an upgrade: what the last snapshot lacks is learnt by the new core
        await past.read()
        old = last.definition
        store = store_of(past.loaded(old), self._settings, lambda _: past.fresh(old))
        task = await store.load(partition)
        task = await past.roll(task, lambda task: self._on_progress(partition, task.seq - 1))
        kept = kept_models(task, past.fresh(self._loaded.definition))
        entry = Entry(
            last.seq + 1, last.step, [], last.next, self._loaded.definition, self._said(last)
        )
        models = [] if self._wish.how == "clean" else kept
        return Begun(partition, entry, models, await redefined(past, task, entry))

    def _said(self, last: Entry) -> dict[str, Any]:
        wish = self._wish
        return {
            "before": last.definition,
            "how": wish.how,
            "who": wish.who,
            "why": wish.why,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }

    async def _commit(self, begun: Begun, log: KafkaLog) -> None:
        entry, task = begun.entry, begun.task
        assert entry is not None
        assert task is not None
        writer = Writer(
            self._settings.kafka_client(),
            transactional_id=f"{group_of(self._loaded, self._settings)}-{begun.partition}",
            partition=begun.partition,
            topics=self._names,
            limits=Limits(),
        )
        try:
            await writer.start()
            last = await log.last()
            if last is None or last.seq + 1 != entry.seq:
                raise Incompatible(
                    f"partition {begun.partition} went on meanwhile; stop all workers, then again"
                )
            await writer.commit(self._told(task), orjson.dumps(entry._asdict()))
        finally:
            await writer.close()

    def _told(self, task: PartitionTask) -> list[Output]:
        out: list[Output] = []
        wish, names = self._wish, task.roster.names
        for name in names:
            task.teller.tell(
                out,
                name,
                from_state=None,
                to_state="champion" if name == task.roster.champion else "shadow",
                cause="definition",
                who=wish.who,
                why=f"definition {task.definition} was begun ({wish.how}): {wish.why}",
            )
        return out

    async def _keep(self, begun: Begun) -> None:
        task = begun.task
        if task is None:
            return

        # The archive, too, whenever the last was: older entries may be beyond this core.
        store = store_of(
            self._loaded, self._settings, task.anew, interval_s=0.0, archive_interval_s=0.0
        )
        await store.load(begun.partition)
        store.offer(begun.partition, task)
        await store.written()
