"""One learner for all partitions, on a real Kafka: who learns, and what a kill changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from streams.embedded import Endpoints
from streams.partition.announcement import Announcement
from streams.replay.journal_fold import Entry
from tests.support.ledger.flow import Flow

pytestmark = pytest.mark.integration


@pytest.fixture
async def flow(stack: Endpoints) -> AsyncIterator[Flow]:
    """Topics of four partitions, with a learner."""
    flow = Flow(stack.bootstrap_servers, 4, shared=True)
    await flow.make_topics()
    try:
        yield flow
    finally:
        flow.kill_all()


async def test_a_killed_learner_learns_nothing_twice(
    flow: Flow, record_property: Callable[[str, object], None]
) -> None:
    """kill -9 of the worker that learns: each example is learnt once, each event answered once, and
    another worker goes on learning: how soon is told, 6 s of it the session.
    """
    flow.start(instance="a")
    flow.start(instance="b")
    await flow.publish(range(400))
    await flow.wait_for("predictions", 400)
    await flow.wait_for("models", 40)
    learner = next(n for n, log in enumerate(flow.logs) if "learner: live" in log.read_text())
    flow.workers[learner].kill()
    await flow.publish(range(400, 800))
    took_s = await flow.wait_for("models", 80)
    await flow.wait_for("predictions", 800)
    await flow.verify(range(800))
    entries = [Entry.decode(r.value) for r in (await flow.committed("learning"))[0]]
    versions = [orjson.loads(r.value) for r in (await flow.committed("models"))[0]]
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    assert entries[-1].step == 400
    assert [v["number"] for v in versions] == list(range(5, 401, 5))
    record_property("learner_takeover_s", round(took_s, 1))
    journals = [
        record for records in (await flow.committed("journal")).values() for record in records
    ]
    assert any(Announcement.of(record.headers).due_s is not None for record in journals)


async def test_partitions_answer_while_nobody_learns(flow: Flow) -> None:
    """A learner that fails at once and always: every event is answered, with no version."""
    flow.settings["broken"] = True
    flow.start(instance="a")
    await flow.publish(range(100))
    await flow.wait_for("predictions", 100)
    predictions = (await flow.committed("predictions")).values()
    assert {orjson.loads(r.value)["version"] for records in predictions for r in records} == {0}
    assert flow.workers[0].poll() is None
    assert "the learner stopped" in flow.log_text()
