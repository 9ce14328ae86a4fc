"""`riverrun redefine`: begins a new definition in every partition, and in the learner.

1. No worker may run: it would be fenced, and refuse to go on.
2. Each partition's state is derived to the journal's end, under the definitions of then.
3. It is carried over. What cannot be raises here, before anything is written.
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

from models.outputs.output_records import Output
from models.replay.state_migration import kept_models
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from schemas.errors import Incompatible
from schemas.topics import LEARNER
from streams.config.naming import group_of, title_of, transactional_id
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.replay import definition_topic
from streams.replay.definition_change import Eras, redefined, refuse_warm
from streams.replay.journal_fold import Entry
from streams.replay.kafka_log import KafkaLog, log_of, read_versions
from streams.snapshots.factory import store_of
from streams.telemetry import partition_table
from streams.telemetry.worker_status import STATUS_TTL_S
from streams.topics import topic_admin

FRESH, WARMED = "fresh", "warmed"
"""How a model began under a new definition, where it was not kept; written on `lifecycle`."""


@dataclass(frozen=True, slots=True)
class RedefineRequest:
    """How a definition is to start, by whom and why."""

    how: str
    who: str
    why: str


@dataclass(slots=True)
class Begun:
    """One partition, or the learner (`LEARNER`): the entry that begins the definition (None: it is
    in force), and its state.
    """

    partition: int
    entry: Entry | None
    unchanged: list[str]
    task: PartitionTask | LearnerTask | None

    def row(self) -> dict[str, Any]:
        """Return plain values."""
        entry = None if self.entry is None else self.entry.seq
        return {"partition": self.partition, "entry": entry, "kept_models": self.unchanged}


class Redefinition:
    """One act. `on_progress(partition, entries derived)`. A dry run ends after step 3, and workers
    may run meanwhile: what it says is as of the journal's end that it read.
    """

    def __init__(
        self,
        loaded: LoadedUseCase,
        settings: Settings,
        wish: RedefineRequest,
        on_progress: Callable[[int, int], None] = lambda partition, seq: None,
        *,
        dry_run: bool = False,
    ) -> None:
        self._dry_run = dry_run
        self._loaded = loaded
        self._settings = settings
        self._wish = wish
        self._on_progress = on_progress
        self._names = topic_admin.names_of(loaded.use_case, settings)

    async def run(self) -> list[Begun]:
        """Do steps 1 to 6; raise `Incompatible`, with nothing changed, if a state does not fit."""
        case = self._loaded.use_case
        if self._dry_run:
            partitions = await topic_admin.partitions_of(case, self._settings)
        else:
            partitions = await topic_admin.ensure(case, self._settings)
            await self._refuse_workers()
        eras = Eras(self._loaded, self._settings, self._names, partitions)
        numbers = [*range(partitions), *([LEARNER] if case.is_shared(partitions) else [])]
        async with AsyncExitStack() as open_logs:
            logs = []
            for number in numbers:
                log = log_of(self._settings, self._names, number, partitions)
                await log.start()
                open_logs.push_async_callback(log.close)
                logs.append(log)
            pairs = zip(numbers, logs, strict=True)
            begun = [await self._carried(eras, log, number) for number, log in pairs]
            if self._dry_run:
                return begun
            await definition_topic.publish(self._loaded, self._settings)
            for one, log in zip(begun, logs, strict=True):
                if one.entry is not None:
                    await self._commit(one, log)
        for one in begun:
            await self._keep(one)
        return begun

    async def _refuse_workers(self) -> None:
        # What a worker tells of itself outlives it by some seconds.
        group, deadline = group_of(self._loaded, self._settings), monotonic() + STATUS_TTL_S + 2
        while running := await partition_table.workers(group, self._settings):
            if monotonic() > deadline:
                names = ", ".join(str(worker["worker"]) for worker in running)
                raise Incompatible(f"workers run: {names}. Stop them, then again.")
            await asyncio.sleep(0.5)

    async def _carried(self, eras: Eras, log: KafkaLog, partition: int) -> Begun:
        last = await log.last()
        if last is None or last.definition == self._loaded.definition:
            return Begun(partition, None, [], None)
        read_versions(log, self._names, last)
        past = eras.past(log, partition)
        past.exact = False  # an upgrade: what the last snapshot lacks is learnt by the new core
        await past.read()
        fresh, old = past.fresh(self._loaded.definition), last.definition
        if self._wish.how == "warm":  # before anything is folded
            refuse_warm(fresh)
        store = store_of(past.loaded(old), self._settings, lambda _: past.fresh(old))
        task = await store.load(partition)
        task = await past.roll(task, lambda task: self._on_progress(partition, task.seq - 1))
        unchanged = kept_models(task, fresh)
        entry = Entry(
            last.seq + 1,
            last.step,
            [],
            last.next,
            self._loaded.definition,
            self._said(last),
            marks=last.marks,
            partitions=last.partitions,
        )
        models = [] if self._wish.how == "clean" else unchanged
        task = await redefined(past, task, entry)
        # Of inputs that the former definition had not, nothing was taken yet.
        entry = entry._replace(next=list(task.next), marks=list(task.marks))
        return Begun(partition, entry, models, task)

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
        learns, group = begun.partition == LEARNER, group_of(self._loaded, self._settings)
        writer = TransactionalWriter(
            self._settings.kafka_client(),
            transactional_id=transactional_id(group, begun.partition),
            partition=0 if learns else begun.partition,
            topics=self._names | {"journal": self._names["learning"]} if learns else self._names,
            limits=Limits(),
        )
        try:
            await writer.start()
            last = await log.last()
            if last is None or last.seq + 1 != entry.seq:
                raise Incompatible(
                    f"{title_of(begun.partition)} went on meanwhile; stop all workers, then again"
                )
            await writer.commit(self._changes(task, begun.unchanged), orjson.dumps(entry.record()))
        finally:
            await writer.close()

    def _changes(self, task: PartitionTask | LearnerTask, unchanged: list[str]) -> list[Output]:
        if not isinstance(task, LearnerTask) and task.shared is not None:
            return []  # the learner writes it, once
        wish, names = self._wish, task.router.names
        warm = wish.how == "warm"
        unchanged = [] if warm else unchanged
        return [
            task.lifecycle_log.change(
                name,
                from_state=None,
                to_state="champion" if name == task.router.champion else "shadow",
                cause="definition",
                who=wish.who,
                why=f"definition {task.definition} was begun ({wish.how}): {wish.why}",
                evidence={
                    "begun": "kept" if name in unchanged else WARMED if warm else FRESH,
                    "learnt": {name: task.router.pooled[name].trained_on},
                },
            )
            for name in names
        ]

    async def _keep(self, begun: Begun) -> None:
        task: Any = begun.task
        if task is None:
            return

        # The archive, too, whenever the last was: older entries may be beyond this core.
        store = store_of(
            self._loaded,
            self._settings,
            lambda _: task.fresh(),
            interval_s=0.0,
            archive_interval_s=0.0,
        )
        await store.load(begun.partition)
        store.offer(begun.partition, task)
        await store.written()
