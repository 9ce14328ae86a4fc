from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka import client, conn
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.producer import message_accumulator, producer, sender, transaction_manager
from faust import streams as faust_streams
from faust.app import base as app_base
from faust.transport import conductor, consumer
from faust.transport.drivers import aiokafka as driver

from streams.kafka import faust_transport, producer_internals

SOURCES = {
    "aiokafka": [
        fetcher,
        group_coordinator,
        subscription_state,
        producer,
        sender,
        message_accumulator,
        transaction_manager,
    ],
    "faust": [driver, consumer, conductor, app_base, faust_streams],
}

# Every private member that faust_transport.py and producer_internals.py of streams/kafka (and
# their users) touch, and what is relied on.
MEMBERS: list[tuple[Any, str, str]] = [
    (fetcher.Fetcher, "_create_fetch_waiter", "future set when data or an error comes"),
    (fetcher.Fetcher, "_notify", "completes such a future"),
    (fetcher.FetchResult, "getall", "gives records and moves the position past them"),
    (fetcher.FetchResult, "has_more", "false once everything was given"),
    (fetcher.FetchResult, "check_assignment", "nothing is given once the position has moved"),
    (fetcher.FetchError, "check_raise", "raises what the fetch met"),
    (subscription_state.SubscriptionState, "fetch_context", "keeps the member from idling out"),
    (subscription_state.Subscription, "assignment", "None or the assignment"),
    (subscription_state.Assignment, "state_value", "a partition's state, or None"),
    (subscription_state.Assignment, "active", "false once it was replaced"),
    (subscription_state.TopicPartitionState, "has_valid_position", "false before the first seek"),
    (subscription_state.TopicPartitionState, "position", "offset that is given next"),
    (group_coordinator.GroupCoordinator, "check_errors", "raises what ended coordination"),
    (group_coordinator.GroupCoordinator, "_maybe_leave_group", "a member without instance leaves"),
    (group_coordinator.GroupCoordinator, "_do_heartbeat", "true also while rebalancing"),
    (transaction_manager.TransactionManager, "wait_for_transaction_end", "its future"),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", "makes the consumer"),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", "the consumer, once started"),
    (driver.Consumer, "_new_consumer_thread", "makes the thread"),
    (driver.Consumer, "_drain_messages", "the fetcher service's loop"),
    (driver.Consumer, "perform_seek", "seeks to committed offsets after a rebalance"),
    (driver.Consumer, "commit", "commits what was acknowledged"),
    (driver.Consumer, "verify_event_path", "warns about partitions that do not commit"),
    (app_base.App, "BootStrategy", "which services are started"),
    (app_base.BootStrategy, "enable_kafka_producer", "False: none"),
]

# Attributes set in constructors: the source must still set them.
ASSIGNED: list[tuple[Any, str]] = [
    (fetcher.Fetcher, "self._records ="),
    (fetcher.Fetcher, "self._fetch_waiters ="),
    (fetcher.Fetcher, "self._wait_consume_future ="),
    (fetcher.Fetcher, "self._subscriptions ="),
    (fetcher.Fetcher, "self._closed ="),
    (fetcher.FetchResult, "self._assignment ="),
    (subscription_state.TopicPartitionState, "self.lso ="),
    (group_coordinator.GroupCoordinator, "self._rejoin_needed_fut ="),
    (group_coordinator.GroupCoordinator, "self.generation ="),
    (aiokafka.AIOKafkaConsumer, "self._fetcher ="),
    (aiokafka.AIOKafkaConsumer, "self._coordinator ="),
    (aiokafka.AIOKafkaConsumer, "self._subscription ="),
    (aiokafka.AIOKafkaConsumer, "self._closed ="),
    (message_accumulator.MessageAccumulator, "self._batches ="),
    (message_accumulator.MessageBatch, "self._drain_waiter ="),
    (aiokafka.AIOKafkaProducer, "self._message_accumulator ="),
    (client.AIOKafkaClient, "self._conns ="),
    (conn.AIOKafkaConnection, "self._requests ="),
    (aiokafka.AIOKafkaConsumer, "self._client ="),
    (aiokafka.AIOKafkaProducer, "self._txn_manager ="),
    (consumer.Consumer, "flow_active: bool"),
    (driver.AIOKafkaConsumerThread, "self._assignor ="),
]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("faust-streaming", faust_transport.FAUST_VERSION),
        ("aiokafka", faust_transport.AIOKAFKA_VERSION),
    ],
)
def test_the_versions_are_those_whose_insides_were_read(name: str, wanted: str) -> None:
    """streams/kafka/faust_transport.py touches private members: another version must be read
    first.
    """
    assert version(name) == wanted, (
        f"{name} {version(name)} is installed and streams/kafka/faust_transport.py was written for "
        f"{wanted}. "
        "Read the members that this file names in the new version, run the integration tests, "
        "then change the pin in pyproject.toml and the constant in "
        "streams/kafka/faust_transport.py."
    )


