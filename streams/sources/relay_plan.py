"""The relay's inputs and connections: the runner of a partition, with foreign inputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faust.types import TP

from models.inputs.merge_order import choose_earliest
from models.relay.relay_task import RELAY, RelayInput, RelayTask
from models.spec.use_case import UseCase
from riverrun.client.compacted_topic import newest_values
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.partition.input_freshness import LEAD
from streams.partition.pace import Pace
from streams.partition.wiring import FreshStore, PartitionLog, Wiring
from streams.registry.known_schemas import KnownSchemas
from streams.registry.schema_registry import SchemaRegistry
from streams.sources.relay_log import RelayLog, refuse_replaced

RELAY_PACE = Pace(batch_records_max=4_000)
"""A record costs a relay a tenth of what it costs a partition task."""
SETTLED_S = 0.5
"""A burst onto several partitions of a foreign topic may take so long."""


@dataclass(frozen=True)
class RelayPlan:
    """The relay of one use case. `topics` kind → name; `partitions` of the use case."""

    use_case: UseCase
    client: Mapping[str, Any]
    topics: Mapping[str, str]
    group_id: str
    partitions: int
    definition: str
    shorten: Callable[[Any, int], Any | None] = lambda output, limit_bytes: None
    compression: str | None = None
    registry: SchemaRegistry | None = None
    shown_name: str = "USECASE"
    limits: Limits = field(default_factory=Limits)

    @property
    def sources(self) -> list[str]:
        """Return the names of the foreign topics."""
        return [source.topic for source in self.use_case.sources]

    @property
    def registered(self) -> list[str]:
        """Return those of them whose values name their schema."""
        return [s.topic for s in self.use_case.sources if s.format.uses_registry]

    @property
    def beside(self) -> int:
        """Return the partition whose owner runs the relay: the last, as the learner is with the
        first.
        """
        return self.partitions - 1

    def inputs(self, counts: Mapping[str, int]) -> list[RelayInput]:
        """Return the relay's inputs; `counts`: foreign topic → its partitions."""
        return [
            RelayInput(source, partition)
            for source in self.use_case.sources
            for partition in range(counts.get(source.topic, 0))
        ]

    def wiring(self, inputs: Sequence[RelayInput], schemas: KnownSchemas) -> Wiring:
        """Return the wiring of a relay of these inputs."""
        topic_partitions = tuple(TP(each.source.topic, each.partition) for each in inputs)
        return Wiring(
            inputs=topic_partitions,
            store=FreshStore(lambda _: self._task(inputs, schemas)),
            open_log=lambda _: self._log(topic_partitions),
            open_writer=lambda _: self._writer(),
            choose=choose_earliest,
            aligned=range(len(topic_partitions)),
            pace=RELAY_PACE,
            skip_after=self.use_case.skip_after,
            partitions=self.partitions,
            kinds=("source",) * len(topic_partitions),
            obeys_skips=False,
            unseen_s=self.use_case.horizon / LEAD,
            settled_s=SETTLED_S,
            title=lambda _: "relay",
            roll=partial(resumed, topic_partitions, self._ids),
            shorten=self.shorten,
            shown_name=self.shown_name,
        )

    def _task(self, inputs: Sequence[RelayInput], schemas: KnownSchemas) -> RelayTask:
        return RelayTask(
            self.use_case,
            inputs,
            partitions=self.partitions,
            definition=self.definition,
            schemas=schemas.by_id,
            stored_schemas=schemas.stored,
        )

    async def _ids(self) -> Mapping[bytes, bytes]:
        """Return the directory of ids, where outcomes find their events by id."""
        if not any(source.by_id for source in self.use_case.sources):
            return {}
        return await newest_values(self.client, self.topics["ids"])

    def _log(self, topic_partitions: Sequence[TP]) -> RelayLog:
        return RelayLog(self.client, journal=self.topics["relay"], inputs=topic_partitions)

    def _writer(self) -> TransactionalWriter:
        return TransactionalWriter(
            self.client,
            transactional_id=f"{self.group_id}-relay",
            partition=RELAY,
            topics={**self.topics, "journal": self.topics["relay"]},
            limits=self.limits,
            compression=self.compression,
        )


async def resumed(
    topic_partitions: Sequence[TP],
    read_ids: Callable[[], Awaitable[Mapping[bytes, bytes]]],
    task: Any,
    log: PartitionLog,
    on_progress: Callable[[Any], None],
) -> Any:
    """Return the relay of these inputs at its journal's end: its newest entry and what is known of
    ids are all it needs.
    """
    last = await log.last()
    if last is not None:
        await refuse_replaced(log, topic_partitions, last)
    task.resume(last, await read_ids())
    on_progress(task)
    return task
