"""The decider on real servers: killed anywhere, it decides what one that never ended would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest

from models.promotion.block_merger import BlockMerger, seconds
from models.promotion.decider import Decider
from models.promotion.standings import standings
from schemas.records import Evidence, Standing
from streams.embedded import Endpoints
from streams.inspection.model_registry import changes, together
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

PARTITIONS = 6
"""No depot's key is on some of them."""
# A gain that changes as both models learn looks like memory, and would not be promised so soon.
SLOW = SOURCE.replace("SGD(0.01)", "SGD(0.00001), intercept_lr=0.00001").replace(
    "SGD(0.1)", "SGD(0.1), intercept_lr=0.1"
)
RULED = (
    SLOW.replace(
        'Promotion("manual")',
        'Promotion("automatic", after=200, margin=0.01)',
    )
    .replace("horizon=hours(48)", "horizon=hours(12), window=hours(2), breaker=False")
    .replace("limits=(0, 200)", "limits=(-200, 200)")
    .replace("partitions=2", f"partitions={PARTITIONS}")
    .replace("import Event,", "import Contest, Event,")
)
DEPOTS = {fields["event_id"]: fields["depot"] for kind, fields in parcels(1_300) if kind == "event"}
# Published in two halves, so an outcome names the key of an event that came long before.
ROWS = [(k, {**fields, "depot": DEPOTS[fields["event_id"]]}) for k, fields in parcels(1_300)]


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case whose champion is hardly able to learn, and a rule that may promote."""
    loop = Loop(stack, tmp_path_factory.mktemp("parcels"), RULED)
    try:
        yield loop
    finally:
        loop.close()


async def blocks(loop: Loop) -> list[dict[str, Any]]:
    """What is on `verdicts`, of all blocks."""
    return await loop.values("verdicts")


async def wait_until(loop: Loop, reached: Any, within_s: float = 240.0) -> None:
    """Wait until the standings say so."""
    began = monotonic()
    while not reached(await blocks(loop)):
        assert monotonic() - began < within_s, loop.log()
        await asyncio.sleep(0.3)


@pytest.mark.timeout(900)
async def test_a_decider_that_is_killed_decides_as_one_that_was_not(loop: Loop) -> None:
    """kill -9 twice while evidence comes in, and two workers at the end: each block is said once,
    as a fold of the evidence says it; one promotion under one id, applied in every partition; the
    partitions without events are passed over; and after it brisk answers.
    """
    half = len(ROWS) // 2
    await loop.publish(ROWS[:half])
    loop.start()
    await wait_until(loop, lambda rows: len(rows) >= 10)
    loop.workers[-1].kill()
    loop.workers[-1].wait()
    late = next(n for n, (_, fields) in enumerate(ROWS) if fields["event_id"] == "p1200")
    await loop.publish(ROWS[half:late])
    loop.start()
    await wait_until(loop, lambda rows: len({row["block_start"] for row in rows}) >= 55)
    loop.workers[-1].kill()
    loop.workers[-1].wait()
    loop.start()
    loop.start()
    await wait_until(loop, lambda rows: any(row["command_id"] for row in rows))
    await loop.publish(ROWS[late:])
    await loop.wait_for("examples", [f"p{n}" for n in range(1_200)])
    wanted = {row["block_start"] for row in await loop.values("evidence")}
    await wait_until(
        loop, lambda rows: len({row["block_start"] for row in rows}) >= len(wanted) - 2
    )
    loop.stop()

    rows = await blocks(loop)
    for row in rows:
        Standing.model_validate(row)
    places = [(r["block_start"], r["question"], r["model"], r["against"]) for r in rows]
    assert len(places) == len(set(places))
    assert orjson.dumps(rows) == orjson.dumps(await refolded(loop, rows))
    assert all(len(row["partitions"]) < PARTITIONS for row in rows)

    commands = await loop.values("commands")
    assert {command["who"] for command in commands} == {"decider"}
    promoted = [c for c in commands if c["verb"] == "promote"]
    assert [c["model"] for c in promoted] == ["brisk"] * PARTITIONS
    assert len({c["command_id"] for c in promoted}) == 1
    acts = together(await changes(loop.settings, loop.names["lifecycle"]))
    crowned = [a for a in acts if a["to_state"] == "champion" and a["cause"] == "rule"]
    # It was a candidate still where there are no events, and in shadow where there are.
    assert {(a["model"], a["who"]) for a in crowned} == {("brisk", "decider")}
    assert sorted(p for a in crowned for p in a["partitions"]) == list(range(PARTITIONS))
    assert crowned[0]["evidence"]["lower"] > 0
    models = {row["event_id"]: row["model"] for row in await loop.values("predictions")}
    # The command may still have been on its way to the first of them.
    assert all(models[f"p{n}"].startswith("brisk@") for n in range(1_280, 1_300))


async def refolded(loop: Loop, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same standings, from the evidence and which partitions each block was made of."""
    use_case = loop.loaded.use_case
    recorded = {seconds(row["block_start"]): tuple(row["partitions"]) for row in rows}
    assembly = BlockMerger(PARTITIONS, use_case.horizon, recorded=recorded)
    for record in await loop.values("evidence"):
        Evidence.model_validate(record)
        assembly.take(record)
    decider = Decider(use_case)
    again: list[dict[str, Any]] = []
    for block in assembly.release():
        if block.start in recorded:
            again += standings(decider, decider.take(block))
    known: list[dict[str, Any]] = orjson.loads(orjson.dumps(again))
    return known


def test_history_shows_the_verdict_and_what_became_of_it(loop: Loop, tmp_path: Path) -> None:
    """One line: who, what, the figures, and that it was applied everywhere."""
    result = loop.attempt("history", str(loop.file))
    assert result.returncode == 0, result.stderr
    text = result.stdout + result.stderr
    assert "decider" in text
    assert f"applied in {PARTITIONS} of {PARTITIONS}" in text
