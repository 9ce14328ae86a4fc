from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_monitor_views import DAYS, board, metric, rows

from streams.monitor import changes, signs
from streams.monitor.figures import Change, Drifted, Letters, Sample
from streams.monitor.scene import LIMITS, Scene
from streams.monitor.shelves import MemoryShelves
from streams.monitor.watch import restarted, scene_of

NOW = 1_800_000_000.0


def moment(ago_s: float) -> str:
    """So long before now."""
    return datetime.fromtimestamp(NOW - ago_s, UTC).isoformat(timespec="milliseconds")


def worker(**partition: Any) -> dict[str, Any]:
    """What a worker of partition 0 tells."""
    counts = {"events": 100, "outcomes": 90, "learnt": 90, "late": 0, "expired": 0, "refused": 0}
    told = {"partition": 0, "state": "live", "lag": 0, "counts": counts, "learnt_at": NOW - 5}
    return {"worker": "w", "host": "h", "pid": 1, "ready": True, "time": NOW} | {
        "partitions": [told | partition]
    }


def block(day: str, served: float, baseline: float, n: int) -> dict[str, Any]:
    """A settled day of partition 0."""
    whole = {"partition": 0, "segment": None, "slice": None, "missing": 0, "block_s": 86_400.0}
    kpi = {"served": served, "baseline": baseline}
    return whole | {"block_start": day, "predictions": n, "kpi_n": n, "kpi": kpi}


async def scene(
    tmp_path: Path, error: float = 2.0, n: int = 100, told: list[dict[str, Any]] | None = None
) -> Scene:
    """Ten windows in which served errs by `error` and the baseline by 3, and a worker of it."""
    shelves = MemoryShelves([worker()] if told is None else told)
    records = [metric(0, day, model, n) for day in DAYS for model in ("served", "baseline")]
    for record in records:
        if record["model"] == "served":
            record |= {"kpi_sum": error * n}
            record["sums"]["abs"] = error * n
    shelves.put(rows("metrics", records))
    shelves.put(rows("evidence", [block(day, error * n, 3.0 * n, n) for day in DAYS]))
    definition = {"definition": "d", "file": "f", "python": "3", "river": "0", "riverrun": "0"}
    shelves.put(rows("definitions", [definition]))
    return await scene_of(board(tmp_path, shelves, 1), LIMITS, NOW)


def seen(found: Any) -> list[tuple[str, bool]]:
    """Subject and whether it opens."""
    return [(each.subject, each.opens) for each in found]


async def test_a_healthy_use_case_raises_nothing(tmp_path: Path) -> None:
    """No rule sees anything where all is well."""
    from streams.monitor.rules import rules

    found = await scene(tmp_path)
    assert [what for rule in rules(LIMITS) for what in rule.look(found)] == []


@pytest.mark.parametrize(
    ("error", "due"),
    [(2.0, []), (3.0, []), (3.03, [("kpi", False)]), (3.3, [("kpi", True)])],
)
async def test_a_kpi_below_the_baseline(
    tmp_path: Path, error: float, due: list[tuple[str, bool]]
) -> None:
    """Opens beyond the margin, and stays open until there is no loss at all."""
    assert seen(signs.kpi(await scene(tmp_path, error))) == due


async def test_a_kpi_is_judged_where_all_outcomes_are_in(tmp_path: Path) -> None:
    """The newest windows, of which only the quick outcomes have come, alarm nobody."""
    found = await scene(tmp_path, 9.0)
    assert seen(signs.kpi(found)) == [("kpi", True)]
    assert seen(signs.kpi(replace(found, settled=()))) == []
    better = [replace(each, served=0.0, gain=each.baseline) for each in found.settled]
    assert seen(signs.kpi(replace(found, settled=tuple(better)))) == []


async def test_a_kpi_over_few_outcomes_is_not_judged(tmp_path: Path) -> None:
    """Chance alone would do it."""
    assert seen(signs.kpi(await scene(tmp_path, 9.0, n=10))) == []


async def test_a_missed_target(tmp_path: Path) -> None:
    """Within the margin it opens nothing; freshness has a rule of its own."""
    found = await scene(tmp_path)
    use_case = replace(found.use_case, targets={"mae": 1.99, "kpi": 1.0, "freshness": 1.0})
    shelves = MemoryShelves([worker()])
    shelves.put(rows("metrics", [metric(0, day, "served", 100) for day in DAYS]))
    judged = board(tmp_path, shelves, 1)
    found = await scene_of(replace(judged, use_case=use_case), LIMITS, NOW)
    assert seen(signs.target(found)) == [("mae", False), ("kpi", True)]
    assert seen(signs.freshness(found)) == [("freshness", True)]


async def test_outcomes_that_stop(tmp_path: Path) -> None:
    """Events came, the newest outcome is old: told. Neither came: not told."""
    found = await scene(tmp_path, told=[worker(learnt_at=NOW - 400)])
    found = replace(found, limits=LIMITS | {"labels_s": 300.0})
    plain = Sample(moment(250), 1.0, 0, 400.0, None, 1_000, 10, 0, 1)
    later = replace(plain, time=moment(5), events=1_500)
    assert seen(signs.labels(replace(found, samples=(plain, later)))) == [("outcomes", True)]
    still = replace(later, events=1_000)
    assert seen(signs.labels(replace(found, samples=(plain, still)))) == []
    fresh = await scene(tmp_path)
    fresh = replace(fresh, limits=found.limits, samples=(plain, later))
    assert seen(signs.labels(fresh)) == []


