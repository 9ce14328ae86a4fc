"""A partition's journal and inputs read from Kafka, outside the group, as committed.

A plain consumer without a group: it reads what recovery, verification and replay ask for and
never takes part in a rebalance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import Incompatible, Unavailable
from schemas.topics import INPUTS
from streams.recovery import Entry

TAIL = (8, 128, 2_048, 32_768)  # offsets to look back over for the last journal entry
REQUEST_MS = 20_000  # each is answered at once; another connection takes a silent one's place


class KafkaLog:
    """Journal and inputs of one partition (recovery.Log). start → ... → close, on one loop."""

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        journal: str,
        inputs: Sequence[str | None],
        partition: int,
        timeout_s: float = 30.0,
    ) -> None:
        self.journal = TopicPartition(journal, partition)
        self.inputs = [
            None if topic is None else TopicPartition(topic, partition) for topic in inputs
        ]
        self.timeout_s = timeout_s
        self._consumer = AIOKafkaConsumer(
            **client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=20,
            request_timeout_ms=REQUEST_MS,
        )
        self._queued: dict[TopicPartition, deque[Any]] = {}

    async def start(self) -> None:
        """Connect. Raises `Unavailable` if Kafka does not answer."""
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise Unavailable(f"Kafka cannot be read: {error}") from error
        self._consumer.assign([self.journal, *(tp for tp in self.inputs if tp is not None)])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._consumer.stop()

    async def beginnings(self) -> list[int]:
        """First offset of each input that is still kept; -1 for an input without a topic."""
        return await self._offsets(self._consumer.beginning_offsets)

    async def ends(self) -> list[int]:
        """Last stable offset of each input; -1 for an input without a topic."""
        return await self._offsets(self._consumer.end_offsets)

    async def last(self) -> Entry | None:
        """The newest journal entry; None if there never was one.

        Raises `Incompatible` if there were some and all are deleted: nobody knows the position.
        """
        start, end = await self._bounds()
        for back in (*TAIL, end):
            records = await self._read(self.journal, max(start, end - back), end)
            if records:
                return Entry.decode(records[-1].value)
            if end - back <= start:
                break
        if start > 0:
            raise Incompatible(
                f"{self.journal.topic}[{self.journal.partition}] had entries and all of them were "
                "deleted, so the position is not known. Keep the journal for ever: retention.ms=-1"
            )
        return None

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Journal entries from that number on, to the end that the journal has now."""
        low, end = await self._bounds()
        high = end
        # Numbers grow with offsets: halve until the way that is left is short.
        while high - low > 2_000:
            middle = (low + high) // 2
            entry = await self._first(middle, end)
            if entry is None or entry.seq > seq:
                high = middle
            else:
                low = middle
        self._seek(self.journal, low)
        while (record := await self._next(self.journal, end)) is not None:
            entry = Entry.decode(record.value)
            if entry.seq >= seq:
                yield entry

    async def run(self, input: int, first: int, count: int) -> list[Any]:
        """`count` visible records of an input from offset `first` on."""
        tp = self.inputs[input]
        if tp is None:
            raise Incompatible(f"the journal names input {input}, which has no topic now")
        queue = self._queued.get(tp)
        if not queue or queue[0].offset != first:
            self._seek(tp, first)
        records: list[Any] = []
        while len(records) < count:
            record = await self._next(tp, None)
            if record is None or (not records and record.offset != first):
                found = "nothing" if record is None else f"offset {record.offset}"
                raise Incompatible(
                    f"{tp.topic}[{tp.partition}] gave {found} where the journal has offset {first}:"
                    " it was deleted by retention or the topic was made anew"
                )
            records.append(record)
        return records

    async def _offsets(self, ask: Any) -> list[int]:
        offsets = await ask([tp for tp in self.inputs if tp is not None])
        return [-1 if tp is None else offsets[tp] for tp in self.inputs]

    async def _bounds(self) -> tuple[int, int]:
        start = await self._consumer.beginning_offsets([self.journal])
        end = await self._consumer.end_offsets([self.journal])
        return start[self.journal], end[self.journal]

    async def _first(self, offset: int, end: int) -> Entry | None:
        self._seek(self.journal, offset)
        record = await self._next(self.journal, end)
        return None if record is None else Entry.decode(record.value)

    async def _read(self, tp: TopicPartition, start: int, end: int) -> list[Any]:
        self._seek(tp, start)
        records: list[Any] = []
        while (record := await self._next(tp, end)) is not None:
            records.append(record)
        return records

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        self._consumer.seek(tp, offset)
        self._queued[tp] = deque()

    async def _next(self, tp: TopicPartition, end: int | None) -> Any | None:
        # The next visible record, or None once everything below `end` was seen.
        queue = self._queued[tp]
        waited_ms = 0
        while not queue:
            position = await self._consumer.position(tp)
            if end is not None and position >= end:
                return None
            try:
                fetched = await self._consumer.getmany(tp, timeout_ms=250, max_records=2_000)
            except KafkaError as error:
                raise Unavailable(f"{tp.topic}[{tp.partition}] cannot be read: {error}") from error
            queue.extend(fetched.get(tp, ()))
            if not queue and await self._consumer.position(tp) == position:
                waited_ms += 250
                if waited_ms >= self.timeout_s * 1000:
                    raise Unavailable(f"{tp.topic}[{tp.partition}] gives nothing at {position}")
        record = queue.popleft()
        if end is not None and record.offset >= end:
            return None
        return record


async def newest_entries(
    client: Mapping[str, Any], names: Mapping[str, str], partitions: Iterable[int]
) -> dict[int, Entry | None]:
    """Where each of those partitions stands; `names` kind → topic."""
    found: dict[int, Entry | None] = {}
    for number in partitions:
        inputs = [names[kind] for kind in INPUTS]
        log = KafkaLog(client, journal=names["journal"], inputs=inputs, partition=number)
        try:
            await log.start()
            found[number] = await log.last()
        finally:
            await log.close()
    return found
