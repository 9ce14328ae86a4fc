"""The monitor on the real stack: its figures after a kill and a flush, and its alerts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from streams.config.naming import group_of
from streams.embedded import Endpoints
from streams.monitor.store import event_queries, queries
from streams.monitor.store.board import read_topics
from streams.monitor.store.queries import Board
from streams.monitor.store.table_store import MetricsTables, connect
from tests.support.loop import SOURCE, Loop, Process, parcels

pytestmark = pytest.mark.integration

PERFECT = SOURCE.replace(
    "baseline=lambda e: 5.0", "baseline=lambda e: 1.5 + e.miles / 60 + e.weight / 10"
).replace("horizon=hours(48)", "horizon=hours(24), window=hours(6), breaker=False")
"""The same parcels, and a baseline that no model can beat."""

LIMITS = "kpi_least=100, labels_s=25, gone_s=1, drift_s=0, safeguard_s=0"


def rows(count: int) -> list[Any]:
    """Parcels whose outcomes say their key, so that they can be sent apart."""
    records = parcels(count)
    depots = {f["event_id"]: f["depot"] for kind, f in records if kind == "event"}
    return [(kind, {**fields, "depot": depots[fields["event_id"]]}) for kind, fields in records]


ROWS = rows(400)


class Watched(Loop):
    """A loop with a monitor."""

    monitor: Process | None = None

    def watch(self) -> None:
        """Start the monitor."""
        self.environment["RIVERRUN_ALERT_LIMITS"] = LIMITS
        log = self.folder / "monitor.log"
        self.monitor = self.process("monitor", str(self.file), "--verbose", err=log)

    def kill_monitor(self) -> None:
        """Kill -9."""
        assert self.monitor is not None
        assert self.monitor.poll() is None, (self.folder / "monitor.log").read_text()
        self.monitor.send_signal(signal.SIGKILL)
        self.monitor.wait()

    def close(self) -> None:
        """End what still runs."""
        if self.monitor is not None and self.monitor.poll() is None:
            self.monitor.kill()
            self.monitor.wait()
        super().close()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[MetricsTables]:
        """What the monitor keeps."""
        assert self.settings.redis_url is not None
        client = connect(self.settings.redis_url.get_secret_value())
        try:
            yield MetricsTables(client, group_of(self.loaded, self.settings))
        finally:
            await client.aclose()

    async def stored(self) -> dict[str, dict[str, bytes]]:
        """Everything on the store that comes of a topic."""
        async with self.store() as store:
            names = [
                n for n in await store.table_names() if n not in ("samples", "learnt", "counted")
            ]
            return dict(zip(names, map(dict, await store.tables(names)), strict=True))

    async def alerts(self) -> dict[tuple[str, str], str]:
        """(rule, subject) → state, by the newest record."""
        async with self.store() as store:
            alerts = await event_queries.alerts(store)
        return {(row.rule, row.subject): row.state for row in reversed(alerts)}

    async def until(self, what: str, true: Callable[[], Awaitable[bool]], within_s: float) -> None:
        """Wait for it."""
        deadline = monotonic() + within_s
        while not await true():
            log = (self.folder / "monitor.log").read_text()[-3_000:]
            assert monotonic() < deadline, f"{what}: {await self.alerts()}\n{log}\n{self.log()}"
            await asyncio.sleep(0.2)

    async def board(self) -> Board:
        """The same figures without the monitor, from the topics."""
        return Board(self.loaded.use_case, 2, await read_topics(self.loaded, self.settings))


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A worker and a monitor of half the parcels, whose baseline cannot be beaten."""
    loop = Watched(stack, tmp_path_factory.mktemp("parcels"), PERFECT)
    try:
        asyncio.run(loop.publish(half(ROWS, first=True)))
        loop.start()
        loop.watch()
        yield loop
    finally:
        loop.close()


