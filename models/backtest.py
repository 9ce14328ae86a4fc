"""The same partition task, driven over recorded data without a broker.

Records are put on partitions by Kafka's own partitioner and taken in the order of
`models.alignment`, so that a backtest is what the stream would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.alignment import choose
from models.encoding import encoded
from models.publishing import Output
from models.reading import COMMANDS, EVENTS, OUTCOMES, PlainRecord, Taken
from models.task import PartitionTask
from models.usecase import UseCase
from schemas.errors import Misdeclared
from schemas.inputs import Command
from schemas.partitioner import partition_of

Recorded = Iterable[tuple[str, Mapping[str, Any]]]
"""("event" | "outcome", fields), in the order of their times, outcomes first on equal times."""


LONG_AFTER_MS = 10**13
"""The Kafka timestamp of what is replayed: later than any of its times."""


@dataclass(slots=True)
class Backtest:
    """Tasks for every partition, fed record by record; `outputs` is called with what they say."""

    use_case: UseCase
    partitions: int
    definition: str
    made: type[PartitionTask] = PartitionTask
    tasks: dict[int, PartitionTask] = field(default_factory=dict)
    _offsets: dict[tuple[int, int], int] = field(default_factory=dict)
    _keys: dict[str, bytes] = field(default_factory=dict)

    def task(self, partition: int) -> PartitionTask:
        """The task of that partition, made on first use."""
        task = self.tasks.get(partition)
        if task is None:
            task = self.tasks[partition] = self.made(
                self.use_case,
                partition=partition,
                partitions=self.partitions,
                definition=self.definition,
            )
        return task

    def feed(self, kind: str, fields: Mapping[str, Any]) -> list[Output]:
        """One record in time order; returns what the task makes of it."""
        index = EVENTS if kind == "event" else OUTCOMES
        key = self._key(kind, fields)
        partition = partition_of(key, self.partitions)
        offset = self._offsets.get((index, partition), 0)
        self._offsets[index, partition] = offset + 1
        record = PlainRecord(kind, partition, offset, LONG_AFTER_MS, key, encoded(fields))
        task = self.task(partition)
        taken = task.read(index, record)
        return task.apply(taken)

    def command(self, command: Command) -> list[Output]:
        """One command to every partition; returns what they say to it."""
        said: list[Output] = []
        for partition in range(self.partitions):
            offset = self._offsets.get((COMMANDS, partition), 0)
            self._offsets[COMMANDS, partition] = offset + 1
            value, key = command.model_dump_json().encode(), command.command_id.encode()
            record = PlainRecord("command", partition, offset, LONG_AFTER_MS, key, value)
            task = self.task(partition)
            said += task.apply(task.read(COMMANDS, record))
        return said

    def _key(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        """The Kafka key: the event's key field; an outcome has its event's."""
        event_id = str(fields.get("event_id"))
        name = self.use_case.key
        if name in fields:
            key = str(fields[name]).encode()
            if kind == "event":
                self._keys[event_id] = key
            return key
        found = self._keys.get(event_id)
        if found is None:
            raise Misdeclared(
                f"the recorded outcome of {event_id!r} has no field {name!r} and no event before "
                "it, so its partition is unknown.",
                mend=f"Record the key {name!r} with each outcome.",
            )
        return found


def aligned(streams: Sequence[Iterator[Taken]]) -> Iterator[Taken]:
    """The records of several inputs of one partition, in the order in which a task takes them."""
    heads = [next(stream, None) for stream in streams]
    while True:
        index = choose([None if head is None else head.time for head in heads])
        if index is None:
            return
        head = heads[index]
        assert head is not None
        yield head
        heads[index] = next(streams[index], None)


def run(
    use_case: UseCase,
    recorded: Recorded,
    *,
    partitions: int,
    definition: str,
    outputs: Callable[[Output], None] | None = None,
) -> Backtest:
    """Drive recorded data through fresh tasks and return them with all their state."""
    backtest = Backtest(use_case, partitions, definition)
    for kind, fields in recorded:
        made = backtest.feed(kind, fields)
        if outputs is not None:
            for output in made:
                outputs(output)
    return backtest
