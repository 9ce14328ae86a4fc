"""One worker with several use cases, of which one fails; and a label of several outcomes, live."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.replay.backtest import run
from streams.embedded import Endpoints
from tests.support.loop import SOURCE, Loop, Row, parcels

pytestmark = pytest.mark.integration

VISITS = '''"""How much will a visitor spend within ten minutes?"""

from river import linear_model, preprocessing

from riverrun import Event, Kpi, LabelFold, Outcome, UseCase, hours, minutes, over_outcomes


class Visit(Event):
    """Somebody comes."""

    depot: str
    pages: int


class Purchase(Outcome):
    """They buy something."""

    outcome_id: str
    amount: float


VISITS = UseCase(
    name="visits",
    owner="shop@example.com",
    event=Visit,
    outcome=Purchase,
    key="depot",
    label=LabelFold("sum", lambda e, o: o.amount, until=minutes(10)),
    features={
        **Visit.fields("pages"),
        "lately": over_outcomes(by="depot", last=hours(2)).mean(lambda e, o, x: o.label, empty=0.0),
    },
    models={"linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression()},
    champion="linear",
    baseline=lambda e: 5.0,
    metric="mae",
    kpi=Kpi(lambda e, o, said: abs(said - o.label), unit="EUR", better="lower", range=(0, 1000)),
    limits=(0, 1000),
    horizon=hours(5),
    warmup=5,
    partitions=1,
)
'''
FRAGILE = SOURCE.replace('name="parcels"', 'name="fragile"').replace(
    '"lately":',
    '"boom": lambda e: __import__("os")._exit(9) if e.weight > 19.5 else 0.0,\n        "lately":',
)


def visits(count: int) -> list[Row]:
    """Visits a minute apart, with purchases, some of which are corrected up to two hours later; in
    the order of time.
    """
    draw, start = random.Random(3), datetime(2024, 5, 1, tzinfo=UTC)
    rows: list[tuple[datetime, int, Row]] = []
    for n in range(count):
        came = start + timedelta(minutes=n)
        event = {"event_id": f"v{n}", "event_time": came.isoformat(), "depot": "north"}
        rows.append((came, 1, ("event", event | {"pages": draw.randrange(1, 30)})))
        for m in range(draw.randrange(4)):
            bought = came + timedelta(seconds=draw.randrange(1, 600))
            outcome: dict[str, Any] = {"event_id": f"v{n}", "outcome_id": f"o{m}"}
            outcome |= {"outcome_time": bought.isoformat(), "amount": round(draw.uniform(1, 50), 2)}
            rows.append((bought, 0, ("outcome", outcome)))
            if draw.random() < 0.3:
                later = bought + timedelta(seconds=draw.randrange(1, 7_200))
                mended = outcome | {"outcome_time": later.isoformat(), "amount": 0.0}
                rows.append((later, 0, ("outcome", mended)))
    rows.sort(key=lambda row: row[:2])
    return [row for _, _, row in rows]


@pytest.fixture
def loops(stack: Endpoints, tmp_path: Path) -> Iterator[dict[str, Loop]]:
    """The loops of three use cases under one prefix."""
    loops = {}
    for name, source in (("parcels", SOURCE), ("visits", VISITS), ("fragile", FRAGILE)):
        (tmp_path / name).mkdir()
        loops[name] = Loop(stack, tmp_path / name, source)
    yield loops
    for loop in loops.values():
        loop.close()


async def test_one_use_case_s_failure_stops_no_other(loops: dict[str, Loop]) -> None:
    """A use case whose process dies is left alone; the others answer, learn and fold on, and what
    is live is what a backtest says.
    """
    first = loops["parcels"]
    for loop in loops.values():
        loop.prefix = loop.environment["RIVERRUN_TOPIC_PREFIX"] = first.prefix
        loop.settings = loop.settings.model_copy(update={"riverrun_topic_prefix": first.prefix})
        loop.names = {k: f"{first.prefix}{loop.loaded.use_case.name}.{k}" for k in loop.names}
    files = [str(loop.file) for loop in loops.values()]
    log = first.folder / "worker0.log"
    first.workers.append(first.process("worker", *files, err=log))
    rows, told = parcels(150), visits(120)
    await loops["fragile"].publish(rows)
    await first.publish(rows)
    await loops["visits"].publish(told)
    ids = {fields["event_id"] for kind, fields in rows if kind == "event"}
    await first.wait_for("examples", ids)
    await loops["visits"].wait_for("predictions", {"v119"})
    await asyncio.sleep(0.5)
    answered = {row["event_id"] for row in await loops["fragile"].values("predictions")}
    assert answered < ids
    assert first.workers[0].poll() is None
    first.workers[0].send_signal(signal.SIGTERM)
    assert first.workers[0].wait(60) == 9

    use_case = loops["visits"].loaded.use_case
    expected: list[Any] = []
    run(use_case, told, partitions=1, definition="d", outputs=expected.append)
    offline = [out for out in expected if out.kind == "examples"]
    live = await loops["visits"].values("examples")
    wanted = ("event_id", "label", "revision", "outcomes", "prediction", "kpi", "delay_s")
    assert [[row[name] for name in wanted] for row in live] == [
        [orjson.loads(out.value)[name] for name in wanted] for out in offline
    ]
    assert any(row["revision"] for row in live)
    checked = loops["visits"].run("verify", str(loops["visits"].file), "--all", "--json")
    assert checked["different"] == 0
