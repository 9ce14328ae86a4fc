"""A partition's journal and inputs read from Kafka, outside the group, as committed.

A plain consumer without a group: it reads what recovery, verification and replay ask for and
never takes part in a rebalance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.training.learner_inputs import learner_inputs
from schemas.errors import Incompatible, Unavailable
from schemas.topics import INPUTS, LEARNER
from streams.config.settings import Settings
from streams.kafka.header_names import tolerate
from streams.kafka.input_partitions import Input, located
from streams.kafka.record_decoder import content
from streams.replay.journal_fold import Entry

TAIL = (8, 128, 2_048, 32_768)  # offsets to look back over for the last journal entry
REQUEST_MS = 20_000  # each is answered at once; another connection takes a silent one's place


TIMEOUT_S = 30.0
"""How long a read may bring nothing."""


class KafkaLog:
    """Journal and inputs of one partition (recovery.Log). start → ... → close, on one loop."""

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        journal: str,
        inputs: Sequence[Input],
        partition: int,
    ) -> None:
        self.journal = TopicPartition(journal, partition)
        self.inputs = located(inputs, partition)
        tolerate()
        self._consumer = AIOKafkaConsumer(
            **client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=20,
            request_timeout_ms=REQUEST_MS,
        )
        self._queued: dict[TopicPartition, deque[Any]] = {}

    def read_also(self, tp: TopicPartition) -> None:
        """Let one more partition be the last of the inputs."""
        self.inputs = [*self.inputs, tp]
        self._assign()

    def _assign(self) -> None:
        self._consumer.assign([self.journal, *(tp for tp in self.inputs if tp is not None)])

    async def start(self) -> None:
        """Connect. Raises `Unavailable` if Kafka does not answer."""
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise Unavailable(f"Kafka cannot be read: {error}") from error
        self._assign()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._consumer.stop()

    async def beginnings(self) -> list[int]:
        """Return the first kept offset of each input; -1 for an input without a topic."""
        return await self._offsets(self._consumer.beginning_offsets)

    async def ends(self) -> list[int]:
        """Return the last stable offset of each input; -1 for an input without a topic."""
        return await self._offsets(self._consumer.end_offsets)

    async def last(self) -> Entry | None:
        """Return the newest journal entry; None if there never was one.

        Raises `Incompatible` if there were some and all are deleted: nobody knows the position.
        """
        start, end = await self._bounds()
        for back in (*TAIL, end):
            records = await self._read(self.journal, max(start, end - back), end)
            if records:
                return journal_entry(records[-1])
            if end - back <= start:
                break
        if start > 0:
            raise Incompatible(
                f"{self.journal.topic}[{self.journal.partition}] had entries and all of them were "
                "deleted, so the position is not known. Keep the journal for ever: retention.ms=-1"
            )
        return None

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Yield journal entries from that number on, to the end that the journal has now."""
        async for entry in self._entries(lambda entry: entry.seq >= seq):
            yield entry

    async def entry_of(self, step: int) -> Entry | None:
        """Return the journal entry that holds a step; None if the journal ends before it."""
        async for entry in self._entries(lambda entry: entry.step >= step):
            return entry
        return None

    async def entry_with(self, index: int, offset: int) -> Entry | None:
        """Return the entry that took the record at that offset of an input; None if none has."""
        async for entry in self._entries(lambda entry: entry.next[index] > offset):
            return entry
        return None

    async def run(self, input: int, first: int, count: int) -> list[Any]:
        """Yield `count` visible records of an input from offset `first` on."""
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
                received = "nothing" if record is None else f"offset {record.offset}"
                raise Incompatible(
                    f"{tp.topic}[{tp.partition}] gave {received} where the journal has offset "
                    f"{first}: it was deleted by retention or the topic was created again"
                )
            records.append(record)
        return records

    async def between(self, input: int, first: int, end: int) -> list[Any]:
        """Return the visible records of an input from offset `first` to before `end`."""
        tp = self.inputs[input]
        assert tp is not None
        queue = self._queued.get(tp)
        if not queue or queue[0].offset != first:
            self._seek(tp, first)
        records: list[Any] = []
        while (record := await self._next(tp, end)) is not None:
            records.append(record)
        return records

    async def at(self, input: int, offset: int) -> Any | None:
        """Return the record of an input at that offset; None if none is visible there."""
        tp = self.inputs[input]
        assert tp is not None
        self._seek(tp, offset)
        return await self._next(tp, offset + 1)

    async def unread(self, input: int, first: int) -> list[Any]:
        """Return the visible records of an input from offset `first` (-1: its beginning) to its
        end.
        """
        tp = self.inputs[input]
        if tp is None:
            return []
        end = (await self._consumer.end_offsets([tp]))[tp]
        if end <= max(first, 0):
            return []
        start = (await self._consumer.beginning_offsets([tp]))[tp]
        return await self._read(tp, max(first, start), end)

    async def _offsets(self, ask: Any) -> list[int]:
        offsets = await ask([tp for tp in self.inputs if tp is not None])
        return [-1 if tp is None else offsets[tp] for tp in self.inputs]

    async def _bounds(self) -> tuple[int, int]:
        start = await self._consumer.beginning_offsets([self.journal])
        end = await self._consumer.end_offsets([self.journal])
        return start[self.journal], end[self.journal]

    async def _entries(self, reached: Callable[[Entry], bool]) -> AsyncIterator[Entry]:
        low, end = await self._bounds()
        high = end
        # `seq` and `step` grow with offsets. Whoever takes over asks for the newest entries, so it
        # is looked for from the end, ever further back; then halved until the rest is short.
        for back in TAIL:
            if end - back <= low:
                break
            if not await self._is_reached(end - back, end, reached):
                low = end - back
                break
            high = end - back
        while high - low > 2_000:
            middle = (low + high) // 2
            if await self._is_reached(middle, end, reached):
                high = middle
            else:
                low = middle
        self._seek(self.journal, low)
        while (record := await self._next(self.journal, end)) is not None:
            entry = journal_entry(record)
            if reached(entry):
                yield entry

    async def _is_reached(self, offset: int, end: int, reached: Callable[[Entry], bool]) -> bool:
        # True, too, where no entry follows.
        self._seek(self.journal, offset)
        record = await self._next(self.journal, end)
        return record is None or reached(journal_entry(record))

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
                if waited_ms >= TIMEOUT_S * 1000:
                    raise Unavailable(f"{tp.topic}[{tp.partition}] gives nothing at {position}")
        if end is not None and queue[0].offset >= end:
            return None
        return queue.popleft()