async def test_outcomes_that_stop_by_a_partitions_own_curve(tmp_path: Path) -> None:
    """The newest word of a partition counts: an alarm, until it says that they come again."""
    found = await scene(tmp_path)
    stopped = Drifted(
        moment(60), 0, "labels: arrivals", "labels", "90 due", "0 came", moment(99), "alarm", {}
    )
    again = replace(stopped, time=moment(10), severity="notice")
    other = replace(stopped, partition=3)
    assert seen(signs.labels(replace(found, drift=(stopped,)))) == [("partition 0", True)]
    assert seen(signs.labels(replace(found, drift=(stopped, other, again)))) == [
        ("partition 3", True)
    ]
    assert seen(signs.drift(replace(found, drift=(stopped,)))) == []


@pytest.mark.parametrize(("lag", "due"), [(9_000, []), (15_000, [False]), (30_000, [True])])
async def test_lag(tmp_path: Path, lag: int, due: list[bool]) -> None:
    """Opens at the limit and closes at half of it."""
    found = await scene(tmp_path, told=[worker(lag=lag)])
    assert [opens for _, opens in seen(signs.lag(found))] == due


@pytest.mark.parametrize(("count", "due"), [(5, []), (6_000, [True]), (60, [False]), (30, [])])
async def test_dead_letters(tmp_path: Path, count: int, due: list[bool]) -> None:
    """A share of what came, and a least number."""
    found = await scene(tmp_path)
    first = Sample(moment(590), 1.0, 0, 1.0, None, 0, 0, 0, 1)
    last = replace(first, time=moment(1), events=10_000)
    group = Letters("malformed", "event", "t", "c", 3, moment(9), moment(3), "no key", ("0/1",))
    found = replace(found, samples=(first, last), letters_lately=count, letters=(group,))
    told = list(signs.letters(found))
    assert [each.opens for each in told] == due
    assert all("no key" in each.cause for each in told)


async def test_drift_is_told_for_a_while(tmp_path: Path) -> None:
    """By its subject, with its severity; a notice is none."""
    found = await scene(tmp_path)
    plain = Drifted(moment(60), 0, "ranks", "weight", "m: 1", "m: 2", moment(99), "warning", {})
    old = replace(plain, subject="old", time=moment(LIMITS["drift_s"] + 1))
    error = replace(plain, subject="error:linear", severity="alarm")
    notice = replace(plain, subject="x", severity="notice")
    told = list(signs.drift(replace(found, drift=(old, plain, error, notice))))
    assert [(each.subject, each.severity) for each in told] == [
        ("weight", "warning"),
        ("error:linear", "alarm"),
    ]


def change(**fields: Any) -> Change:
    """A breaker that opened long ago."""
    plain: dict[str, Any] = {
        "time": moment(9e5),
        "model": "linear",
        "segment": None,
        "from_state": "champion",
        "to_state": "withheld",
        "cause": "safeguard",
        "who": "riverrun",
        "why": "worse than the baseline",
        "command_id": None,
        "event_time": None,
        "partitions": (0,),
        "evidence": None,
    }
    return Change(**plain | fields)


async def test_a_safeguard_that_acts(tmp_path: Path) -> None:
    """An open breaker is told until it closes, in each partition; a withheld value for a while."""
    found = await scene(tmp_path)
    tripped, elsewhere = change(), change(partitions=(1,))
    closed = change(time=moment(9), from_state="withheld", to_state="champion")
    told = list(signs.safeguard(replace(found, lifecycle=(tripped, elsewhere))))
    assert [each.cause for each in told] == ["withheld in partition 0, 1: worse than the baseline"]
    told = list(signs.safeguard(replace(found, lifecycle=(tripped, elsewhere, closed))))
    assert [each.cause for each in told] == ["withheld in partition 1: worse than the baseline"]
    once = change(from_state=None)
    assert seen(signs.safeguard(replace(found, lifecycle=(once,)))) == []
    lately = change(from_state=None, time=moment(60))
    assert seen(signs.safeguard(replace(found, lifecycle=(lately,)))) == [("linear", True)]


async def test_a_partition_without_a_worker_or_not_live(tmp_path: Path) -> None:
    """Told by its number; not before a worker ever began."""
    gone = await scene(tmp_path, told=[])
    assert seen(signs.gone(gone)) == [("partition 0", True)]
    never = replace(gone, overview=replace(gone.overview, definition=None))
    assert seen(signs.gone(never)) == []
    stuck = await scene(tmp_path, told=[worker(state="waiting", error="no broker")])
    (told,) = signs.stuck(stuck)
    assert told.cause == "waiting at w: no broker"


async def test_a_restart_is_kept_once_however_often_it_is_looked_at(tmp_path: Path) -> None:
    """A partition that had seen nothing began for the first time: that is no restart."""
    told = [worker(recovered_at=NOW - 60, recovered_to=NOW - 90, recovery_s=1.5)]
    shelves = MemoryShelves()
    for look in (told, told, [worker(recovered_at=NOW, recovered_to=None, recovery_s=0.1)]):
        shelves.put(restarted(look))
    (found,) = await changes.restarts(shelves)
    assert (found.partition, found.worker, found.event_time, found.seconds) == (
        0,
        "w",
        NOW - 90,
        1.5,
    )
