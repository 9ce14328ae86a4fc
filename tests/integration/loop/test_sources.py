"""A worker that adopts topics of others, on a real Kafka, killed amid its work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streams.embedded import Endpoints
from tests.support.loop import Loop, Row, parcels
from tests.support.servers.foreign_parcels import ForeignProducer, adopting, make_topics

pytestmark = pytest.mark.integration

COUNT = 900


class Adopted:
    """A loop on foreign topics of its own, and who publishes on them."""

    def __init__(self, stack: Endpoints, folder: Path, **how: Any) -> None:
        self.prefix = f"foreign-{uuid4().hex[:8]}."
        self.servers = stack.bootstrap_servers
        self.loop = Loop(stack, folder, adopting(self.prefix, **how))
        self.producer = ForeignProducer(self.servers, self.prefix, keyed="by" not in how)


@pytest.fixture
async def adopted(
    request: pytest.FixtureRequest, stack: Endpoints, tmp_path: Path
) -> AsyncIterator[Adopted]:
    """The use case of `foreign_parcels`, as a test declares it."""
    instance = Adopted(stack, tmp_path, **request.param)
    await make_topics(instance.servers, instance.prefix)
    yield instance
    instance.loop.close()


async def killed_twice(adopted: Adopted, rows: list[Row]) -> None:
    """Publish the rows amid two kills of the worker; return once all have been answered."""
    loop, events = adopted.loop, [f["event_id"] for kind, f in rows if kind == "event"]
    third = len(rows) // 3
    for begin in range(0, len(rows), third):
        loop.start()
        await asyncio.to_thread(adopted.producer.publish, rows[begin : begin + third])
        if begin + third < len(rows):
            reached = [f["event_id"] for kind, f in rows[: begin + third // 2] if kind == "event"]
            await loop.wait_for("predictions", reached)
            loop.workers[-1].kill()
            loop.workers[-1].wait()
    await loop.wait_for("predictions", events)
    await loop.wait_for("examples", events)


async def all_once(loop: Loop, count: int) -> None:
    """Every event answered, every outcome learnt, every foreign record relayed, all once."""
    ids = sorted(f"p{n}" for n in range(count))
    for kind in ("events", "outcomes", "predictions", "examples"):
        assert sorted(row["event_id"] for row in await loop.values(kind)) == ids, kind
    for kind in ("events", "outcomes"):
        origins = Counter(dict(r.headers)["riverrun_source"] for r in await loop.records(kind))
        assert set(origins.values()) == {1}


@pytest.mark.parametrize("adopted", [{}], indirect=True)
async def test_a_backlog_on_many_partitions_is_relayed_in_the_order_of_time(
    adopted: Adopted,
) -> None:
    """Days of events wait on five partitions, their outcomes on three: what comes of them is, on
    each partition of the use case, in the order in which it happened.
    """
    rows = parcels(COUNT)
    await asyncio.to_thread(adopted.producer.publish, rows)
    adopted.loop.start()
    await adopted.loop.wait_for("predictions", [f"p{n}" for n in range(COUNT)])
    for kind, time in (("events", "event_time"), ("outcomes", "outcome_time")):
        records = await adopted.loop.records(kind)
        for partition in {record.partition for record in records}:
            own = [orjson.loads(r.value) for r in records if r.partition == partition]
            times = [datetime.fromisoformat(row[time]) for row in own]
            assert times == sorted(times)


@pytest.mark.parametrize(
    "adopted",
    [{"horizon": "hours(12)"}, {"horizon": "hours(12)", "by": 'by="event_id"'}],
    indirect=True,
)
async def test_a_backlog_of_many_horizons_loses_no_outcome(adopted: Adopted) -> None:
    """Four weeks wait, with a horizon of half a day: what the relay writes in one transaction are
    many horizons, and each event is answered and each outcome learnt in time.
    """
    rows = parcels(4_000)
    await asyncio.to_thread(adopted.producer.publish, rows)
    adopted.loop.start()
    ids = [f"p{n}" for n in range(4_000)]
    await adopted.loop.wait_for("predictions", ids)
    await adopted.loop.wait_for("examples", ids[:-100])
    letters = [row["error"] for row in await adopted.loop.values("dead-letter")]
    examples = await adopted.loop.values("examples")
    assert not letters
    assert [row["event_id"] for row in examples if not row["learnt"]] == []


@pytest.mark.parametrize("adopted", [{}], indirect=True)
async def test_foreign_topics_are_answered_once_through_kills(adopted: Adopted) -> None:
    """Other partition counts, librdkafka's partitioner, another key, kill -9 twice: each event is
    answered once, each outcome is learnt once, and the proof holds.
    """
    adopted.producer.junk(b"no JSON")
    await killed_twice(adopted, parcels(COUNT))
    await all_once(adopted.loop, COUNT)
    letters = await adopted.loop.values("dead-letter")
    assert [(letter["stage"], letter["error_class"]) for letter in letters] == [
        ("source", "malformed")
    ]
    proof = adopted.loop.run("verify", str(adopted.loop.file), "--all", "--json")
    assert (proof["checked"], proof["different"], proof["proved"]) == (COUNT, 0, True)
    assert (proof["relayed"]["checked"], proof["relayed"]["different"]) == (2 * COUNT, 0)


@pytest.mark.parametrize("adopted", [{"by": 'by="event_id"'}], indirect=True)
async def test_outcomes_find_their_events_by_id_through_kills(adopted: Adopted) -> None:
    """Outcomes that know only the event's id, some of which come first: each is learnt once."""
    rows = parcels(COUNT)
    early = [row for row in rows if row[0] == "outcome"][:20]
    await killed_twice(adopted, early + [row for row in rows if row not in early])
    await all_once(adopted.loop, COUNT)
    assert await adopted.loop.values("dead-letter") == []
    proof = adopted.loop.run("verify", str(adopted.loop.file), "--all", "--json")
    assert (proof["relayed"]["checked"], proof["proved"]) == (2 * COUNT, True)


