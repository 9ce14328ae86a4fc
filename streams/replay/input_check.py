"""Checks that the inputs still hold the records that the journal says were taken from them.

An offset names a record only while its topic is the same one. So a journal entry has a mark of the
record before each input's position, and here the topic's own record is held against it. What no
longer fits is refused with the ways on: to read on from the old offset would answer the wrong
records, and some of them never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from models.inputs.journal import mark_of
from models.spec.use_case import UseCase
from schemas.errors import Incompatible, RiverrunError
from schemas.topics import CATALOGUE, INPUTS
from streams.config.check_result import CheckResult, bad, good
from streams.config.settings import Settings
from streams.kafka.input_partitions import located
from streams.kafka.topic_reader import TopicReader
from streams.replay.journal_fold import Entry
from streams.topics.topic_admin import names_of
from streams.topics.topic_identity import TopicIdentity

MADE_BY_WORKERS = ("predictions", "examples", "dead-letter")
"""Kinds whose records come with a journal entry."""

START_OVER = (
    "Nothing was applied. Either restore the topic as it was, with the same records at the same "
    "offsets; or start over beside what is there: under another prefix (`--prefix`), or with "
    "another name of the use case if its topics are adopted, a worker takes the topics from their "
    "beginning. What was learnt stays with the old name."
)
"""The ways on from a topic that is not the one that was read."""


class Inputs(Protocol):
    """Where records are looked up (kafka_log.KafkaLog)."""

    async def at(self, input: int, offset: int) -> Any | None: ...  # noqa: D102 - KafkaLog says it


async def refuse_others(
    topic_partitions: Sequence[TopicPartition | None],
    following: Sequence[int],
    marks: Sequence[int],
    bounds: Sequence[tuple[int, int]],
    inputs: Inputs,
) -> None:
    """Raise `Incompatible` if an input's record before the position is not the one that was taken.

    Of each input: its place, next offset, mark, and the offsets (first, end) that it holds. What
    retention has deleted cannot be compared.
    """
    rows = zip(topic_partitions, following, marks, bounds, strict=False)
    for index, (tp, at, mark, (start, end)) in enumerate(rows):
        if tp is None or mark < 0 or not start < at <= end:
            continue
        record = await inputs.at(index, at - 1)
        if record is None or mark_of(record) != mark:
            raise Incompatible(made_anew(tp.topic, tp.partition, at - 1))


def made_anew(topic: str, partition: int, offset: int) -> str:
    """Return the error about a topic that holds other records now."""
    return (
        f"{topic}[{partition}] does not hold the record at offset {offset} that was taken there: "
        f"the topic was deleted and created again, or restored with other records. {START_OVER}"
    )


def refuse_count(name: str, last: Entry | None, partitions: int | None) -> None:
    """Raise `Incompatible` if the journal was written with another number; None: not known."""
    if last is None or partitions is None or last.partitions is None:
        return
    if last.partitions != partitions:
        raise Incompatible(
            f"the topics have {partitions} partitions, and the journal was written with "
            f"{last.partitions}: keys are on other partitions now than their state. The number "
            f"does not change under a running use case: `riverrun repartition {name} N` replays "
            "into new topics."
        )


async def faults(name: str, names: Mapping[str, str], settings: Settings) -> list[str]:
    """Return in words what does not fit between topics and journal; empty where all does."""
    kinds = ("journal", *INPUTS, *MADE_BY_WORKERS)
    async with TopicReader([names[kind] for kind in kinds], settings) as reader:
        misfits = _counts(name, names, reader)
        inputs = _Inputs(reader, [names[kind] for kind in INPUTS])
        journals = reader.of(names["journal"])
        for topic_partition in journals:
            inputs.partition = topic_partition.partition
            records = await reader.last(topic_partition)
            bounds = await reader.bounds()  # after the journal's end, which workers move on
            if not records:
                misfits += await _unjournaled(
                    names, reader, topic_partition, bounds[topic_partition]
                )
                continue
            last = Entry.decode(records[-1].value)
            topic_partitions = located([names[kind] for kind in INPUTS], topic_partition.partition)
            known = [bounds.get(one, (0, 0)) for one in topic_partitions]
            try:
                refuse_count(name, last, len(journals))
                refuse_beyond(topic_partitions, last.next, known)
                await refuse_others(topic_partitions, last.next, last.marks, known, inputs)
            except RiverrunError as error:
                misfits.append(str(error))
    return list(dict.fromkeys(misfits))


async def refuse_misfits(name: str, names: Mapping[str, str], settings: Settings) -> None:
    """Raise `Incompatible` if topics and journal do not fit."""
    if misfits := await faults(name, names, settings):
        raise Incompatible("\n".join(misfits))


def examined(use_case: UseCase, settings: Settings) -> list[CheckResult]:
    """Return the same as `riverrun doctor` has it."""
    try:
        misfits = asyncio.run(faults("USECASE", names_of(use_case, settings), settings))
    except RiverrunError as error:
        return [bad("topics", str(error), "See the checks above.")]
    if not misfits:
        return [good("topics", "what the journal says was taken is what the topics hold")]
    parts = (text.partition(". ") for text in misfits)
    return [bad("topics", cause, remedy) for cause, _, remedy in parts]


def _counts(name: str, names: Mapping[str, str], reader: TopicReader) -> list[str]:
    count = {kind: len(reader.of(names[kind])) for kind in ("journal", *INPUTS, *MADE_BY_WORKERS)}
    if len(set(count.values())) == 1:
        return []
    if missing := [names[kind] for kind, number in count.items() if not number]:
        return [f"There is no topic {', '.join(missing)}. `riverrun worker {name}` makes it."]
    each = ", ".join(f"{names[kind]} has {number}" for kind, number in count.items())
    return [
        f"the topics have different numbers of partitions: {each}. `riverrun repartition {name} N` "
        "replays into new topics."
    ]


async def _unjournaled(
    names: Mapping[str, str], reader: TopicReader, journal: TopicPartition, bounds: tuple[int, int]
) -> list[str]:
    if bounds[0] > 0:
        return [
            f"{journal.topic}[{journal.partition}] had entries and all of them were deleted, so "
            "the position is not known. Keep the journal for ever: retention.ms=-1"
        ]
    for kind in MADE_BY_WORKERS:
        topic_partition = TopicPartition(names[kind], journal.partition)
        if topic_partition in reader.topic_partitions and await reader.last(topic_partition):
            return [
                f"{journal.topic}[{journal.partition}] is empty, and {topic_partition.topic} has "
                f"records of this partition: the journal was deleted or created again. {START_OVER}"
            ]
    return []


def refuse_beyond(
    topic_partitions: Sequence[TopicPartition | None],
    following: Sequence[int],
    bounds: Sequence[tuple[int, int]],
) -> None:
    """Raise `Incompatible` if an input's position is not within the offsets that it holds."""
    for tp, at, (start, end) in zip(topic_partitions, following, bounds, strict=False):
        if tp is None or at < 0:
            continue
        if at > end:
            raise Incompatible(
                f"{tp.topic}[{tp.partition}] ends at offset {end}, and {at} is next: the topic was "
                f"created again, or lost its newest records. {START_OVER}"
            )
        if at < start:
            raise Incompatible(
                f"{tp.topic}[{tp.partition}] begins with offset {start}, and {at} is next: records "
                "were deleted before they were taken. Raise its retention (retention.ms=-1). "
                f"{START_OVER}"
            )


