"""The relay's journal and inputs, read from Kafka.

The inputs of the relay change: an owner adds partitions to a topic, an author adds a source. So
each journal entry names its inputs, and is given here in the numbering that the relay has now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from faust.types import TP

from models.inputs.journal import mark_of
from models.relay.relay_task import RELAY
from schemas.errors import Incompatible
from streams.partition.wiring import PartitionLog
from streams.replay.input_check import made_anew
from streams.replay.journal_fold import Entry
from streams.replay.kafka_log import KafkaLog


class RelayLog(KafkaLog):
    """The relay's journal, and the foreign partitions that it reads."""

    def __init__(self, client: Mapping[str, Any], *, journal: str, inputs: Sequence[Any]) -> None:
        super().__init__(client, journal=journal, inputs=inputs, partition=RELAY)
        self._names = [[tp.topic, tp.partition] for tp in inputs]

    async def last(self) -> Entry | None:
        """Return the newest journal entry; None if there never was one."""
        entry = await super().last()
        return None if entry is None else renumbered(entry, self._names)

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Yield journal entries from that number on."""
        async for entry in super().entries(seq):
            yield renumbered(entry, self._names)


def renumbered(entry: Entry, names: Sequence[Sequence[Any]]) -> Entry:
    """Return the relay's journal entry in the numbering of these inputs, (topic, partition) each.

    >>> entry = Entry(0, 3, [], [7], "d", marks=[5], inputs=[["orders", 0]])
    >>> renumbered(entry, [["orders", 1], ["orders", 0]]).next
    [-1, 7]
    """
    if entry.inputs is None or [list(each) for each in entry.inputs] == [list(n) for n in names]:
        return entry
    index = {(topic, partition): i for i, (topic, partition) in enumerate(entry.inputs)}
    topic_partitions = [index.get((topic, partition)) for topic, partition in names]
    return entry._replace(
        runs=[],
        next=[-1 if i is None else entry.next[i] for i in topic_partitions],
        marks=[-1 if i is None else entry.marks[i] for i in topic_partitions],
        inputs=[list(name) for name in names],
    )


async def refuse_replaced(log: PartitionLog, topic_partitions: Sequence[TP], entry: Entry) -> None:
    """Raise `Incompatible` if an input no longer holds the record that was taken last.

    A record that compaction or retention has removed cannot be compared.
    """
    bounds = zip(await log.beginnings(), await log.ends(), strict=True)
    rows = zip(topic_partitions, entry.next, entry.marks, bounds, strict=True)
    for index, (tp, offset, mark, (start, end)) in enumerate(rows):
        if mark < 0 or not start < offset <= end:
            continue
        record = await log.at(index, offset - 1)
        if record is not None and mark_of(record) != mark:
            raise Incompatible(made_anew(tp.topic, tp.partition, offset - 1))
