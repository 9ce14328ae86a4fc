from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.errors import Unavailable
from streams.embedded import Endpoints
from streams.kafka.transactional_writer import Fenced, Limits, TooLarge, TransactionalWriter
from tests.support.ledger.ledger import Output


def _outputs(count: int, kind: str = "predictions", size: int = 10) -> list[Output]:
    return [
        Output(kind, b"%d" % n, b"%d" % n + b"x" * size, (("ce_id", b"1"),)) for n in range(count)
    ]


# Planning, without a broker.


async def _plan(outputs: Sequence[Any], limits: Limits) -> list[tuple[str, int]]:
    writer = TransactionalWriter(
        {"bootstrap_servers": "unused.invalid"},
        transactional_id="t",
        partition=0,
        topics={},
        limits=limits,
    )
    try:
        return [(batch.kind, len(batch.outputs)) for batch in writer._batches(outputs)]
    finally:
        await writer.close()


async def test_outputs_are_batched_by_topic_within_the_limit() -> None:
    """Records of one kind share batches; a full batch is followed by another, in order."""
    limits = Limits(batch_bytes_max=1_000)
    outputs = _outputs(10, size=100) + _outputs(1, "features")
    assert await _plan(outputs, limits) == [("predictions", 7), ("predictions", 3), ("features", 1)]


async def test_a_limit_that_was_learnt_holds() -> None:
    """What a topic's broker refused once is planned smaller, others' batches are not."""
    limits = Limits()
    limits.refused("predictions", _outputs(20, size=100))
    outputs = _outputs(20, size=100) + _outputs(20, "features", size=100)
    (*planned, features) = await _plan(outputs, limits)
    assert features == ("features", 20)
    assert 2 <= len(planned) <= 3
    assert sum(count for _, count in planned) == 20


async def test_a_record_larger_than_a_batch_goes_alone() -> None:
    """One record above the batch limit is a batch of its own, with no record lost around it."""
    limits = Limits(batch_bytes_max=1_000)
    outputs = [*_outputs(2), *_outputs(1, size=5_000), *_outputs(2)]
    assert await _plan(outputs, limits) == [("predictions", n) for n in (2, 1, 2)]


async def test_a_record_larger_than_a_request_is_refused_by_name() -> None:
    """Found before anything was sent: kind and size are in the error, the producer may go on."""
    with pytest.raises(TooLarge, match="'predictions' has 2") as raised:
        await _plan(_outputs(1, size=2_000), Limits(request_bytes_max=1_500))
    assert not raised.value.begun


def test_limits_learn_from_a_refusal() -> None:
    """A refused batch of many halves the batches; a refused single record is not sent again."""
    limits = Limits()
    limits.refused("a", _outputs(100, size=1_000))
    assert 40_000 < limits.batch_limit("a") < 60_000
    (single,) = _outputs(1, size=1_000)
    assert limits.admits(single)
    limits.refused("predictions", [single])
    assert not limits.admits(single)
    assert limits.batch_limit("b") == limits.batch_bytes_max


