"""Partitions and the learner of their models on topics in memory, one step at a time.

Every input is there from the start, as in a replay; what is applied next is up to the test, so a
partition may be weeks ahead of another.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import orjson

from models.inputs.decoder import MODELS, PlainRecord
from models.outputs.output_records import Output
from models.spec.use_case import UseCase
from models.task.checkpoint import parts_of, take_parts
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from models.training.versions import PlainUnpack
from models.training.window_folds import WindowPool
from schemas.partitioner import partition_of
from schemas.topics import LEARNER
from tests.support.one_partition import REPLAYED
from tests.support.task_runs import Given

STAMP = int(REPLAYED.timestamp() * 1000)
Task = PartitionTask | LearnerTask


class SharedFlow:
    """All tasks of one use case. `log` has each topic-partition's records, by offset."""

    def __init__(
        self, case: UseCase, partitions: int, pool: WindowPool | Literal["own"] | None = "own"
    ) -> None:
        unpack = PlainUnpack(case)
        shared = WindowPool() if pool == "own" else pool
        self.partitions = partitions
        self.tasks: dict[int, Task] = {
            p: PartitionTask(
                case,
                partition=p,
                partitions=partitions,
                definition="d1",
                unpack=unpack,
                pool=shared,
            )
            for p in range(partitions)
        }
        self.tasks[LEARNER] = LearnerTask(case, partitions=partitions, definition="d1")
        self.log: dict[tuple[str, int], list[PlainRecord]] = defaultdict(list)
        self.outputs: dict[int, list[Output]] = defaultdict(list)
        self.watermarks: dict[int, list[float | None]] = defaultdict(list)
        self.entries: dict[int, list[dict[str, Any]]] = defaultdict(list)

    @property
    def learner(self) -> LearnerTask:
        """The learner."""
        task = self.tasks[LEARNER]
        assert isinstance(task, LearnerTask)
        return task

    def send(self, kind: str, records: Iterable[Given]) -> None:
        """Put records on the partitions of their keys."""
        for record in records:
            self._put(kind, partition_of(record.key, self.partitions), record.key, record.value)

    def command(self, value: bytes) -> None:
        """Send a command to every partition."""
        for partition in range(self.partitions):
            self._put("commands", partition, b"c", value)

    def _put(self, kind: str, partition: int, key: Any, value: Any, headers: Any = ()) -> None:
        records = self.log[kind, partition]
        records.append(
            PlainRecord(kind, partition, len(records), STAMP, key, value, tuple(headers))
        )

    def step(self, number: int) -> bool:
        """Apply a task's next record, and the versions that are due before it; False if none."""
        task, models = self.tasks[number], True
        while models:
            index = self._choose(task)
            if index is None:
                return False
            record = self.log[task.inputs[index]][max(0, task.next[index])]
            for output in task.apply(task.read(index, record)):
                self.outputs[number].append(output)
                self.watermarks[number].append(task.watermark.time)
                if output.kind in ("examples", "models", "window-entries"):
                    target = 0 if number == LEARNER else number
                    self._put(output.kind, target, output.key, output.value, output.headers)
            models = index == MODELS and number != LEARNER
        return True

    def _choose(self, task: Task) -> int | None:
        times: list[float | None] = []
        for index, topic in enumerate(task.inputs):
            records, following = self.log[topic], max(0, task.next[index])
            at_hand = following < len(records)
            times.append(task.read(index, records[following]).due if at_hand else None)
        return task.choose(times)

    def seal(self, number: int) -> None:
        """Close a task's journal entry."""
        entry = self.tasks[number].seal()
        if entry is not None:
            self.entries[number].append(orjson.loads(entry))

    def run(self, turns: Sequence[int]) -> None:
        """Let tasks take these turns, then all until nothing is left."""
        for number in turns:
            self.step(number)
            self.seal(number)
        stepped = True
        while stepped:
            stepped = False
            for number in sorted(self.tasks):
                stepped = self.step(number) or stepped
                self.seal(number)

    def of(self, kind: str, *numbers: int) -> list[dict[str, Any]]:
        """What tasks said of one kind; all of them where none is named."""
        chosen = numbers or sorted(self.tasks)
        outputs = [output for number in chosen for output in self.outputs[number]]
        return [orjson.loads(output.value) for output in outputs if output.kind == kind]

    def until(self, kind: str, time: float) -> list[dict[str, Any]]:
        """Return what tasks said whose watermark was at most `time`, in seconds since 1970."""
        return [
            orjson.loads(output.value)
            for number in sorted(self.tasks)
            for output, at in zip(self.outputs[number], self.watermarks[number], strict=True)
            if output.kind == kind and at is not None and at <= time
        ]

    def resumed(self) -> SharedFlow:
        """Fresh tasks with the pickled parts of these, on a copy of the same topics."""
        case = self.tasks[0].use_case
        resumed = SharedFlow(case, self.partitions)
        resumed.log = defaultdict(list, {topic: list(log) for topic, log in self.log.items()})
        for number, task in self.tasks.items():
            ids = {} if isinstance(task, LearnerTask) else task.ledger.entries
            take_parts(resumed.tasks[number], *pickle.loads(pickle.dumps((parts_of(task), ids))))
        return resumed

    def folded(self, number: int, apply: Callable[[Task, Any], list[Output]]) -> list[Output]:
        """What a fresh task says of the same records in its journal's order."""
        task = self.tasks[number].fresh()
        outputs: list[Output] = []
        for entry in self.entries[number]:
            for index, first, count, _ in entry["runs"]:
                for record in self.log[task.inputs[index]][first : first + count]:
                    outputs += apply(task, task.read(index, record))
            assert orjson.loads(task.seal() or b"") == entry
        return outputs