def journal_entry(record: Any) -> Entry:
    """Return the journal entry; nothing may be left out here, since its order is the state."""
    try:
        content("journal", record)
    except ValueError as error:
        raise Incompatible(
            f"{record.topic}[{record.partition}]@{record.offset} is no journal entry: {error}. "
            "Something else than a worker wrote there, and what was taken in which order is not "
            "known past it. Let only workers write to the journal, and start over under another "
            "--prefix; `riverrun repartition` copies the inputs there."
        ) from None
    return Entry.decode(record.value)


async def newest_entries(
    client: Mapping[str, Any], names: Mapping[str, str], partitions: Iterable[int]
) -> dict[int, Entry | None]:
    """Return where each of those partitions, or the learner, stands; `names` kind → topic."""
    entries: dict[int, Entry | None] = {}
    for number in partitions:
        learns = number == LEARNER
        journal = names["learning" if learns else "journal"]
        log = KafkaLog(client, journal=journal, inputs=[], partition=0 if learns else number)
        try:
            await log.start()
            entries[number] = await log.last()
        finally:
            await log.close()
    return entries


def log_of(settings: Settings, names: Mapping[str, str], number: int, partitions: int) -> KafkaLog:
    """Return the journal and inputs of a partition, or of the learner (`LEARNER`)."""
    client = settings.kafka_client()
    if number == LEARNER:
        inputs = _learner_places(names, partitions, features=False)
        return KafkaLog(client, journal=names["learning"], inputs=inputs, partition=0)
    own = [names[kind] for kind in INPUTS]
    return KafkaLog(client, journal=names["journal"], inputs=own, partition=number)


def _learner_places(
    names: Mapping[str, str], partitions: int, *, features: bool
) -> list[TopicPartition]:
    """Return the learner's inputs in the numbering of its journal."""
    inputs = learner_inputs(partitions, features=features)
    return [TopicPartition(names[kind], number) for kind, number in inputs]


def read_versions(log: KafkaLog, names: Mapping[str, str], last: Entry | None) -> bool:
    """Let a partition's log have the versions of shared models, too, if `last` names that input,
    and a learner's what it passes on besides; return whether a partition's has versions.
    """
    if log.journal.topic == names["learning"] and last is not None:
        if len(last.next) > len(log.inputs):
            every = _learner_places(names, len(log.inputs) - 1, features=True)
            for tp in every[len(log.inputs) :]:
                log.read_also(tp)
        return False
    shared = log.journal.topic == names["journal"] and last is not None
    if shared and last is not None and len(last.next) > len(INPUTS):
        log.read_also(TopicPartition(names["models"], 0))
        return True
    return False
