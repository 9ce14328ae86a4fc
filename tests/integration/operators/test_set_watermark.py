"""`riverrun set-watermark` on real servers: time goes on, and the log still proves every answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.embedded import Endpoints
from tests.support.loop import Loop, parcels

pytestmark = pytest.mark.integration


async def test_time_is_set_back_and_all_is_derived_again(stack: Endpoints, tmp_path: Path) -> None:
    """A record of today amid parcels of 2024 makes all after it late; after the command they are
    answered, and `verify --all` finds no difference.
    """
    rows = parcels(120)
    depots = {fields["event_id"]: fields["depot"] for kind, fields in rows if kind == "event"}
    rows = [(kind, {**fields, "depot": depots[fields["event_id"]]}) for kind, fields in rows]
    before, after = rows[:160], rows[160:]
    today = {
        "event_id": "today",
        "event_time": datetime.now(UTC).isoformat(),
        "depot": "north",
        "weight": 1.0,
        "miles": 10,
    }
    loop = Loop(stack, tmp_path)
    try:
        await loop.publish(before)
        loop.start()
        asked = [str(fields["event_id"]) for kind, fields in before if kind == "event"]
        await loop.wait_for("predictions", asked)
        await loop.publish([("event", today)])
        await loop.wait_for("predictions", ["today"])
        last = max(str(fields.get("event_time", "")) for _, fields in before)
        done = await asyncio.to_thread(
            loop.run, "set-watermark", str(loop.file), last, "--why", "a clock", "--json"
        )
        assert sorted(done["applied"]) == [0, 1]
        await loop.publish(after)
        later = [str(fields["event_id"]) for kind, fields in after if kind == "event"]
        await loop.wait_for("predictions", later)
        told = [row for row in await loop.values("lifecycle") if row["model"] == "(watermark)"]
        assert sorted(row["to_state"] for row in told) == ["set back", "unchanged"]
        acts = await asyncio.to_thread(loop.run, "history", str(loop.file), "--json")
        (what,) = [act["what"] for act in acts if act["kind"] == "command"]
        assert what.startswith("set-watermark to 2024-05-01T")
        report = await asyncio.to_thread(loop.run, "verify", str(loop.file), "--all", "--json")
        assert (report["different"], report["unproven"]) == (0, 0)
        assert report["checked"] == len(asked) + len(later) + 1
    finally:
        loop.close()
