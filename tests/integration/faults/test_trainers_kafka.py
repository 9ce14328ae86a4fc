"""A learner whose models are trained by child processes, on a real Kafka, through kills."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from streams.embedded import Endpoints
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

SHARED = SOURCE.replace(
    '    partitions=2,\n    learning="partition",\n', '    partitions=3,\n    learning="shared",\n'
)
PARCELS = parcels(500)
DEPOTS = {f["event_id"]: f["depot"] for kind, f in PARCELS if kind == "event"}
ROWS = [(kind, {**f, "depot": DEPOTS[f["event_id"]]}) for kind, f in PARCELS]
EVENTS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


@pytest.fixture
async def loop(stack: Endpoints, tmp_path: Path) -> AsyncIterator[Loop]:
    """Parcels on three partitions that share models, which two trainers train."""
    loop = Loop(stack, tmp_path, SHARED)
    loop.environment["RIVERRUN_TRAINERS"] = "2"
    try:
        yield loop
    finally:
        loop.close()


def trainer_pids(loop: Loop) -> list[int]:
    """The trainers that live, as the workers' logs name them."""
    pids = [int(pid) for pid in re.findall(r"trainer \d+ is process (\d+)", all_logs(loop))]
    return [pid for pid in pids if is_alive(pid)]


def all_logs(loop: Loop) -> str:
    """What the workers said, all of it."""
    return "\n".join(file.read_text() for file in sorted(loop.folder.glob("worker*.log")))


def is_alive(pid: int) -> bool:
    """Return whether there is such a process, and it has not ended."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def ended(pids: Sequence[int]) -> None:
    """Wait until none of these processes lives."""
    began = monotonic()
    while any(map(is_alive, pids)):
        assert monotonic() - began < 60
        await asyncio.sleep(0.1)


async def test_kills_of_trainers_and_of_their_worker_lose_and_double_nothing(loop: Loop) -> None:
    """kill -9 of a trainer amid the stream, then of the worker: its trainers end with it, every
    event is answered once, every outcome learnt once, and a fresh process without trainers derives
    every version and every answer again.
    """
    loop.start()
    quarter = len(ROWS) // 4
    await loop.publish(ROWS[:quarter])
    await loop.wait_until_learnt(ROWS[:quarter])
    before = trainer_pids(loop)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    await loop.publish(ROWS[quarter : 2 * quarter])
    await loop.wait_until_learnt(ROWS[: 2 * quarter])
    assert "has ended" in all_logs(loop)
    assert loop.workers[0].poll() is None, "a trainer that ends is no worker's end"

    after = trainer_pids(loop)
    assert len(after) == 2
    assert before[0] not in after
    loop.workers[0].kill()
    loop.workers[0].wait()
    await ended([*before, *after])
    loop.start()
    await loop.publish(ROWS[2 * quarter :])
    await loop.wait_until_learnt(ROWS)
    await loop.wait_for("predictions", EVENTS)
    await loop.wait_for("examples", EVENTS)
    assert sorted(p["event_id"] for p in await loop.values("predictions")) == sorted(EVENTS)
    assert sorted(e["event_id"] for e in await loop.values("examples")) == sorted(EVENTS)
    updates = await loop.values("models")
    assert [update["number"] for update in updates] == list(range(len(updates)))

    last = trainer_pids(loop)
    loop.stop()
    await ended(last)
    proof: dict[str, Any] = await asyncio.to_thread(
        loop.run, "verify", str(loop.file), "--all", "--json"
    )
    assert (proof["proved"], proof["checked"]) == (True, len(EVENTS))
    assert proof["versions_checked"] == len(updates)
