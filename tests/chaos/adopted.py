"""Topics of others, outcomes by id and folded labels on real workers that are killed at random.

    python -P -m pytest -m soak tests/integration/faults/test_adopted_chaos.py

Two workers adopt two foreign topics of several partitions; a drawn worker, or its parent with it,
is killed -9 while more is published. In the end every visit was answered once, the newest label of
each is the sum of the newest versions of its purchases, every foreign record was relayed once,
nothing is a dead letter, and predictions, versions of models and relayed records are derived again
to the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from streams.embedded import Endpoints
from tests.support.loop import Loop

CAME, BOUGHT = "came", "bought"
PARTITIONS = {CAME: 5, BOUGHT: 3}
SHOPS = ("north", "south", "east", "west", "harbour")
USE_CASE = '''"""How much will a visitor spend within ten minutes? From topics of others."""

from river import linear_model, preprocessing

from riverrun import (
    Event, Kpi, LabelFold, Outcome, Source, UseCase, epoch_ms, hours, minutes, over_outcomes,
)


class Visit(Event):
    """Somebody comes."""

    shop: str
    pages: int


class Purchase(Outcome):
    """They buy something."""

    outcome_id: str
    amount: float


SOURCES = [
    Source(
        "@came",
        event=lambda r: Visit(
            event_id=r["id"], event_time=epoch_ms(r["at"]), shop=r["shop"], pages=r["pages"]
        ),
    ),
    Source(
        "@bought",
        outcome={"event_id": "visit", "outcome_id": "n", "outcome_time": "at", "amount": "sum"},
        by="event_id",
    ),
]

VISITS = UseCase(
    name="visits",
    owner="shop@example.com",
    event=Visit,
    outcome=Purchase,
    key="shop",
    sources=SOURCES,
    label=LabelFold("sum", lambda e, o: o.amount, until=minutes(10)),
    features={
        **Visit.fields("pages"),
        "lately": over_outcomes(by="shop", half_life=3_600).mean(lambda e, o, x: o.label, empty=0),
        "newest": over_outcomes(by=()).latest(lambda e, o, x: o.label, empty=0),
    },
    models={"linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression()},
    champion="linear",
    baseline=lambda e: 5.0,
    metric="mae",
    kpi=Kpi(lambda e, o, said: abs(said - o.label), unit="EUR", better="lower", range=(0, 1000)),
    limits=(0, 1000),
    horizon=hours(5),
    warmup=5,
    partitions=2,
)
'''


class Sent(NamedTuple):
    """The published records, in the order of time, and the label that each visit has in the end."""

    records: list[tuple[str, dict[str, Any]]]
    labels: Mapping[str, float]


def drawn(rng: random.Random, count: int) -> Sent:
    """Visits a minute apart; purchases, some before their visit's record, some corrected later."""
    start = datetime(2024, 5, 1, tzinfo=UTC)
    rows: list[tuple[float, int, str, dict[str, Any]]] = []
    newest: dict[str, dict[str, float]] = defaultdict(dict)
    for n in range(count + len(SHOPS)):
        ends = n >= count
        second = 60.0 * n + (8_000 if ends else 0)  # less than `max_jump`
        shop = SHOPS[n - count] if ends else rng.choice(SHOPS)
        at = int((start + timedelta(seconds=second)).timestamp() * 1000)
        visit = {"id": f"v{n}", "at": at, "shop": shop, "pages": rng.randrange(1, 30)}
        rows.append((second + rng.choice((0, 0, 0, 400)), n, CAME, visit))
        newest[f"v{n}"] = {}
        for m in range(0 if ends else rng.randrange(4)):
            bought = second + rng.randrange(1, 600)
            versions = [(bought, round(rng.uniform(1, 50), 2))]
            if rng.random() < 0.3:
                versions.append((bought + rng.randrange(1, 7_200), 0.0))
            for moment, amount in versions:
                time = (start + timedelta(seconds=moment)).isoformat()
                fields = {"visit": f"v{n}", "n": f"o{m}", "at": time, "sum": amount}
                rows.append((moment, n, BOUGHT, fields))
                newest[f"v{n}"][f"o{m}"] = amount
                if rng.random() < 0.1:
                    rows.append((moment + 1, n, BOUGHT, fields))
    rows.sort(key=lambda row: row[:2])
    labels = {visit: math.fsum(bought.values()) for visit, bought in newest.items()}
    return Sent([(topic, fields) for *_, topic, fields in rows], labels)


