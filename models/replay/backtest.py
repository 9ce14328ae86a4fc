"""The same partition task, driven over recorded data without a broker.

Records are put on partitions by Kafka's own partitioner and taken in the order of
`models.inputs.merge_order`, so that a backtest is what the stream would have been.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import orjson

from models.inputs.decoder import (
    AT_ONCE,
    COMMANDS,
    EVENTS,
    MODELS,
    OUTCOMES,
    DecodedRecord,
    PlainRecord,
    validated,
)
from models.inputs.json_bytes import encoded
from models.inputs.merge_order import choose
from models.outputs.output_records import Output
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from models.training.versions import PlainUnpack
from models.training.window_folds import WindowPool
from schemas.commands import Command
from schemas.errors import AUTHORS_FAULTS, ConfigError
from schemas.partitioner import partition_of
from schemas.personal_data import wire_name

Recorded = Iterable[tuple[str, Mapping[str, Any]]]
"""("event" | "outcome", fields), in the order of their times, outcomes first on equal times."""


UPDATES_MAX = 256
"""Records of `models` after which partitions without records take them, too: none is earlier."""
LONG_AFTER_MS = 10**13
"""A Kafka timestamp later than any time, while that of a record is not known yet."""


@dataclass(slots=True)
class Backtest:
    """Tasks for every partition, fed record by record, and the learner where models are shared.

    The learner takes each example at once; a partition takes a version before its next record, as
    soon as it has reached its time. Memory: the newest `UPDATES_MAX` records of `models`.
    """

    use_case: UseCase
    partitions: int
    definition: str
    task_class: type[PartitionTask] = PartitionTask
    tasks: dict[int, PartitionTask] = field(default_factory=dict)
    learner: LearnerTask | None = field(init=False, default=None)
    # Tasks that have had no record yet.
    _idle: dict[int, PartitionTask] = field(default_factory=dict)
    _unpack: PlainUnpack = field(init=False)
    _pool: WindowPool | None = field(default_factory=WindowPool)
    # Records of `models` in their order; the offset of the first; of each task, of its next one.
    _updates: deque[PlainRecord] = field(default_factory=deque)
    _first_update: int = 0
    _next_update: dict[int, int] = field(default_factory=dict)
    _offsets: dict[tuple[int, int], int] = field(default_factory=dict)
    _keys: dict[str, bytes] = field(default_factory=dict)
    # Rows of tables that do not count yet, (time, table, key, row), the next one last.
    _rows: list[tuple[float, str, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._unpack = PlainUnpack(self.use_case)
        if self.use_case.is_shared(self.partitions):
            self.learner = LearnerTask(
                self.use_case, partitions=self.partitions, definition=self.definition
            )
        tables = self.use_case.tables
        rows = [
            (since, name, key, row)
            for name, table in tables.items()
            for since, key, row in table.history()
        ]
        self._rows = sorted(rows, key=itemgetter(0), reverse=True)
        if self.learner is not None:
            # From the start: what the learner publishes before a partition's first record is its.
            self._idle = {partition: self._made(partition) for partition in range(self.partitions)}

    def task(self, partition: int) -> PartitionTask:
        """Return the task of that partition, made on first use."""
        task = self.tasks.get(partition)
        if task is None:
            task = self._idle.pop(partition, None) or self._made(partition)
            self.tasks[partition] = task
        return task

    def _made(self, partition: int) -> PartitionTask:
        self._next_update[partition] = self._first_update
        return self.task_class(
            self.use_case,
            partition=partition,
            partitions=self.partitions,
            definition=self.definition,
            unpack=self._unpack,
            pool=self._pool,
        )

    def feed(self, kind: str, fields: Mapping[str, Any]) -> list[Output]:
        """Apply one record, in time order; return what the task makes of it."""
        index, value = (EVENTS if kind == "event" else OUTCOMES), encoded(fields)
        key = self._key(kind, fields, value)
        partition = partition_of(key, self.partitions)
        offset = self._offsets.get((index, partition), 0)
        self._offsets[index, partition] = offset + 1
        record = PlainRecord(kind, partition, offset, LONG_AFTER_MS, key, value)
        task = self.task(partition)
        taken = task.read(index, record)
        if taken.error is None and taken.time > AT_ONCE:
            # As if sent when it happened, so that nothing is refused that live would take.
            record.timestamp = int(taken.time * 1000)
        if self.learner is None:
            return task.apply(taken)
        if self._rows:
            self._change_rows(self.learner, taken.time, record.timestamp)
        self._bring_up(task, taken)
        if len(self._updates) >= UPDATES_MAX:
            for other in (*self.tasks.values(), *self._idle.values()):
                self._bring_up(other, taken)
        return self._learn(self.learner, task.apply(taken), record.timestamp)

    def all_due(self) -> list[Output]:
        """Let all folded labels fall due, as if time had passed; for trials."""
        return [output for task in self.tasks.values() for output in task.all_due()]

    # The learner.

    def _change_rows(self, learner: LearnerTask, time: float, timestamp_ms: int) -> None:
        """Give the learner the rows of tables that count by that time."""
        while self._rows and self._rows[-1][0] <= time:
            since, table, key, row = self._rows.pop()
            value = encoded({"rows": [(table, key, since, row)]})
            index = learner.inputs.index(("table-rows", 0))
            self._teach(learner, index, Output("table-rows", None, value, ()), timestamp_ms)

    def _bring_up(self, task: PartitionTask, taken: DecodedRecord) -> None:
        """Give a task the versions that it takes before a record."""
        times: list[float | None] = [None] * len(task.inputs)
        times[taken.input] = taken.due
        at = self._next_update[task.partition]
        while at < self._first_update + len(self._updates):
            update = task.read(MODELS, self._updates[at - self._first_update])
            times[MODELS] = update.due
            if task.choose(times) != MODELS:
                break
            task.apply(update)
            at += 1
        self._next_update[task.partition] = at
        while self._updates and self._first_update < min(self._next_update.values()):
            self._updates.popleft()
            self._first_update += 1

    def _learn(
        self, learner: LearnerTask, outputs: list[Output], timestamp_ms: int
    ) -> list[Output]:
        """Give the learner the examples among these outputs; returns what it says besides."""
        learner_outputs = []
        for output in outputs:
            if output.kind in ("examples", "window-entries"):
                partition = int(orjson.loads(output.value)["partition"])
                index = learner.inputs.index((output.kind, partition))
                learner_outputs += self._teach(learner, index, output, timestamp_ms)
        return outputs + learner_outputs

    def _teach(
        self, learner: LearnerTask, index: int, output: Output, timestamp_ms: int
    ) -> list[Output]:
        kind, partition = learner.inputs[index]
        offset = learner.next[index] + (learner.next[index] < 0)
        key, value, headers = output.key, output.value, output.headers
        record = PlainRecord(kind, partition, offset, timestamp_ms, key, value, headers)
        learner_outputs = learner.apply(learner.read(index, record))
        for update in learner_outputs:
            if update.kind == "models":
                at = self._first_update + len(self._updates)
                self._updates.append(
                    PlainRecord(
                        "models", 0, at, timestamp_ms, update.key, update.value, update.headers
                    )
                )
        return learner_outputs

    def command(self, command: Command) -> list[Output]:
        """Send one command to every partition; return what they say to it."""
        outputs: list[Output] = []
        for partition in range(self.partitions):
            offset = self._offsets.get((COMMANDS, partition), 0)
            self._offsets[COMMANDS, partition] = offset + 1
            value, key = command.model_dump_json().encode(), command.command_id.encode()
            record = PlainRecord("command", partition, offset, LONG_AFTER_MS, key, value)
            task = self.task(partition)
            outputs += task.apply(task.read(COMMANDS, record))
        if self.learner is not None:
            value, key = command.model_dump_json().encode(), command.command_id.encode()
            sent = Output("commands", key, value, ())
            outputs += self._teach(self.learner, 0, sent, LONG_AFTER_MS)
        return outputs

    def _key(self, kind: str, fields: Mapping[str, Any], value: bytes) -> bytes:
        """Return the Kafka key: the event's key field; an outcome has its event's."""
        event_id, key = identity(self.use_case, kind, fields, value)
        if kind == "event":
            self._keys[event_id] = key or b"None"
        record_key = self._keys.get(event_id) if key is None else key
        if record_key is None:
            raise ConfigError(
                f"the recorded outcome of {event_id!r} has no field {self.use_case.key!r} and no "
                "event before it, so its partition is unknown.",
                hint=f"Record the key {self.use_case.key!r} with each outcome.",
            )
        return record_key


def identity(
    use_case: UseCase, kind: str, fields: Mapping[str, Any], value: bytes
) -> tuple[str, bytes | None]:
    """Return the id of a recorded event or outcome, and its Kafka key where it has one.

    As the use case's model has them; of what the model refuses, as the fields have them.
    """
    model = use_case.event if kind == "event" else use_case.outcome
    try:
        body: Any = validated(model, value)
        event_id = body.event_id
    except AUTHORS_FAULTS:  # refused, in words, when the task reads it
        body, event_id = None, str(fields.get("event_id"))
    if kind == "event" and body is not None:
        return event_id, str(getattr(body, use_case.key)).encode()
    if (declared := getattr(body, use_case.key, None)) is not None:
        return event_id, str(declared).encode()
    names = (wire_name(use_case.key, use_case.event.model_fields[use_case.key]), use_case.key)
    key = next((fields[name] for name in names if fields.get(name) is not None), None)
    return event_id, None if key is None else str(key).encode()


def aligned(streams: Sequence[Iterator[DecodedRecord]]) -> Iterator[DecodedRecord]:
    """Return the records of several inputs of one partition, in the order in which a task takes
    them.
    """
    heads = [next(stream, None) for stream in streams]
    while True:
        index = choose([None if head is None else head.due for head in heads])
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
        published = backtest.feed(kind, fields)
        if outputs is not None:
            for output in published:
                outputs(output)
    return backtest
