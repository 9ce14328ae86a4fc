"""Predictions derived again from the log and held against those on their topic, float by float.

What is compared is the record's value, byte for byte (of Avro and Protobuf, the JSON that it was
made of); only where the bytes differ are they read, to name the first field that does. A difference
is a difference only where the same versions were to be had: under another River it says "cannot
prove".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import RiverrunError
from schemas.headers import has_schema
from schemas.topics import INPUTS, LEARNER
from streams.config.settings import Settings
from streams.kafka.topic_reader import Bounds, TopicReader
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.derivation import Derivation, Redefine, StartingStates
from streams.replay.journal_fold import Diverged
from streams.replay.learner_derivation import verify_versions
from streams.replay.prediction_lookup import PublishedRecords, drawn, find

_END = object()


@dataclass(slots=True)
class PredictionDifference:
    """The first that was found: where, in what, and both values (None: there is none)."""

    partition: int
    seq: int
    step: int
    event_id: str | None
    field: str
    published: Any
    derived: Any

    def __str__(self) -> str:
        return (
            f"partition {self.partition}, journal entry {self.seq}, step {self.step}, event "
            f"{self.event_id}: {self.field} is {_shown(self.published)} on the topic and "
            f"{_shown(self.derived)} derived again"
        )


@dataclass(slots=True)
class Verified:
    """What a verification found."""

    checked: int = 0
    different: int = 0
    unproven: int = 0
    first: PredictionDifference | None = None
    reasons: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    entries: int = 0
    unreadable: int = 0  # records on the topic that are no predictions
    versions_checked: int = 0  # of shared models, derived again and the same
    skipped: int = 0  # records that the journal has as set aside, in what was derived

    @property
    def proved(self) -> bool:
        """True if everything that was asked for was derived again, and was the same."""
        return not self.different and not self.unproven and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self) | {"proved": self.proved}


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies the predictions of one use case under one prefix.

    `on_progress(entries done, entries in all)`.
    """

    settings: Settings
    names: Mapping[str, str]
    starts: StartingStates | None = None
    redefine: Redefine | None = None
    on_progress: Callable[[int, int], None] = lambda done, total: None
    trusted: Collection[str] = ()  # sources that may be run unsigned

    async def every(self) -> Verified:
        """Verify all predictions."""
        async with TopicReader([self.names["predictions"]], self.settings) as reader:
            run = await _Run.of(self, reader)
            for topic_partition in reader.topic_partitions:
                await run.partition(PublishedRecords(reader, topic_partition), None)
            await run.versions()
            return run.done()

    async def sample(self, count: int, seed: int) -> Verified:
        """Verify so many of them, drawn evenly."""
        async with TopicReader([self.names["predictions"]], self.settings) as reader:
            run = await _Run.of(self, reader)
            picked = await drawn(reader, count, random.Random(seed))
            for topic_partition, records in picked.items():
                readable = [r for r in records if reader.row("predictions", r) is not None]
                await run.partition(PublishedRecords(reader, topic_partition, readable), readable)
            await run.versions()
            return run.done()

    async def one(self, event_id: str) -> Verified:
        """Return the prediction of that event; raise `RiverrunError` if there is none."""
        async with TopicReader([self.names["predictions"]], self.settings) as reader:
            run = await _Run.of(self, reader)
            record = await find(reader, reader.topic_partitions, "predictions", event_id)
            if record is None:
                raise RiverrunError(
                    f"there is no prediction of {event_id!r} on {self.names['predictions']}. "
                    "`riverrun explain` looks in the other topics, too."
                )
            topic_partition = TopicPartition(record.topic, record.partition)
            await run.partition(PublishedRecords(reader, topic_partition, [record]), [record])
            await run.versions()
            return run.done()