class Adopted:
    """One run: foreign topics, the use case, two workers and what kills them."""

    def __init__(self, stack: Endpoints, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.prefix = f"others{os.urandom(4).hex()}."
        self.servers = stack.bootstrap_servers
        self.loop = Loop(stack, folder, USE_CASE.replace("@", self.prefix))
        self.kills: Counter[str] = Counter()

    async def survive(self, visits: int, kills: int) -> None:
        """Publish all amid so many kills, wait, and check everything."""
        await self._make_topics()
        sent, loop = drawn(self.rng, visits), self.loop
        for _ in range(2):
            loop.start()
        size = len(sent.records) // (kills + 1) + 1
        for begin in range(0, len(sent.records), size):
            chunk = sent.records[begin : begin + size]
            await asyncio.to_thread(self._publish, chunk)
            if begin + size < len(sent.records):
                visits_sent = [fields["id"] for topic, fields in chunk if topic == CAME]
                await loop.wait_for("predictions", visits_sent[: len(visits_sent) // 4])
                await asyncio.sleep(self.rng.uniform(0.0, 2.0))
                self._kill()
        await loop.wait_for("predictions", sent.labels)
        last = {f"v{visits + n}" for n in range(len(SHOPS))}
        await loop.wait_for("examples", sent.labels.keys() - last)
        await self._settled(sent)
        loop.stop()
        await self._check(sent)

    def _publish(self, records: list[tuple[str, dict[str, Any]]]) -> None:
        producer = Producer({"bootstrap.servers": self.servers, "enable.idempotence": True})
        for topic, fields in records:
            producer.produce(self.prefix + topic, json.dumps(fields).encode())
        assert producer.flush(60) == 0

    async def _make_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        topics = [NewTopic(self.prefix + name, count, 1) for name, count in PARTITIONS.items()]
        await admin.create_topics(topics)
        await admin.close()

    def _kill(self) -> None:
        """Kill a worker, or its parent with it: then another one is started in its place."""
        loop = self.loop
        worker = self.rng.choice([w for w in loop.workers if w.poll() is None])
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        if children and self.rng.random() < 0.6:
            os.kill(int(children[0]), signal.SIGKILL)
            self.kills["worker"] += 1
            return
        worker.kill()
        worker.wait()
        self.kills["parent"] += 1
        loop.start()

    async def _newest(self) -> dict[str, float]:
        examples = await self.loop.values("examples")
        newest: dict[str, tuple[int, float]] = {}
        for row in examples:
            known = newest.get(row["event_id"], (-1, 0.0))
            newest[row["event_id"]] = max(known, (row["revision"], row["label"]))
        return {event_id: label for event_id, (_, label) in newest.items()}

    async def _settled(self, sent: Sent) -> None:
        """Wait until the newest label of each visit is what it should be."""
        async with asyncio.timeout(240):
            while True:
                newest = await self._newest()
                differ = {v for v, label in newest.items() if label != sent.labels[v]}
                if not differ:
                    return
                await asyncio.sleep(0.5)

    async def _check(self, sent: Sent) -> None:
        loop = self.loop
        assert not [row["error"] for row in await loop.values("dead-letter")]
        for kind in ("predictions", "features"):
            counts = Counter(row["event_id"] for row in await loop.values(kind))
            assert counts == Counter(sent.labels.keys()), kind
        examples = Counter((r["event_id"], r["revision"]) for r in await loop.values("examples"))
        assert set(examples.values()) == {1}
        for kind in ("events", "outcomes"):
            origins = [dict(r.headers)["riverrun_source"] for r in await loop.records(kind)]
            assert len(origins) == len(set(origins)), kind
        proof = loop.run("verify", str(loop.file), "--all", "--json")
        relayed, records = proof["relayed"], len(sent.records)
        assert (proof["checked"], proof["proved"]) == (len(sent.labels), True), proof
        assert (relayed["checked"], relayed["different"]) == (records, 0), relayed
