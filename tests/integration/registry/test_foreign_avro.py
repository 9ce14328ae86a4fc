"""A new user's way from a foreign Avro topic to predictions, with the commands of SOURCES."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from streams.embedded import Endpoints
from tests.support.loop import Loop
from tests.support.servers.forked import run
from tests.support.use_cases.foreign_shop import GROWN, Shop, shop_rows

pytestmark = pytest.mark.integration

COUNT = 160
ROWS = shop_rows(COUNT)
IDS = [f"O-{n:04}" for n in range(COUNT)]


@dataclass(slots=True)
class NewUser:
    """Somebody in a folder of their own, beside a shop that was there before."""

    shop: Shop
    folder: Path
    environment: dict[str, str]

    async def types(self, *words: str) -> str:
        """Run `riverrun …`; what it printed."""
        done = await asyncio.to_thread(run, words, self.environment, 120.0)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.fixture
async def user(stack: Endpoints, tmp_path: Path, registry: str) -> NewUser:
    """The shop has published half of its orders so far."""
    shop = Shop(stack.bootstrap_servers, registry, f"shop-{uuid4().hex[:8]}.")
    await shop.open()
    await asyncio.to_thread(shop.publish, ROWS[:COUNT])
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "REDIS_URL": stack.redis_url,
        "SCHEMA_REGISTRY_URL": registry,
    }
    return NewUser(shop, tmp_path, environment)


async def test_a_foreign_avro_topic_is_answered_within_five_commands(
    user: NewUser, stack: Endpoints
) -> None:
    """profile, new, check, backtest, worker: each event is answered once and each outcome learnt
    once, through a kill and through a schema that its owners evolve meanwhile.
    """
    orders, deliveries = user.shop.orders, user.shop.deliveries
    (proposal,) = json.loads(await user.types("profile", orders, "--json"))["sources"]
    expected = {"format": "Avro()", "id": "order_number", "key": "customer.id"}
    assert {name: proposal[name] for name in expected} == expected
    assert proposal["time_read"] == "placed_at (a time)"
    file = user.folder / "my_case.py"
    await user.types(
        "new", "my_case", "--from", orders, "--outcomes", deliveries, "--to", str(file)
    )
    sources = ("--source", orders, "--source", deliveries)
    assert "no mistakes" in await user.types("check", str(file), *sources)
    await user.types("backtest", str(file), *sources)
    loop = Loop(stack, user.folder, file.read_text())
    loop.environment["SCHEMA_REGISTRY_URL"] = user.environment["SCHEMA_REGISTRY_URL"]
    try:
        await answered_once(user, loop)
    finally:
        loop.close()


async def answered_once(user: NewUser, loop: Loop) -> None:
    """Work on, killed once; the shop goes on by another schema."""
    loop.start()
    await loop.wait_for("predictions", [r[2] for r in ROWS[:COUNT] if r[2] is not None])
    loop.workers[-1].kill()
    loop.workers[-1].wait()
    await user.shop.register("shop.orders", GROWN)
    rows = [(at, topic, key, row | {"gift": True}) for at, topic, key, row in ROWS[COUNT:]]
    await asyncio.to_thread(user.shop.publish, rows)
    loop.start()
    for kind in ("predictions", "examples"):
        await loop.wait_for(kind, IDS)
        rows_of_kind: list[dict[str, Any]] = await loop.values(kind)
        assert Counter(row["event_id"] for row in rows_of_kind) == Counter(IDS)
    assert await loop.values("dead-letter") == []
    assert len(await loop.values("schemas")) == 3
    proof = loop.run("verify", str(loop.file), "--all", "--json")
    assert (proof["checked"], proof["different"], proof["proved"]) == (COUNT, 0, True)