class _Run:
    """One verification under way."""

    def __init__(
        self,
        verifier: Verifier,
        definitions: DefinitionHistory,
        bounds: Bounds,
        reader: TopicReader,
    ) -> None:
        self.result = Verified()
        self._reader = reader
        self._verifier = verifier
        self._definitions = definitions
        self._bounds = bounds
        self._partitions = len(reader.topic_partitions)
        self._done = 0
        self._stopped = False
        self._shared = False

    @classmethod
    async def of(cls, verifier: Verifier, reader: TopicReader) -> _Run:
        """Read what all partitions need."""
        names, settings = verifier.names, verifier.settings
        if not reader.topic_partitions:
            raise RiverrunError(f"there is no topic {names['predictions']}. See `riverrun topics`.")
        topic = names["definitions"]
        definitions = await DefinitionHistory.read(topic, settings, trusted=verifier.trusted)
        return cls(verifier, definitions, await reader.bounds(), reader)

    def done(self) -> Verified:
        """Return what was found, after the last partition."""
        self.result.unreadable = self._reader.unreadable.count
        return self.result

    async def versions(self) -> None:
        """Derive the versions of shared models, too, if partitions have taken any."""
        if not self._shared:
            return
        settings, names = self._verifier.settings, self._verifier.names
        versions = await verify_versions(settings, names, self._definitions, self._partitions)
        self.result.versions_checked = versions.checked
        self.result.reasons += versions.reasons
        if versions.different is not None:
            self.result.different += 1
            self._name(
                PredictionDifference(LEARNER, 0, 0, None, "a version", versions.different, None)
            )

    async def partition(self, published: PublishedRecords, wanted: Sequence[Any] | None) -> None:
        """Compare one partition; `wanted` are the predictions to look at, None all of them."""
        verifier = self._verifier
        derivation = Derivation(
            verifier.settings,
            verifier.names,
            self._definitions,
            partition=published.topic_partition.partition,
            partitions=self._partitions,
            starts=verifier.starts,
            jumps=wanted is not None,  # of all of them, nothing may be jumped over
            redefine=verifier.redefine,
        )
        try:
            last = await derivation.open()
            end = 0 if last is None else last.seq + 1
            self._shared = self._shared or (last is not None and len(last.next) > len(INPUTS))
            if wanted is None:
                await self._fold(derivation, published, [end] if end else [], None, end)
            else:
                places = [_place(record) for record in wanted]
                goals = sorted({seq + 1 for seq, _ in places if seq < end})
                await self._fold(derivation, published, goals, {step for _, step in places}, end)
        finally:
            await derivation.close()

    async def _fold(
        self,
        derivation: Derivation,
        published: PublishedRecords,
        goals: list[int],
        wanted: Collection[int] | None,
        end: int,
    ) -> None:
        derived: asyncio.Queue[Any] = asyncio.Queue()
        aim = self._done + max(goals, default=0)

        def outputs(fold_outputs: Sequence[Any]) -> None:
            for output in fold_outputs:
                if output.kind != "predictions":
                    continue
                if wanted is None or _decoded(output.value)["step"] in wanted:
                    derived.put_nowait((output, derivation.through))

        def entry(seq: int) -> None:
            self.result.entries += 1
            self._verifier.on_progress(self._done + seq + 1, aim)

        derivation.on_entry = entry
        self._stopped = False
        comparing = asyncio.create_task(self._compare(derivation, derived, published, end))
        try:
            for goal in goals:
                await derivation.to(goal, outputs)
        except Diverged as error:
            self._diverged(derivation, error)
        except Unprovable as error:
            self._unproven(derivation, str(error))
        finally:
            derived.put_nowait((_END, derivation.through))
            await comparing
        self._done = aim
        self.result.skipped += 0 if derivation.task is None else derivation.task.counts["skipped"]
        self._note_versions(derivation)

    def _diverged(self, derivation: Derivation, error: Diverged) -> None:
        task = derivation.task
        assert task is not None
        foreign = [self._definitions.differences(name) for name in derivation.through]
        if differences := [line for lines in foreign for line in lines]:
            self._unproven(derivation, f"{error} ({'; '.join(differences)})")
            return
        self._stopped = True
        self.result.different += 1
        self._name(
            PredictionDifference(
                task.partition, task.seq, task.step, None, "journal", str(error), None
            )
        )

    def _unproven(self, derivation: Derivation, reason: str) -> None:
        self._stopped = True
        self.result.reasons.append(f"partition {derivation.partition}: {reason}")

    def _before_the_log(self, derivation: Derivation) -> None:
        self.result.unproven += 1
        reason = (
            f"partition {derivation.partition}: log and archive reach back to entry "
            f"{derivation.began}; what was said before cannot be derived."
        )
        if reason not in self.result.reasons:
            self.result.reasons.append(reason)

    def _note_versions(self, derivation: Derivation) -> None:
        if derivation.task is None:
            return
        for line in self._definitions.differences(derivation.task.definition):
            if line not in self.result.versions:
                self.result.versions.append(line)

    # Two streams in the order of steps, compared as they come.

    async def _compare(
        self,
        derivation: Derivation,
        derived: asyncio.Queue[Any],
        published: PublishedRecords,
        end: int,
    ) -> None:
        """Compare until the derived ones end; of the published, those before entry `end`."""
        partition = published.topic_partition.partition
        seen = not self._bounds[published.topic_partition][0]
        record = await published.next()
        output, through = await derived.get()
        while output is not _END:
            if record is None:
                record = await published.next()  # committed by now
            if record is not None and record.value == output.value:
                self.result.checked += 1
                seen = True
                record, (output, through) = await published.next(), await derived.get()
                continue
            derived_row = _decoded(output.value)
            published_row = None if record is None else self._reader.row("predictions", record)
            if record is not None and published_row is None:
                record = await published.next()
                continue
            in_format = record is not None and has_schema(record.headers)
            if published_row is not None and published_row["step"] <= derived_row["step"]:
                seen = True
                record = await published.next()
                if published_row["seq"] < derivation.began:
                    self._before_the_log(derivation)
                    continue
                if published_row["step"] < derived_row["step"]:
                    self._differs(published_row, None, partition, through)
                    continue
                if in_format and published_row == derived_row:
                    self.result.checked += 1  # Protobuf keeps no order of the entries of a map
                else:
                    self._differs(published_row, derived_row, partition, through)
            elif seen:
                self._differs(None, derived_row, partition, through)
            # else the topic's first records are deleted by retention
            output, through = await derived.get()
        while record is not None:
            published_row = self._reader.row("predictions", record)
            if published_row is None:
                record = await published.next()
                continue
            if published_row["seq"] >= end:
                break  # answered since this began
            if self._stopped:
                self.result.unproven += 1
            else:
                self._differs(published_row, None, partition, through)
            record = await published.next()

    def _differs(
        self,
        published_row: dict[str, Any] | None,
        derived_row: dict[str, Any] | None,
        p: int,
        through: Sequence[str],
    ) -> None:
        self.result.checked += 1
        known = published_row or derived_row
        assert known is not None
        name, was, now = next(
            differing(published_row, derived_row), ("the bytes", published_row, derived_row)
        )
        # What was folded on another runtime, here or on the way to here, may well differ.
        foreign = (self._definitions.differences(definition) for definition in through)
        versions = list(dict.fromkeys(line for lines in foreign for line in lines))
        if versions:
            self.result.unproven += 1
            reason = f"predictions differ, but they were made with {'; '.join(versions)}"
            if reason not in self.result.reasons:
                self.result.reasons.append(reason)
            return
        self.result.different += 1
        self._name(
            PredictionDifference(p, known["seq"], known["step"], known["event_id"], name, was, now)
        )

    def _name(self, difference: PredictionDifference) -> None:
        self.result.first = self.result.first or difference


def differing(published_row: Any, derived_row: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two values differ, as (path, published, derived).

    >>> list(differing({"a": {"b": 1.0}}, {"a": {"b": 2.0}}))
    [('a.b', 1.0, 2.0)]
    """
    if isinstance(published_row, dict) and isinstance(derived_row, dict):
        for name in dict.fromkeys((*published_row, *derived_row)):
            yield from differing(
                published_row.get(name), derived_row.get(name), f"{at}.{name}" if at else name
            )
    elif published_row != derived_row or type(published_row) is not type(derived_row):
        yield at or "the prediction", published_row, derived_row


def _place(record: Any) -> tuple[int, int]:
    published_row = _decoded(record.value)
    return published_row["seq"], published_row["step"]


def _decoded(value: bytes) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads(value)
    return row


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
