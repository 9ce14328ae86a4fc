"""Read-process-write's second half: outputs and journal entry of a partition in one transaction.

One aiokafka transactional producer per input partition. Whoever starts one with the same
transactional id fences the one before it, and aborts what that one had left open: this, not the
consumer group, is what makes a partition's owner the only one.

Theory: a transaction's outputs and its journal entry become visible together or not at all, so a
reader of committed records sees each output once if and only if each entry is applied once. An
aiokafka producer commits a transaction in which a produce has failed; every produce is awaited
before the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalOperation,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
)

from schemas.errors import RiverrunError, Unavailable
from schemas.headers import Headers
from streams.kafka.clock_check import REFUSED
from streams.kafka.connection_timeout import Silence
from streams.kafka.faust_transport import unanswered
from streams.kafka.producer_internals import (
    hasten_transactions,
    retrieve_failures,
    why_it_failed,
)

SILENT_S = 10.0  # a broker that is asked owes its answer for so long at most
LOOK_S = 1.0
RECORD_BYTES = 40  # lengths, offset and time of a record, at most
HEADER_BYTES = 10  # lengths of a header, at most


class OutgoingRecord(Protocol):
    """A record to be published; its topic is that of its kind."""

    @property
    def kind(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102
    @property
    def partition(self) -> int | None: ...  # noqa: D102
    @property
    def timestamp_ms(self) -> int | None: ...  # noqa: D102


class Fenced(RiverrunError):
    """Somebody else has taken this partition's transactional id, or the broker has ended it."""


FAILURES = (Fenced, Unavailable, KafkaError, ConsumerStoppedError, OSError, TimeoutError)
"""What a server that fails, or another owner, looks like to a runner."""


class TooLarge(RiverrunError):
    """An output that no broker would take, found before or while it was sent; nothing is committed.

    `kind`, `bytes` and `limit_bytes` say which. If not `begun`, the producer may go on at once,
    without that record; else the state that made it must be made again, and `Limits` will then
    find it before it is sent.
    """

    def __init__(self, kind: str, size_bytes: int, limit_bytes: int, *, begun: bool) -> None:
        super().__init__(
            f"a record for {kind!r} has {size_bytes} bytes, more than the {limit_bytes} that may "
            "be sent; raise max.message.bytes of its topic or shorten the record"
        )
        self.kind, self.bytes, self.limit_bytes = kind, size_bytes, limit_bytes
        self.begun = begun


@dataclass
class Limits:
    """How large requests, batches and single records may be; learns what a topic's broker refuses.

    One per process, shared by its writers: a topic's max.message.bytes holds for all partitions.
    """

    request_bytes_max: int = 16 << 20
    batch_bytes_max: int = 512 << 10
    batch_bytes: dict[str, int] = field(default_factory=dict)
    record_bytes: dict[str, int] = field(default_factory=dict)

    def admits(self, output: OutgoingRecord) -> bool:
        """Return True if the record may be sent, by all that is known of its topic."""
        return _size_bytes(output) <= self.record_limit(output.kind)

    def fit(self, outputs: Sequence[Any], shorten: Callable[[Any, int], Any | None]) -> list[Any]:
        """Return the outputs that may be sent: as they are or shortened, the others left out."""
        fitted: list[Any] = []
        for output in outputs:
            fits = self.admits(output)
            shorter = output if fits else shorten(output, self.record_limit(output.kind))
            if shorter is not None and self.admits(shorter):
                fitted.append(shorter)
        return fitted

    def record_limit(self, kind: str) -> int:
        """Return the largest record, in bytes."""
        return self.record_bytes.get(kind, self.request_bytes_max)

    def batch_limit(self, kind: str) -> int:
        """Return the largest batch, in bytes before compression; a single record may be larger."""
        return self.batch_bytes.get(kind, self.batch_bytes_max)

    def refused(self, kind: str, batch: Sequence[OutgoingRecord]) -> TooLarge:
        """Learn from a batch that the broker would not take; gives the error to raise."""
        size = sum(map(_size_bytes, batch))
        if len(batch) > 1:
            self.batch_bytes[kind] = min(size, self.batch_limit(kind)) // 2
        else:
            self.record_bytes[kind] = size - 1
        return TooLarge(kind, size, size - 1, begun=True)


