from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaProducer

from streams.embedded import Endpoints
from tests.support.ledger.flow import Flow

pytestmark = pytest.mark.integration


@pytest.fixture
async def flow(stack: Endpoints) -> AsyncIterator[Flow]:
    """Fresh topics with two partitions; whatever still runs at the end is killed."""
    run = Flow(stack.bootstrap_servers, partitions=2)
    await run.make_topics()
    yield run
    run.kill_all()


async def test_every_record_is_answered_once(flow: Flow) -> None:
    """Events and outcomes that came before and after the worker are each used exactly once."""
    ids = range(4_000)
    await flow.publish(ids[:2_000])
    flow.start()
    await flow.wait_for("predictions", 2_000)
    await flow.publish(ids[2_000:])
    await flow.wait_for("predictions", 4_000)
    await flow.wait_for("examples", 2_000)
    await flow.verify(ids)


async def test_a_backlog_is_taken_in_the_order_of_time(flow: Flow) -> None:
    """Events and outcomes that wait on Kafka are applied as if they had come one by one."""
    ids = range(10_000)
    await flow.publish(ids)
    flow.start()
    await flow.wait_for("predictions", len(ids))
    await flow.wait_for("examples", len(ids) // 2)
    states = await flow.verify(ids)
    assert [state.late for state in states] == [0, 0]


async def test_a_killed_worker_loses_and_doubles_nothing(
    flow: Flow, record_property: Callable[[str, object], None]
) -> None:
    """kill -9 of one of two workers amid load: the other goes on, exactly, in under 10 s."""
    ids = range(12_000)
    workers = [flow.start(instance="a"), flow.start(instance="b")]
    await flow.publish([0, 1])
    await flow.wait_for("predictions", 2)
    publishing = asyncio.create_task(flow.publish(ids[2:], pause_s=0.001))
    await flow.wait_for("predictions", 3_000)
    workers[0].kill()
    await publishing
    await flow.wait_for("predictions", len(ids))
    await flow.wait_for("examples", len(ids) // 2)
    await flow.verify(ids)
    silences = await flow.silences_s("predictions")
    record_property("silence_after_a_kill_s", silences)
    assert min(silences) < 4  # rebalancing only
    assert max(silences) < 10  # session, rebalance, recovery


@pytest.mark.soak
async def test_killed_again_and_again(flow: Flow) -> None:
    """Five kills of whoever runs, each replaced at once under its own id."""
    ids = range(10_000)
    flow.start(instance="a")
    publishing = asyncio.create_task(flow.publish(ids, pause_s=0.001))
    for count in range(1_000, 6_000, 1_000):
        await flow.wait_for("predictions", count)
        flow.workers[-1].kill()
        flow.workers[-1].wait()
        flow.start(instance="a")
    await publishing
    await flow.wait_for("predictions", len(ids))
    await flow.wait_for("examples", len(ids) // 2)
    await flow.verify(ids)


async def test_a_woken_zombie_does_no_harm(flow: Flow) -> None:
    """SIGSTOP beyond the session, then SIGCONT: nothing doubled, and both workers still run."""
    ids = range(12_000)
    workers = [flow.start(instance="a"), flow.start(instance="b")]
    await flow.publish([0, 1])
    await flow.wait_for("predictions", 2)
    publishing = asyncio.create_task(flow.publish(ids[2:], pause_s=0.001))
    await flow.wait_for("predictions", 2_000)
    workers[0].send_signal(signal.SIGSTOP)
    # More than one partition has events for: the other worker has taken over.
    await flow.wait_for("predictions", 9_000)
    workers[0].send_signal(signal.SIGCONT)
    await publishing
    await flow.wait_for("predictions", len(ids))
    await flow.wait_for("examples", len(ids) // 2)
    await flow.verify(ids)
    assert [worker.poll() for worker in workers] == [None, None], flow.log_text()


async def test_aborted_transactions_upstream_leave_no_trace(flow: Flow) -> None:
    """What a transactional producer aborts is never applied, and the gaps do not stall."""
    lines = []
    flow.start()
    sink = AIOKafkaProducer(**flow.client, transactional_id=f"{flow.group}-upstream")
    async with sink:
        for batch in range(40):
            ids = range(batch * 50, batch * 50 + 50)
            await sink.begin_transaction()
            for i in ids:
                await flow.send(sink, i, outcome=i % 2 == 0)
            if batch % 4 == 3:
                await sink.abort_transaction()
            else:
                await sink.commit_transaction()
                lines += ids
    await flow.wait_for("predictions", len(lines))
    await flow.wait_for("examples", len(lines) // 2)
    await asyncio.sleep(4)
    await flow.verify(lines)
    assert "lost" not in flow.log_text()


async def test_sigterm_amid_load_is_clean(flow: Flow) -> None:
    """SIGTERM ends with code 0 within seconds; the next worker goes on without a hole."""
    ids = range(6_000)
    worker = flow.start(instance="a")
    publishing = asyncio.create_task(flow.publish(ids, pause_s=0.001))
    await flow.wait_for("predictions", 2_000)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 30) == 0
    flow.start(instance="a")
    await publishing
    await flow.wait_for("predictions", len(ids))
    await flow.wait_for("examples", len(ids) // 2)
    await flow.verify(ids)


async def test_a_clean_stop_leaves_the_group_at_once(flow: Flow) -> None:
    """The group has one member less as soon as the process has ended, and not a session later."""
    workers = [flow.start(instance="a"), flow.start(instance="b")]
    await flow.publish([0, 1])
    await flow.wait_for("predictions", 2)
    async with asyncio.timeout(30):
        while await flow.members() != 2:  # noqa: ASYNC110 - the coordinator tells nobody
            await asyncio.sleep(0.1)
    workers[0].send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(workers[0].wait, 12) == 0
    assert await flow.members() == 1
    await flow.publish([2, 3, 4, 5])
    await flow.wait_for("predictions", 6)
    await flow.verify([0, 1, 2, 3, 4, 5])


async def test_sigterm_while_joining_is_bounded(flow: Flow) -> None:
    """SIGTERM amid rebalances, when Faust may hang, still ends the process within 12 s."""
    for delay_s in (0.1, 1.05, 1.2, 2.5):
        flow.start(instance="a")
        await flow.wait_until_logged("Starting")
        worker = flow.start(instance="b")
        await flow.wait_until_logged("Starting")
        await asyncio.sleep(delay_s)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 12) == 0, flow.log_text()
        flow.kill_all()


async def test_a_bug_halts_its_partition_and_names_the_record(flow: Flow) -> None:
    """An exception in apply: the record is in the log, nothing of it is committed, and the worker
    goes on with its other partitions.
    """
    worker = flow.start()
    await flow.publish([0, 1])
    await flow.wait_for("predictions", 2)
    async with AIOKafkaProducer(**flow.client) as sink:
        await sink.send_and_wait(flow.topics["events"], b"bug", partition=0)
    await flow.wait_until_logged("stopped at events offset 1")
    assert f"{flow.topics['events']}[0] offset 1" in flow.log_text()
    await flow.publish([3], every=0)
    await flow.wait_for("predictions", 3)
    await flow.verify([0, 1, 3])
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 12) == 0


async def test_an_output_that_no_broker_takes_is_left_out(flow: Flow) -> None:
    """One record above the topic's limit: the partition says so and goes on."""
    flow.start()
    async with AIOKafkaProducer(**flow.client) as sink:
        await sink.send_and_wait(
            flow.topics["events"], b"large%d" % (20 << 20), key=b"0", partition=0
        )
    await flow.publish([2, 4], every=0)
    await flow.wait_for("predictions", 2)
    assert "left out" in flow.log_text()
    answered = [int(r.key) for r in (await flow.committed("predictions"))[0]]
    assert answered == [2, 4]