def half(rows: list[Any], first: bool) -> list[Any]:
    """The first or second half of what there is."""
    return rows[: len(rows) // 2] if first else rows[len(rows) // 2 :]


async def test_figures_survive_a_kill_and_a_flush_and_are_those_of_the_topics(
    loop: Watched,
) -> None:
    """Killed while records stream, restarted, and with Redis emptied: the same rows every time."""
    await loop.until("figures", lambda: _has(loop, "metrics:0:whole"), 150)
    publishing = asyncio.create_task(loop.publish(half(ROWS, first=False)))
    loop.kill_monitor()
    await publishing
    ids = [str(fields["event_id"]) for kind, fields in ROWS if kind == "outcome"]
    await loop.wait_for("examples", ids)
    loop.watch()
    await loop.until("the same figures", lambda: _same(loop), 150)
    before = await loop.stored()
    async with loop.store() as store:
        await store.clear()
    await loop.until("rebuilt figures", lambda: _same(loop), 150)
    after = await loop.stored()
    alone = {name: table for name, table in after.items() if name != "alerts"}
    assert alone == {name: table for name, table in before.items() if name != "alerts"}
    served = (await queries.quality(await loop.board())).total["served"]
    assert served.n == 400


async def _has(loop: Watched, table: str) -> bool:
    return table in await loop.stored()


async def _same(loop: Watched) -> bool:
    # Metrics are told once a second: the last ones may still come.
    board = await loop.board()
    quality = await queries.quality(board)
    async with loop.store() as store:
        second_board = Board(loop.loaded.use_case, 2, store)
        return (
            await queries.quality(second_board) == quality
            and quality.total["served"].outcomes == 400
            and await event_queries.lifecycle(store) == await event_queries.lifecycle(board.source)
        )


async def test_a_kpi_below_the_baseline_is_told_once_with_the_command_to_look(
    loop: Watched,
) -> None:
    """One open alert, on the topic and in the command line, across a restart of the monitor."""
    alert = ("kpi-below-baseline", "kpi")
    await loop.until("alert", lambda: _state(loop, alert, "open"), 150)
    loop.kill_monitor()
    loop.watch()
    measured = await _samples(loop)
    await loop.until("a look", lambda: _more(loop, measured), 150)
    alerts = loop.run("alerts", str(loop.file), "--json", code=1)
    own = [row for row in alerts if row["rule"] == alert[0]]
    assert [row["alert_id"] for row in own] == ["parcels/kpi-below-baseline/kpi#1"]
    assert own[0]["command"] == f"riverrun metrics {loop.file} --prefix {loop.prefix}"
    assert "EUR an event, the baseline" in own[0]["cause"]
    on_topic = [row for row in await loop.values("alerts") if row["rule"] == alert[0]]
    assert [row["state"] for row in on_topic] == ["open"]


async def test_outcomes_that_stop_are_told_and_their_coming_back_closes_it(loop: Watched) -> None:
    """Events go on and no outcome comes: an alarm, which closes once outcomes are learnt again."""
    alert = ("labels-stopped", "outcomes")
    # Less than a horizon of them, so that every outcome still counts, however late it is sent.
    more = [row for row in rows(530) if _number(row) >= 400]
    events = [row for row in more if row[0] == "event"]
    outcomes = [row for row in more if row[0] == "outcome"]

    told = asyncio.Event()

    async def trickle() -> None:
        while events and not told.is_set():
            await loop.publish([events.pop(0)])
            await asyncio.sleep(0.3)

    publishing = asyncio.create_task(trickle())
    await loop.until("alarm", lambda: _state(loop, alert, "open"), 150)
    told.set()
    await publishing
    await loop.publish(events)
    await loop.publish(outcomes)
    await loop.until("all clear", lambda: _state(loop, alert, "closed"), 150)


async def test_a_partition_without_a_worker_is_told_until_it_has_one(loop: Watched) -> None:
    """A worker that ends leaves an alarm for each partition; the next one closes them."""
    places = [("worker-gone", f"partition {number}") for number in (0, 1)]
    loop.stop()
    for alert in places:
        await loop.until("alarm", lambda alert=alert: _state(loop, alert, "open"), 150)
    status = loop.run("status", str(loop.file), "--json", code=1)
    assert status["overview"]["state"] == "stopped"
    loop.start()
    for alert in places:
        await loop.until("all clear", lambda alert=alert: _state(loop, alert, "closed"), 150)


def test_commands_read_what_the_monitor_keeps_or_else_the_topics(loop: Watched) -> None:
    """The same JSON with the monitor and, once it is gone, without."""
    name, alert = str(loop.file), ("kpi-below-baseline", "kpi")
    asyncio.run(loop.until("alert", lambda: _state(loop, alert, "open"), 150))
    watched = loop.run("metrics", name, "--json")
    told = loop.run("alerts", name, "--all", "--json", code=1)
    assert loop.monitor is not None
    loop.monitor.send_signal(signal.SIGTERM)
    assert loop.monitor.wait(90) == 0
    asyncio.run(loop.until("its silence", lambda: _silent(loop), 90))
    assert loop.run("metrics", name, "--json") == watched
    assert loop.run("alerts", name, "--all", "--json", code=1) == told


def _number(row: Any) -> int:
    return int(row[1]["event_id"][1:])


async def _silent(loop: Watched) -> bool:
    async with loop.store() as store:
        return not await store.has_live_monitor()


async def _samples(loop: Watched) -> int:
    async with loop.store() as store:
        return len((await store.tables(["samples"]))[0])


async def _more(loop: Watched, measured: int) -> bool:
    return await _samples(loop) > measured


async def _state(loop: Watched, alert: tuple[str, str], state: str) -> bool:
    return (await loop.alerts()).get(alert) == state