class TransactionalWriter:
    """One partition's transactional producer. Outputs go to its own partition, or to theirs.

    `encoders`: of a kind of record, what makes of an output the one that goes onto its topic.

    start → commit* → close. After any exception only `close` may follow: what became of the
    transaction is then known to the journal alone.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        transactional_id: str,
        partition: int,
        topics: Mapping[str, str],
        limits: Limits,
        compression: str | None = None,
        timeout_s: float = 30.0,
        encoders: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
    ) -> None:
        self.partition = partition
        self._encoders = encoders
        self.topics = topics
        self.limits = limits
        self.timeout_s = timeout_s
        self._silence = Silence(SILENT_S)
        hasten_transactions()
        self.producer = AIOKafkaProducer(
            **client,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(timeout_s * 1000),
            request_timeout_ms=int(timeout_s * 1000),
            compression_type=compression,
            max_batch_size=limits.batch_bytes_max,
            max_request_size=limits.request_bytes_max,
        )

    async def start(self) -> None:
        """Fence the former owner, abort what it left open, wait until its commits are visible."""
        async with self._failures():
            await self.producer.start()

    async def commit(
        self, outputs: Sequence[OutgoingRecord], entry: bytes | None, headers: Headers = ()
    ) -> None:
        """Publish outputs and journal entry, which has those headers, all or none.

        Raises `TooLarge` (nothing is committed), `Fenced`, `Unavailable` (it may have been).
        """
        batches = self._batches(self._encoded(outputs))
        if entry is not None:
            batches.append(self._batch(_Entry(entry, headers=headers)))
        async with self._failures():
            # 1. Begin.
            await self.producer.begin_transaction()
            # 2. Outputs in ready batches of each topic, and the journal entry that makes them so.
            sent = [await self._send(batch) for batch in batches]
            # 3. Every produce must have succeeded: the commit below would not ask.
            results = await asyncio.gather(*sent, return_exceptions=True)
            for batch, result in zip(batches, results, strict=True):
                if isinstance(result, MessageSizeTooLargeError):
                    raise self.limits.refused(batch.kind, batch.outputs) from result
                if isinstance(result, BaseException):
                    raise result
            # 4. Commit.
            await self.producer.commit_transaction()

    async def close(self) -> None:
        """Close the connections, within seconds, whatever state the producer is in."""
        with contextlib.suppress(KafkaError, asyncio.TimeoutError, OSError):
            async with asyncio.timeout(3):
                await self.producer.stop()
        with contextlib.suppress(KafkaError, asyncio.TimeoutError, OSError):
            async with asyncio.timeout(1):
                await self.producer.client.close()
        retrieve_failures(self.producer)

    @contextlib.asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeout_s) as bound:
                self._look_for_answers(bound)
                try:
                    yield
                except (IllegalOperation, AssertionError) as error:
                    # It failed between two steps; that it did is all that aiokafka says here.
                    raise why_it_failed(self.producer) or error from error
                finally:
                    self._looking.cancel()
        except (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping) as error:
            raise Fenced(f"the transactional id is somebody else's now ({error!r})") from error
        except InvalidTxnState as error:
            raise Fenced(f"the broker has ended the transaction ({error!r})") from error
        except InvalidTimestampError as error:
            raise Unavailable(REFUSED) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unavailable(f"Kafka did not take a transaction ({error!r})") from error

    def _look_for_answers(self, bound: asyncio.Timeout) -> None:
        # A connection that owes an answer is not renewed under a transaction: it might come late.
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(LOOK_S, self._look_for_answers, bound)
        if self._silence.beyond(unanswered(self.producer.client, coordination=True)):
            self._looking.cancel()
            bound.reschedule(loop.time())

    def _encoded(self, outputs: Sequence[OutgoingRecord]) -> Sequence[OutgoingRecord]:
        encoders = self._encoders
        if not encoders:
            return outputs
        return [encoders[o.kind](o) if o.kind in encoders else o for o in outputs]

    def _batches(self, outputs: Sequence[OutgoingRecord]) -> list[_Batch]:
        batches: list[_Batch] = []
        filling: dict[tuple[str, int | None], _Batch] = {}
        learnt = self.limits.batch_bytes
        for output in outputs:
            kind = output.kind
            slot = kind, output.partition
            batch = filling.get(slot)
            if (
                batch is not None
                and (kind not in learnt or batch.size() + _size_bytes(output) <= learnt[kind])
                and batch.add(output)
            ):
                continue
            size, limit = _size_bytes(output), self.limits.record_limit(kind)
            if size > limit:
                raise TooLarge(kind, size, limit, begun=False)
            batch = filling[slot] = self._batch(output)
            batches.append(batch)
        return batches

    def _batch(self, first: OutgoingRecord) -> _Batch:
        partition = self.partition if first.partition is None else first.partition
        batch = _Batch(first.kind, partition, self.producer.create_batch())
        if not batch.add(first):
            raise AssertionError(f"{first.kind}: a batch takes its first record whatever its size")
        return batch

    async def _send(self, batch: _Batch) -> asyncio.Future[Any]:
        batch.builder.close()
        future: asyncio.Future[Any] = await self.producer.send_batch(
            batch.builder, self.topics[batch.kind], partition=batch.partition
        )
        future.add_done_callback(_hear)
        return future


class _Batch:
    """Records of one topic that go out together, packed as they come."""

    __slots__ = ("_append", "_now_ms", "builder", "kind", "outputs", "partition", "size")

    def __init__(self, kind: str, partition: int, builder: Any) -> None:
        self.kind = kind
        self.partition = partition
        self.builder = builder
        self.size: Callable[[], int] = builder.size
        self.outputs: list[OutgoingRecord] = []
        self._append = builder.append
        self._now_ms = int(time.time() * 1000)

    def add(self, output: OutgoingRecord) -> bool:
        """Add it; return whether there was room for it."""
        timestamp, now = output.timestamp_ms, self._now_ms
        added = self._append(
            # Never ahead of this clock: a broker may refuse it, whoever asks for it.
            timestamp=now if timestamp is None or not 0 < timestamp <= now else timestamp,
            key=output.key,
            value=output.value,
            headers=list(output.headers),
        )
        if added is None:
            return False
        self.outputs.append(output)
        return True


def _hear(sent: asyncio.Future[Any]) -> None:
    # If the step that failed is another one, nobody comes to ask this one.
    if not sent.cancelled():
        sent.exception()


class _Entry(NamedTuple):
    value: bytes
    kind: str = "journal"
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


def _size_bytes(output: OutgoingRecord) -> int:
    # Never below what aiokafka will write: its variable-length integers have at most five bytes.
    size = RECORD_BYTES + len(output.value or b"") + len(output.key or b"")
    for name, value in output.headers:
        size += HEADER_BYTES + len(name) + len(value)
    return size
