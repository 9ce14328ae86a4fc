"""Faust's transport, made to hand over whole fetched batches.

One message is made of each fetched batch of one partition: the cost of a Faust agent is one
event-loop round a message, so a message a record reads 15,000 records/s and a message a batch
470,000. Nothing here commits or seeks: the journal is the position, and each task seeks itself.

Threads: Faust runs aiokafka's consumer in a thread of its own, with a loop of its own.
`ConsumerThread` lives there and stamps each batch; `Consumer` and everything else live on the
main loop and cross over with `ConsumerThread.call`.

Only this module and `producer_internals` touch private members of faust-streaming and aiokafka.
Both are pinned exactly, and tests/streams/kafka/test_faust_transport.py names every member.
"""

# Faust ships no types, so its classes are Any to mypy.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar, NamedTuple, TypeVar

import aiokafka
import faust
from aiokafka.client import ConnectionGroup
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.kafka.connection_timeout import Silence

log = logging.getLogger("riverrun.transport")
T = TypeVar("T")

FAUST_VERSION = "0.15.3"
AIOKAFKA_VERSION = "0.14.0"
FETCH_SILENT_S = 5.0  # a fetch is answered within FETCH_WAIT_MS (streams/worker/worker_process.py)
RECORDS_MAX = 2_000  # of one partition in one batch: about 10 ms of decoding


class Batch(NamedTuple):
    """What one fetch gave of one partition: every record that is visible in `[start, end)`.

    A jump of offsets inside, or no record at all, is aborted and control records. `stable` is
    the last stable offset that the broker gave with it: `end == stable` was its end.
    """

    topic: str
    partition: int
    start: int
    end: int
    stable: int | None
    records: Sequence[Any]


def unanswered(client: Any, *, coordination: bool) -> list[tuple[Any, int]]:
    """Return a client's connections that wait for an answer, as (connection, its oldest request).

    `coordination`: those to coordinators, too; joining a group takes its time there.
    """
    return [
        (connection, connection._requests[0][0])
        for (_, group), connection in client._conns.items()
        if connection._requests and (coordination or group is not ConnectionGroup.COORDINATION)
    ]


def tell_quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log, at debug, what Kafka's client left unread: a loop's exception handler.

    All that wait for a transaction or a fetch get the same error.
    """
    error = context.get("exception")
    if isinstance(error, KafkaError) and "never retrieved" in context.get("message", ""):
        log.debug("%s: %r", context["message"], error)
    else:
        loop.default_exception_handler(context)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in its thread, giving stamped batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._silence = Silence(FETCH_SILENT_S)
        super().__init__(*args, **kwargs)

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            **transport.client,
            **transport.group,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            isolation_level="read_committed",
            # A position that is gone is an error, never a silent jump to what is left.
            auto_offset_reset="none",
        )

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the consumer's thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop)
        return await asyncio.wrap_future(future)

    async def fetch(self, opened: set[TP], wait_s: float) -> list[Batch]:
        """Wait for batches of the open partitions; `opened` is read again at each waking."""
        return await fetch_batches(self._ensure_consumer(), opened, wait_s, self._silence)

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Set the position; what was fetched from elsewhere is forgotten."""
        self._ensure_consumer().seek(_key(tp), offset)

    async def wake(self) -> None:
        """Let a waiting fetch look again at which partitions are open."""
        wake_fetch(self._ensure_consumer())

    async def heartbeat(self, generation: int) -> bool:
        """Ask the coordinator whether this member still is one in that generation."""
        coordinator = self._ensure_consumer()._coordinator
        return (
            coordinator.generation == generation
            and await coordinator._do_heartbeat()
            and coordinator.generation == generation
            and not coordinator._rejoin_needed_fut.done()
        )


async def fetch_batches(
    consumer: aiokafka.AIOKafkaConsumer, opened: set[TP], wait_s: float, silence: Silence
) -> list[Batch]:
    """Wait for batches of the open partitions; `opened` is read again at each waking."""
    fetcher = consumer._fetcher
    silence.hang_up(unanswered(consumer._client, coordination=False))
    deadline = monotonic() + wait_s
    with fetcher._subscriptions.fetch_context():
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            consumer._coordinator.check_errors()
            batches = _drain(fetcher, opened)
            remaining = deadline - monotonic()
            if batches or remaining <= 0:
                return batches
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=remaining)
            if waiter.done():
                waiter.result()
            else:
                waiter.cancel()


