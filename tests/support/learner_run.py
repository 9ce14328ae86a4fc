"""A learner driven over given records in batches, in place or with trainers, as a worker would."""

from __future__ import annotations

import asyncio
import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
from river import proba

from models.inputs.decoder import DecodedRecord, PlainRecord
from models.outputs.output_records import Output
from models.replay.backtest import Backtest
from models.serving.model_slot import ModelSlot
from models.spec.use_case import UseCase
from models.stats.drift_detection import DriftAlarm
from models.task.checkpoint import parts_of
from models.task.learner_task import LearnerTask
from models.task.model_restore import Stored
from models.training.model_structure import _objects
from models.training.versions import ENCODING, STATE, plain_pack
from schemas.commands import Command
from streams.snapshots.delta import restore, write
from streams.snapshots.signed_format import Origin, Reader, opened
from streams.trainers.fork_server import ForkServer
from streams.trainers.trainer_link import StateLost
from streams.trainers.trainer_pool import TrainerPool, fork_server_of
from streams.unpickling.pickle_equality import equal_but_for_sharing
from streams.unpickling.safe_unpickler import Allowed

KEY = b"k" * 32
PARTITIONS = 3


class Given(NamedTuple):
    """One record of the learner's inputs, or what else befalls it there."""

    index: int
    record: PlainRecord


class Put(NamedTuple):
    """A model is put back as this pickle has it."""

    slot: bytes


Step = Given | DriftAlarm | Put


class _Noting(Backtest):
    """A backtest that notes what its learner is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.steps: list[Given] = []
        assert self.learner is not None
        read = self.learner.read

        def noted(index: int, record: Any) -> DecodedRecord:
            self.steps.append(Given(index, record))
            return read(index, record)

        self.learner.read = noted  # type: ignore[method-assign]


def steps_of(case: UseCase, recorded: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Given]:
    """What the learner of that use case is given by recorded data; kind `command` is a command."""
    backtest = _Noting(case, PARTITIONS, "d1")
    for kind, fields in recorded:
        if kind == "command":
            backtest.command(Command.model_validate_json(orjson.dumps(fields)))
        else:
            backtest.feed(kind, fields)
    return backtest.steps


class LearnerRun:
    """Batches of steps, each settled and sealed; after a failure all from the last snapshot on."""

    batch, snapshot_every = 23, 4

    def __init__(self, case: UseCase, pool: TrainerPool | None = None) -> None:
        self.case = case
        self.pool = pool
        self.outputs: list[Output] = []
        self.entries: list[bytes | None] = []
        self.recoveries = 0
        self.snapshot: bytes | None = None
        self.snapshot_at = 0
        self.task = self._made()
        self._prepare(live=True)

    def _made(self) -> LearnerTask:
        return LearnerTask(self.case, partitions=PARTITIONS, definition="d1")

    def _prepare(self, *, live: bool) -> None:
        self.task.pack = plain_pack if live else None
        if self.pool is not None:
            self.pool.prepare(self.task, live)

    def run(self, steps: Sequence[Step], during: Callable[[int], None] = lambda _: None) -> None:
        """Apply all; `during` is told of each batch's first step before it is settled."""
        at = 0
        while at < len(steps):
            batch = steps[at : at + self.batch]
            try:
                outputs = [output for step in batch for output in self._apply(step)]
                during(at)
                if self.pool is not None:
                    asyncio.run(self.pool.settle(self.task))
            except StateLost:
                self._recover(steps, at)
                continue
            self.entries.append(self.task.seal())
            self.outputs += outputs
            at += len(batch)
            if not (at // self.batch) % self.snapshot_every:
                self.snapshot, self.snapshot_at = self.written(), at
        for output in self.outputs:
            assert len(output.headers)

    def _apply(self, step: Step) -> list[Output]:
        task, out = self.task, []
        if isinstance(step, DriftAlarm):
            task.reaction.react(step, out)
        elif isinstance(step, Put):
            task.put_back(Stored(pickle.loads(step.slot), None))
        else:
            out = task.apply(task.read(*step))
        return out

    def _recover(self, steps: Sequence[Step], end: int) -> None:
        self.recoveries += 1
        self.task, begin = self._made(), 0
        if self.snapshot is not None:
            reader = Reader(self.snapshot)
            header = opened(reader.signed, KEY)
            allowed = Allowed(self.case.models.values(), self.case.event.__module__)
            restore(header, lambda name: [reader.blob(header, name)], self.task, allowed)
            begin = self.snapshot_at
        self._prepare(live=False)
        for at in range(begin, end, self.batch):
            for step in steps[at : at + self.batch]:
                self._apply(step)
            self.task.seal()
        self._prepare(live=True)

    def written(self) -> bytes:
        """The task's snapshot."""
        file = io.BytesIO()
        write(self.task, file, None, KEY, 0.0, Origin("group"))  # type: ignore[arg-type]
        return file.getvalue()

    def parts(self) -> dict[str, bytes]:
        """The task's state, by part."""
        parts = {}
        for name, part in parts_of(self.task).items():
            if isinstance(part, ModelSlot):
                part.changed = False  # as in a snapshot
            state = part.pickled() if isinstance(part, ModelSlot) else None
            parts[name] = pickle.dumps(part, 5) if state is None else state
        return parts


def differences(one: LearnerRun, other: LearnerRun) -> list[str]:
    """In what two runs differ: nothing, if they are the same to the byte."""
    told = []
    if one.entries != other.entries:
        told.append("journal")
    if len(one.outputs) != len(other.outputs):
        told.append(f"{len(one.outputs)} and {len(other.outputs)} outputs")
    for left, right in zip(one.outputs, other.outputs, strict=False):
        if left[:3] != right[:3] or left[4:] != right[4:] or not _alike(left, right):
            told.append(f"{left.kind}: {left.value!r} {right.value!r}"[:300])
            break
    first, second = one.parts(), other.parts()
    told += [
        f"part {name}"
        for name in sorted(first | second)
        if not _are_equal(first.get(name, b""), second.get(name, b""))
    ]
    return told


def _alike(left: Output, right: Output) -> bool:
    first, second = dict(left.headers), dict(right.headers)
    state, other = first.pop(STATE, b""), second.pop(STATE, b"")
    if first.get(ENCODING) != b"pickle":
        return (first, state) == (second, other)
    return first == second and _are_equal(state, other)


def _are_equal(state: bytes, other: bytes) -> bool:
    return equal_but_for_sharing(state, other) or equal_but_for_sharing(
        _without_chance(state), _without_chance(other)
    )


def _without_chance(state: bytes) -> bytes:
    """A pickle without the generators that River makes for densities and never draws from: they
    differ from process to process, in place too.
    """
    model = pickle.loads(state) if state else None
    for part in [*_objects(model)]:
        if isinstance(part, proba.Gaussian):
            part._rng = None
    return pickle.dumps(model, 5)


@contextmanager
def trainers(case: UseCase, wanted: int, **options: Any) -> Iterator[TrainerPool]:
    """A pool of trainers, ended afterwards."""
    server: ForkServer = fork_server_of(case, plain_pack)
    pool = TrainerPool(server, case, wanted, **options)
    try:
        yield pool
    finally:
        pool.close()
        server.close()
