"""A Kafka in memory: logs, transactions, fencing, last stable offsets.

What it keeps of Kafka's semantics:
- an offset is an index into everything that was ever appended, so aborted records and the control
  records that end transactions leave gaps;
- a reader of committed records sees nothing at or beyond the first offset of an open transaction;
- the answer to a commit comes once the coordinator has noted it: the markers reach each partition
  later, one by one, and a producer that starts meanwhile waits for them;
- a new producer under a transactional id fences the one before it and aborts what it left open;
- a transaction that nobody ends is aborted after its timeout.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.errors import InvalidProducerEpoch, InvalidTxnState
from faust.types import TP

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """As aiokafka's ConsumerRecord, as far as it is used."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Message(NamedTuple):
    """A record on its way to a topic-partition."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int = 0


@dataclass(eq=False)
class Transaction:
    """One transaction; `done` once all its markers are written."""

    places: list[TP] = field(default_factory=list)
    ending: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Producer:
    epoch: int = 0
    open: Transaction | None = None


class Log:
    """One topic-partition."""

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.entries: list[tuple[Record | None, Transaction | None]] = []
        self._open: dict[Transaction, int] = {}
        self._aborted: set[Transaction] = set()

    @property
    def stable(self) -> int:
        """The last stable offset."""
        return min(self._open.values(), default=len(self.entries))

    def append(self, message: Message, transaction: Transaction | None) -> None:
        """Add one record."""
        offset = len(self.entries)
        key, value, headers, timestamp = message
        tp = self.tp
        record = Record(tp.topic, tp.partition, offset, timestamp, key, value, headers)
        self.entries.append((record, transaction))
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = offset
            transaction.places.append(self.tp)

    def end(self, transaction: Transaction, *, commit: bool) -> None:
        """Write the marker."""
        self.entries.append((None, None))
        del self._open[transaction]
        if not commit:
            self._aborted.add(transaction)

    def committed(self, start: int, end: int) -> list[Record]:
        """What a reader of committed records sees of `[start, end)`, below the stable offset."""
        end = min(end, self.stable)
        return [
            record
            for record, transaction in self.entries[start:end]
            if record is not None and transaction not in self._aborted
        ]


class Kafka:
    """All logs, and the transactions' coordinator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.logs: dict[TP, Log] = {}
        self.listeners: list[asyncio.Event] = []
        self.down = False
        self._producers: dict[str, _Producer] = {}
        self._marking: set[asyncio.Task[None]] = set()

    def log(self, tp: TP) -> Log:
        """A topic-partition's log, made when it is first asked for."""
        if tp not in self.logs:
            self.logs[tp] = Log(tp)
        return self.logs[tp]

    def changed(self) -> None:
        """Wake who waits for records."""
        for listener in self.listeners:
            listener.set()

    def append(
        self, tp: TP, messages: Sequence[Message], transaction: Transaction | None = None
    ) -> None:
        """Add records, in a transaction or by themselves."""
        for message in messages:
            self.log(tp).append(message, transaction)
        self.changed()

    # Transactions.

    async def init(self, name: str) -> int:
        """Fence whoever holds that id, end what it left, and give the new epoch."""
        producer = self._producers.setdefault(name, _Producer())
        producer.epoch += 1
        epoch = producer.epoch
        await self._settled(producer)
        if producer.epoch != epoch:
            raise InvalidProducerEpoch(name)
        return epoch

    async def produce(self, name: str, epoch: int, tp: TP, messages: Sequence[Message]) -> None:
        """Add records to the id's transaction, which begins with its first."""
        producer = self._current(name, epoch)
        if producer.open is not None and producer.open.ending:
            # CONCURRENT_TRANSACTIONS until the markers of the last one are written.
            await self._settled(producer)
            self._current(name, epoch)
        if producer.open is None:
            self._begin(name, producer)
        self.append(tp, messages, producer.open)

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        """Note the end; the markers follow."""
        producer = self._current(name, epoch)
        if producer.open is None or producer.open.ending:
            raise InvalidTxnState(name)
        self._end(producer.open, commit=commit)

    def begin_upstream(self) -> Transaction:
        """A transaction of somebody else's."""
        return Transaction()

    def end_upstream(self, transaction: Transaction, *, commit: bool) -> None:
        """End somebody else's transaction."""
        if not transaction.ending:
            self._end(transaction, commit=commit)

    def _current(self, name: str, epoch: int) -> _Producer:
        producer = self._producers[name]
        if producer.epoch != epoch:
            raise InvalidProducerEpoch(name)
        return producer

    def _begin(self, name: str, producer: _Producer) -> None:
        transaction = producer.open = Transaction()

        def expire() -> None:
            if producer.open is transaction and not transaction.ending:
                producer.epoch += 1
                self._end(transaction, commit=False)

        asyncio.get_running_loop().call_later(30.0, expire)

    async def _settled(self, producer: _Producer) -> None:
        transaction = producer.open
        if transaction is None:
            return
        if not transaction.ending:
            self._end(transaction, commit=False)
        await transaction.done.wait()
        if producer.open is transaction:
            producer.open = None

    def _end(self, transaction: Transaction, *, commit: bool) -> None:
        transaction.ending = True
        # In a context of its own: the coordinator does not die with the process that asked.
        create = asyncio.get_running_loop().create_task
        task = contextvars.Context().run(create, self._mark(transaction, commit))
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)

    async def _mark(self, transaction: Transaction, commit: bool) -> None:
        places = list(transaction.places)
        self.rng.shuffle(places)
        for tp in places:
            await asyncio.sleep(self.rng.expovariate(500))
            self.log(tp).end(transaction, commit=commit)
            self.changed()
        transaction.done.set()