async def test_a_silent_connection_ends_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for as long as the slowest transaction may take."""
    monkeypatch.setattr("streams.kafka.transactional_writer.SILENT_S", 0.05)
    monkeypatch.setattr("streams.kafka.transactional_writer.LOOK_S", 0.01)
    monkeypatch.setattr(
        "streams.kafka.transactional_writer.unanswered", lambda client, coordination: [("mute", 1)]
    )
    writer = TransactionalWriter(
        {"bootstrap_servers": "unused.invalid"},
        transactional_id="t",
        partition=0,
        topics={},
        limits=Limits(),
    )
    monkeypatch.setattr(writer.producer, "begin_transaction", asyncio.Event().wait)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="TimeoutError"):
            await writer.commit(_outputs(1), b"entry")
        await writer.close()


# On a real broker.


@pytest.fixture
async def topics(stack: Endpoints) -> dict[str, str]:
    """Two topics and a journal with two partitions; `small` takes 20 kB a batch."""
    run = uuid.uuid4().hex[:8]
    names = {kind: f"w-{run}.{kind}" for kind in ("predictions", "small", "journal")}
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    small = {"max.message.bytes": "20000"}
    await admin.create_topics(
        [
            NewTopic(names["predictions"], 2, 1, topic_configs={"max.message.bytes": "1100000"}),
            NewTopic(names["small"], 2, 1, topic_configs=small),
            NewTopic(names["journal"], 2, 1),
        ]
    )
    await admin.close()
    return names


@pytest.fixture
async def consumer(stack: Endpoints) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads committed records."""
    async with AIOKafkaConsumer(
        bootstrap_servers=stack.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as reader:
        yield reader


async def _committed(consumer: AIOKafkaConsumer, topic: str) -> list[Any]:
    tp = TopicPartition(topic, 1)
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    end, records = (await consumer.end_offsets([tp]))[tp], []
    while await consumer.position(tp) < end:
        records += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
    return records


async def _writer(stack: Endpoints, topics: dict[str, str], **options: Any) -> TransactionalWriter:
    writer = TransactionalWriter(
        {"bootstrap_servers": stack.bootstrap_servers},
        transactional_id=topics["journal"],
        partition=1,
        topics=topics,
        limits=options.pop("limits", Limits()),
        **options,
    )
    await writer.start()
    return writer


@pytest.mark.integration
@pytest.mark.parametrize("compression", [None, "zstd"])
async def test_outputs_and_entry_are_committed_together(
    stack: Endpoints, topics: dict[str, str], consumer: AIOKafkaConsumer, compression: str | None
) -> None:
    """Many batches, one larger than most, headers kept, all on the input's partition."""
    writer = await _writer(stack, topics, compression=compression)
    outputs = [*_outputs(3_000, size=300), *_outputs(1, size=1_000_000)]
    for n in range(3):
        await writer.commit(outputs, b"%d" % n)
    await writer.close()
    records = await _committed(consumer, topics["predictions"])
    assert [(r.key, r.value, r.headers) for r in records] == 3 * [
        (o.key, o.value, o.headers) for o in outputs
    ]
    assert [r.value for r in await _committed(consumer, topics["journal"])] == [b"0", b"1", b"2"]


@pytest.mark.integration
async def test_a_refused_produce_commits_nothing(
    stack: Endpoints, topics: dict[str, str], consumer: AIOKafkaConsumer
) -> None:
    """aiokafka would commit the rest; here nothing of it is visible, and the limits have learnt."""
    limits = Limits()
    writer = await _writer(stack, topics, limits=limits)
    outputs = [*_outputs(3), *_outputs(100, "small", size=1_000)]
    refusals = 0
    while refusals < 10:
        try:
            await writer.commit(outputs, b"entry")
            break
        except TooLarge as error:
            if (error.kind, error.begun) != ("small", True):
                raise
            refusals += 1
            assert await _committed(consumer, topics["predictions"]) == []
            await writer.close()
            writer = await _writer(stack, topics, limits=limits)
    assert 2 <= refusals <= 6
    await writer.close()
    assert len(await _committed(consumer, topics["small"])) == 100
    assert len(await _committed(consumer, topics["journal"])) == 1


@pytest.mark.integration
async def test_the_next_writer_fences_this_one(
    stack: Endpoints, topics: dict[str, str], consumer: AIOKafkaConsumer
) -> None:
    """The first one's open transaction is aborted, and its next commit is Fenced."""
    first = await _writer(stack, topics)
    await first.commit(_outputs(1), b"first")
    await first.producer.begin_transaction()
    await first._send(*first._batches(_outputs(1)))
    second = await _writer(stack, topics)
    await second.commit(_outputs(1), b"second")
    third = await _writer(stack, topics)
    with pytest.raises(Fenced):
        await second.commit(_outputs(1), b"late")
    for writer in (first, second, third):
        await writer.close()
    assert [r.value for r in await _committed(consumer, topics["journal"])] == [b"first", b"second"]
    assert len(await _committed(consumer, topics["predictions"])) == 2


@pytest.mark.integration
async def test_a_fenced_writer_fails_once(stack: Endpoints, topics: dict[str, str]) -> None:
    """Amid a transaction of several topics, or between begin and commit: one Fenced is raised, and
    asyncio has nothing to say of futures whose exception nobody retrieved.
    """
    unread: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unread.append(told["message"]))
    first = await _writer(stack, topics)
    await first.commit(_outputs(1), b"first")
    second = await _writer(stack, topics)
    with pytest.raises(Fenced) as raised:
        await first.commit([*_outputs(3), *_outputs(3, "small")], b"late")
    await first.close()
    await second.producer.begin_transaction()
    await second._send(*second._batches(_outputs(1)))
    third = await _writer(stack, topics)
    await second.close()
    await third.close()
    del first, second, third, raised
    gc.collect()
    assert unread == []


@pytest.mark.integration
@pytest.mark.parametrize("step", ["a send", "the commit"])
async def test_a_failure_between_two_steps_is_told_by_its_cause(
    stack: Endpoints, topics: dict[str, str], step: str
) -> None:
    """The broker's refusal arrives while nobody waits for it: the next step raises it all the same,
    and not that aiokafka knows of no transaction.
    """
    first = await _writer(stack, topics)
    await first.commit(_outputs(1), b"first")
    second = await _writer(stack, topics)
    send = first._send

    async def unasked(batch: Any) -> asyncio.Future[Any]:
        sent = await send(batch)
        await asyncio.wait([sent])
        if step == "a send":
            return sent
        taken = asyncio.get_running_loop().create_future()
        taken.set_result(None)
        return taken

    first._send = unasked  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await first.commit(_outputs(3) if step == "a send" else [], b"late")
    await first.close()
    await second.close()
