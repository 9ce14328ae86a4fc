"""Predictions derived again from the log and held against those on their topic, float by float.

What is compared is the record's value, byte for byte (of Avro and Protobuf, the JSON that it was
made of); only where the bytes differ are they read, to name the first field that does. A difference
is a difference only where the same versions were to be had: under another River it says "cannot
prove".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import RiverrunError
from schemas.headers import has_schema
from schemas.topics import INPUTS, LEARNER
from streams.config.settings import Settings
from streams.kafka.topic_reader import Bounds, TopicReader
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.definition_span import FOLDS_MAX, Abreast, Pace, together
from streams.replay.derivation import Derivation, Redefine, StartingStates
from streams.replay.journal_fold import Diverged
from streams.replay.learner_derivation import VerifiedVersions, verify_versions
from streams.replay.prediction_lookup import PublishedRecords, drawn, find
from streams.replay.verified import PredictionDifference, Verified, differing
from streams.snapshots.version_transfer import VersionReaders

_END = object()


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
            tapes = [PublishedRecords(reader, tp) for tp in reader.topic_partitions]
            for begin in range(0, len(tapes), FOLDS_MAX):
                await run.every(tapes[begin : begin + FOLDS_MAX])
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
        self._aims: dict[int, int] = {}  # partition → entries to be derived
        self._stopped: set[int] = set()  # partitions whose rest is not derived
        self._shared = False
        self._ends: dict[int, int] = {}
        self._versions: VerifiedVersions | None = None
        self._readers = VersionReaders(verifier.settings.snapshot_key)

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
        versions = await self._derived_versions()
        self.result.versions_checked = versions.checked
        self.result.reasons += versions.reasons
        if versions.different is not None:
            self.result.different += 1
            self._name(
                PredictionDifference(LEARNER, 0, 0, None, "a version", versions.different, None)
            )

    async def _derived_versions(self) -> VerifiedVersions:
        """Derive them once; those that are the same are read faster by the folds of partitions."""
        if self._versions is None:
            settings, names = self._verifier.settings, self._verifier.names
            self._versions = await verify_versions(
                settings, names, self._definitions, self._partitions, self._readers.vouched
            )
        return self._versions

    async def every(self, tapes: Sequence[PublishedRecords]) -> None:
        """Compare all of some partitions: side by side where they take the same versions."""
        abreast = Abreast(tape.topic_partition.partition for tape in tapes)
        derivations = []
        try:
            for tape in tapes:
                number = tape.topic_partition.partition
                derivation = self._derivation(tape, abreast.pace(number), jumps=False)
                derivations.append(derivation)
                await self._open(derivation)
            if not self._shared:
                for derivation, tape in zip(derivations, tapes, strict=True):
                    await self._all_of(derivation, tape)
                return
            await self._derived_versions()

            async def fold(derivation: Derivation, tape: PublishedRecords) -> None:
                try:
                    await self._all_of(derivation, tape)
                finally:
                    abreast.leave(derivation.partition)

            await together(map(fold, derivations, tapes))
        finally:
            for derivation in derivations:
                await derivation.close()

    async def _all_of(self, derivation: Derivation, tape: PublishedRecords) -> None:
        end = self._ends[derivation.partition]
        await self._fold(derivation, tape, [end] if end else [], None, end)

    async def _open(self, derivation: Derivation) -> int:
        """Connect, and return the number of entries of the journal."""
        last = await derivation.open()
        self._shared = self._shared or (last is not None and len(last.next) > len(INPUTS))
        end = self._ends[derivation.partition] = 0 if last is None else last.seq + 1
        return end

    async def partition(self, published: PublishedRecords, wanted: Sequence[Any]) -> None:
        """Compare those predictions of one partition."""
        derivation = self._derivation(published, None, jumps=True)
        try:
            end = await self._open(derivation)
            positions = [_place(record) for record in wanted]
            goals = sorted({seq + 1 for seq, _ in positions if seq < end})
            await self._fold(derivation, published, goals, {step for _, step in positions}, end)
        finally:
            await derivation.close()

    def _derivation(
        self, published: PublishedRecords, pace: Pace | None, *, jumps: bool
    ) -> Derivation:
        verifier = self._verifier
        return Derivation(
            verifier.settings,
            verifier.names,
            self._definitions,
            partition=published.topic_partition.partition,
            partitions=self._partitions,
            starts=verifier.starts,
            jumps=jumps,  # of all of them, nothing may be jumped over
            redefine=verifier.redefine,
            readers=self._readers,
            pace=pace,
        )

    async def _fold(
        self,
        derivation: Derivation,
        published: PublishedRecords,
        goals: list[int],
        wanted: Collection[int] | None,
        end: int,
    ) -> None:
        derived: asyncio.Queue[Any] = asyncio.Queue()
        self._aims[derivation.partition] = max(goals, default=0)

        def outputs(fold_outputs: Sequence[Any]) -> None:
            for output in fold_outputs:
                if output.kind != "predictions":
                    continue
                if wanted is None or _decoded(output.value)["step"] in wanted:
                    derived.put_nowait((output, derivation.through))

        def entry(seq: int) -> None:
            self.result.entries += 1
            self._done += 1
            self._verifier.on_progress(self._done, sum(self._aims.values()))

        derivation.on_entry = entry
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
        self.result.skipped += 0 if derivation.task is None else derivation.task.counts["skipped"]
        self._note_versions(derivation)

    def _diverged(self, derivation: Derivation, error: Diverged) -> None:
        task = derivation.task
        assert task is not None
        foreign = [self._definitions.differences(name) for name in derivation.through]
        if differences := [line for lines in foreign for line in lines]:
            self._unproven(derivation, f"{error} ({'; '.join(differences)})")
            return
        self._stopped.add(derivation.partition)
        self.result.different += 1
        self._name(
            PredictionDifference(
                task.partition, task.seq, task.step, None, "journal", str(error), None
            )
        )

    def _unproven(self, derivation: Derivation, reason: str) -> None:
        self._stopped.add(derivation.partition)
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
            if partition in self._stopped:
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


def _place(record: Any) -> tuple[int, int]:
    published_row = _decoded(record.value)
    return published_row["seq"], published_row["step"]


def _decoded(value: bytes) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads(value)
    return row