class _Inputs:
    """A partition's inputs on tapes (`Inputs`)."""

    def __init__(self, reader: TopicReader, topics: Sequence[str]) -> None:
        self.partition = 0
        self._reader = reader
        self._topics = topics

    async def at(self, input: int, offset: int) -> Any | None:
        topic_partition = TopicPartition(self._topics[input], self.partition)
        async for record in self._reader.records(topic_partition, offset, offset + 1):
            return record if record.offset == offset else None
        return None


def changes(
    name: str,
    topics: Mapping[str, str],
    first: Mapping[str, TopicIdentity],
    now: Mapping[str, TopicIdentity],
    partitions: int,
) -> tuple[list[str], list[str]]:
    """Return (what ends a worker, what it warns of), since it first looked at its topics.

    `topics` kind → name. A topic that is away for the moment is not spoken of.
    """
    ending, warning = [], []
    for topic in CATALOGUE:
        title = topics[topic.kind]
        before, current = first.get(title), now.get(title)
        if current is None:
            continue
        if before is not None and before.id != current.id:
            read = topic.kind in INPUTS or topic.kind == "journal"
            text = f"{title} was deleted and created again while this worker ran."
            if read:
                ending.append(f"{text} {START_OVER}")
            else:
                warning.append(f"{text} What was on it is gone; what comes is written there.")
        if topic.partitioned and current.partitions != partitions:
            ending.append(
                f"{title} has {current.partitions} partitions, and this use case {partitions}: "
                "keys are on other partitions now than their state, and what is on the new ones is "
                f"not answered. `riverrun repartition {name} N` replays into new topics."
            )
    return ending, warning