def wake_fetch(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Let a waiting fetch look again at which partitions are open."""
    fetcher = consumer._fetcher
    for waiter in list(fetcher._fetch_waiters):
        fetcher._notify(waiter)


def fetch_state(consumer: aiokafka.AIOKafkaConsumer, tp: TP) -> Any:
    """Return what aiokafka knows of an assigned partition (`position`, `lso` …), or None.

    Safe across threads: single attributes only, each replaced as a whole.
    """
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    return None if assignment is None else assignment.state_value(tp)


def newest_answer(consumer: aiokafka.AIOKafkaConsumer, tp: TP) -> tuple[int, int] | None:
    """Return when the newest answer to a fetch came (ms), and the high watermark it gave."""
    state = fetch_state(consumer, tp)
    return None if state is None or not state.timestamp else (state.timestamp, state.highwater)


def _drain(fetcher: Any, opened: set[TP]) -> list[Batch]:
    # Nothing is awaited here, so no seek can come between a start and its records.
    batches = []
    for tp in [tp for tp in fetcher._records if tp in opened]:
        result = fetcher._records[tp]
        if not isinstance(result, FetchResult):
            del fetcher._records[tp]
            result.check_raise()
            continue
        state = result._assignment.state_value(tp)
        if not result._assignment.active or not state.has_valid_position:
            del fetcher._records[tp]
            continue
        start = state.position
        records = result.getall(RECORDS_MAX)
        if not result.has_more():
            del fetcher._records[tp]
        if state.position > start:
            batches.append(Batch(tp.topic, tp.partition, start, state.position, state.lso, records))
    fetcher._notify(fetcher._wait_consume_future)
    return batches


def _key(tp: TP) -> aiokafka.TopicPartition:
    return aiokafka.TopicPartition(tp.topic, tp.partition)


class Consumer(driver.Consumer):
    """The group's member: which partitions are open, where they stand, and their batches."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.opened: set[TP] = set()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # What tasks ask of it.

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """Set positions and let the records come."""
        for tp, offset in positions.items():
            await self._thread.call(self._thread.seek_to(tp, offset))
        await self.open(positions)

    async def open(self, partitions: Collection[TP]) -> None:
        """Let the records of these come."""
        self.opened.update(partitions)
        await self._thread.call(self._thread.wake())

    def shut(self, partitions: Collection[TP]) -> None:
        """Keep the records of these back; one fetched batch of each may wait in the fetcher."""
        self.opened.difference_update(partitions)

    def stable(self, tp: TP) -> int | None:
        """Return the last stable offset as of the newest fetch; None before the first."""
        state = self._state(tp)
        return None if state is None else state.lso

    def answered(self, tp: TP) -> tuple[int, int] | None:
        """Return when the newest answer to a fetch came (ms), and the offset that is written next,
        open transactions included; None before the first.
        """
        return newest_answer(self._thread._ensure_consumer(), tp)

    def fetch_position(self, tp: TP) -> int | None:
        """Return the offset that the next batch will start at; None while there is none."""
        state = self._state(tp)
        return state.position if state is not None and state.has_valid_position else None

    async def still_member(self, generation: int) -> bool:
        """Return True if the group's coordinator just confirmed this member in that generation."""
        return await self._thread.call(self._thread.heartbeat(generation))

    def leave_on_stop(self) -> None:
        """Leave the group when this one stops, which a static member does not by itself."""
        self._thread._ensure_consumer()._coordinator._group_instance_id = None

    def _state(self, tp: TP) -> Any:
        return fetch_state(self._thread._ensure_consumer(), tp)

    # What Faust asks of it.

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await asyncio.sleep(0.02)
                    continue
                for batch in await self._thread.call(self._thread.fetch(self.opened, 1.0)):
                    await self.callback(_message(batch, self.app.consumer_generation_id))
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not self.app.should_stop:
                raise

    async def perform_seek(self) -> None:
        """Do nothing: each partition's task seeks its inputs itself, from its journal."""

    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        """Do nothing: the journal is the position."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: each partition has its own watchdog (streams/partition/runner.py)."""


def _message(batch: Batch, generation: int) -> ConsumerMessage:
    # A stream drops messages of another generation than the app's, without a word.
    return ConsumerMessage(
        batch.topic,
        batch.partition,
        batch.start,
        0.0,
        0,
        None,
        None,
        batch,
        None,
        tp=TP(batch.topic, batch.partition),
        generation_id=generation,
    )


class Transport(driver.Transport):
    """Where `Consumer` gets its settings: `client` as every aiokafka client, `group` its own."""

    Consumer: ClassVar[type[Consumer]] = Consumer

    client: Mapping[str, Any]
    group: Mapping[str, Any]


class BatchSchema(faust.Schema):
    """Passes a batch through where Faust would decode a value."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Return no key: a batch has many."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the batch itself."""
        return message.value


class _ConsumerOnly(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class _NoTables(TableManager):
    async def on_start(self) -> None:
        # Faust's own waits a second first, for tables to be declared; there are none.
        await self._update_channels()
        await self.recovery.start()


class App(faust.App):
    """A Faust app that reads batches and produces nothing through Faust."""

    BootStrategy = _ConsumerOnly


def make_app(
    name: str,
    *,
    client: Mapping[str, Any],
    group: Mapping[str, Any],
    topics: Sequence[str],
    route: Callable[[Batch], None],
    **settings: Any,
) -> App:
    """Build an app with one agent a topic, each only handing its batches on to `route`.

    `client` holds aiokafka's connection and security options, `group` its consumer's own
    (`group_id`, `group_instance_id`, the timeouts, `fetch_max_wait_ms`). SASL and TLS never
    pass through Faust, which ignores credentials in an URL and is silently plaintext with SASL
    but no `ssl_context`.
    """
    app = App(
        name,
        broker="kafka://unused.invalid",
        processing_guarantee="at_least_once",
        store="memory://",
        # Its own assignor, co-partitioned and sticky; without standbys Faust takes round robin,
        # which parts the inputs of one partition.
        table_standby_replicas=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        TableManager=_NoTables,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        web_enabled=False,
        broker_session_timeout=group["session_timeout_ms"] / 1000,
        **settings,
    )
    transport = Transport(app.conf.broker_consumer, app)
    transport.client, transport.group = client, group
    app.transport = transport
    for topic in topics:
        _add_router(app, topic, route)
    return app


def _add_router(app: App, topic: str, route: Callable[[Batch], None]) -> None:
    async def router(stream: Any) -> None:
        async for event in stream.events():
            route(event.value)

    channel = app.topic(topic, schema=BatchSchema(), acks=False)
    app.agent(channel, name=f"route {topic}", concurrency=1)(router)