@pytest.mark.parametrize(
    ("owner", "member", "why"), MEMBERS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_private_member_is_there(owner: Any, member: str, why: str) -> None:
    """Each member that is overridden or called exists."""
    assert hasattr(owner, member), f"{owner.__name__}.{member} is gone; it was: {why}"


@pytest.mark.parametrize(("owner", "line"), ASSIGNED, ids=lambda v: getattr(v, "__name__", None))
def test_an_attribute_is_still_set(owner: Any, line: str) -> None:
    """Each instance attribute that is read is assigned by its class."""
    name = line.split("=")[0].strip()
    lines = [part.strip() for part in inspect.getsource(owner).splitlines()]
    assert any(part.startswith((line, f"{name}:")) or f", {name} " in part for part in lines), (
        f"{owner.__name__} no longer has {name}"
    )


def test_the_wait_between_transactions_is_one_that_can_be_set() -> None:
    """BACKOFF_OVERRIDE is a module's global that the sender reads at each wait."""
    source = inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert "return BACKOFF_OVERRIDE" in source
    producer_internals.hasten_transactions()
    assert sender.BACKOFF_OVERRIDE == 0.001


def test_a_batch_survives_a_full_transaction() -> None:
    """A batch builder takes the first record whatever its size: large outputs are sent alone."""
    from aiokafka.producer.message_accumulator import BatchBuilder

    builder = BatchBuilder(100, 0, is_transactional=1)
    assert builder.append(timestamp=1, key=None, value=b"x" * 10_000) is not None
    assert builder.append(timestamp=1, key=None, value=b"x") is None


def test_a_stream_drops_other_generations() -> None:
    """Faust skips messages of another generation in silence: batches carry the app's own."""
    source = inspect.getsource(faust_streams)
    assert "message.generation_id != self.app.consumer_generation_id" in source


def test_the_app_reads_committed_and_commits_nothing() -> None:
    """The settings on which exactness rests, as they reach aiokafka."""
    source = inspect.getsource(faust_transport.ConsumerThread._create_worker_consumer)
    for setting in ('"read_committed"', "enable_auto_commit=False", 'auto_offset_reset="none"'):
        assert setting in source
    app = faust_transport.make_app(
        "contract",
        client={},
        group={"group_id": "contract", "session_timeout_ms": 6_000},
        topics=["one", "two"],
        route=lambda batch: None,
    )
    assert isinstance(app.transport, faust_transport.Transport)
    assert app.conf.table_standby_replicas == 1
    assert app.conf.topic_allow_declare is False
    assert app.conf.topic_disable_leader is True
    assert app.conf.stream_wait_empty is False
    assert {agent.name for agent in app.agents.values()} == {"route one", "route two"}
    assert all(not agent.channel.acks for agent in app.agents.values())
    assert isinstance(app.boot_strategy, app_base.BootStrategy)
    assert app.boot_strategy._should_enable_kafka_producer() is False
    assert app.boot_strategy._should_enable_web() is False
    assert isinstance(app, faust.App)