@pytest.mark.parametrize("adopted", [{}, {"by": 'by="event_id"'}], indirect=True)
async def test_relayed_records_are_proved_from_the_topics_of_others(adopted: Adopted) -> None:
    """Each is derived again; `explain` names its origin; what a topic of others no longer has is
    not proved, and a record that nothing there gives is a difference.
    """
    loop, rows = adopted.loop, parcels(60)
    await asyncio.to_thread(adopted.producer.publish, rows)
    loop.start()
    await loop.wait_for("examples", [f"p{n}" for n in range(60)])
    loop.stop()
    proof = loop.run("verify", str(loop.file), "--all", "--json")
    assert (proof["relayed"]["checked"], proof["proved"]) == (120, True)
    event = (await loop.records("events"))[-1]
    origin = dict(event.headers)["riverrun_source"].decode()
    event_id = orjson.loads(event.value)["event_id"]
    life = loop.run("explain", str(loop.file), event_id, "--json", "--brief")
    source = life["event"]["source"]
    assert f"{source['topic']}/{source['partition']}/{source['offset']}" == origin
    assert source["kept"]

    await asyncio.to_thread(adopted.producer.expire, 3)
    proof = loop.run("verify", str(loop.file), "--all", "--json", code=6)
    relayed = proof["relayed"]
    assert (relayed["different"], proof["proved"]) == (0, False)
    assert relayed["checked"] + relayed["unproven"] == 120
    assert relayed["unproven"] >= 15
    assert any("is kept from offset 3 on" in reason for reason in relayed["reasons"])

    async with AIOKafkaProducer(bootstrap_servers=adopted.servers) as forger:
        where = {"partition": event.partition, "headers": list(event.headers)}
        await forger.send_and_wait(event.topic, event.value, event.key, **where)
    proof = loop.run("verify", str(loop.file), "--all", "--json", code=1)
    assert "gives this record" in proof["relayed"]["first"]
