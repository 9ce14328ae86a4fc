from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.monitor import conditions
from streams.monitor.alert_context import LIMITS, AlertContext
from streams.monitor.evaluator import read_alert_context, restart_rows, sample_rows
from streams.monitor.store import event_queries, worker_queries
from streams.monitor.store.monotonic_counts import CounterTotals
from streams.monitor.store.table_store import MemoryStore
from streams.monitor.store.view_models import (
    DeadLetterGroup,
    DriftRow,
    PartitionRow,
    Sample,
    StateChange,
)
from tests.streams.monitor.test_view_models import DAYS, board, metric, rows

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


async def context(
    tmp_path: Path, error: float = 2.0, n: int = 100, told: list[dict[str, Any]] | None = None
) -> AlertContext:
    """Ten windows in which served errs by `error` and the baseline by 3, and a worker of it."""
    store = MemoryStore([worker()] if told is None else told)
    records = [metric(0, day, model, n) for day in DAYS for model in ("served", "baseline")]
    for record in records:
        if record["model"] == "served":
            record |= {"kpi_sum": error * n}
            record["sums"]["abs"] = error * n
    store.put(rows("metrics", records))
    store.put(rows("evidence", [block(day, error * n, 3.0 * n, n) for day in DAYS]))
    definition = {"definition": "d", "file": "f", "python": "3", "river": "0", "riverrun": "0"}
    store.put(rows("definitions", [definition]))
    return await read_alert_context(board(tmp_path, store, 1), LIMITS, NOW)


def seen(conditions: Any) -> list[tuple[str, bool]]:
    """Subject and whether it opens."""
    return [(each.subject, each.opens) for each in conditions]


async def test_a_healthy_use_case_raises_nothing(tmp_path: Path) -> None:
    """No rule sees anything where all is well."""
    from streams.monitor.rules import rules

    alert_context = await context(tmp_path)
    assert [what for rule in rules(LIMITS) for what in rule.look(alert_context)] == []


@pytest.mark.parametrize(
    ("error", "due"),
    [(2.0, []), (3.0, []), (3.03, [("kpi", False)]), (3.3, [("kpi", True)])],
)
async def test_a_kpi_below_the_baseline(
    tmp_path: Path, error: float, due: list[tuple[str, bool]]
) -> None:
    """Opens beyond the margin, and stays open until there is no loss at all."""
    assert seen(conditions.kpi(await context(tmp_path, error))) == due


async def test_a_kpi_is_judged_where_all_outcomes_are_in(tmp_path: Path) -> None:
    """The newest windows, of which only the quick outcomes have come, alarm nobody."""
    alert_context = await context(tmp_path, 9.0)
    assert seen(conditions.kpi(alert_context)) == [("kpi", True)]
    assert seen(conditions.kpi(replace(alert_context, closed_blocks=()))) == []
    better = [replace(each, served=0.0, gain=each.baseline) for each in alert_context.closed_blocks]
    assert seen(conditions.kpi(replace(alert_context, closed_blocks=tuple(better)))) == []


async def test_a_kpi_over_few_outcomes_is_not_judged(tmp_path: Path) -> None:
    """Chance alone would do it."""
    assert seen(conditions.kpi(await context(tmp_path, 9.0, n=10))) == []


async def test_a_missed_target(tmp_path: Path) -> None:
    """Within the margin it opens nothing; freshness has a rule of its own."""
    alert_context = await context(tmp_path)
    use_case = replace(alert_context.use_case, targets={"mae": 1.99, "kpi": 1.0, "freshness": 1.0})
    store = MemoryStore([worker()])
    store.put(rows("metrics", [metric(0, day, "served", 100) for day in DAYS]))
    judged = board(tmp_path, store, 1)
    alert_context = await read_alert_context(replace(judged, use_case=use_case), LIMITS, NOW)
    assert seen(conditions.target(alert_context)) == [("mae", False), ("kpi", True)]
    assert seen(conditions.freshness(alert_context)) == [("freshness", True)]


@pytest.mark.parametrize(("days", "opens"), [(6, False), (7, True)])
async def test_a_use_case_that_has_just_begun_is_not_alarmed_about(
    tmp_path: Path, days: int, opens: bool
) -> None:
    """Models warm up in the first windows: a target is judged once there are seven."""
    store = MemoryStore([worker()])
    store.put(rows("metrics", [metric(0, day, "served", 100) for day in DAYS[:days]]))
    judged = board(tmp_path, store, 1)
    use_case = replace(judged.use_case, targets={"kpi": 1.0})
    alert_context = await read_alert_context(replace(judged, use_case=use_case), LIMITS, NOW)
    (told,) = conditions.target(alert_context)
    assert (told.subject, told.opens) == ("kpi", opens)
    assert told.cause == "the kpi is 2 EUR an event, over its target of 1 EUR an event"


async def test_outcomes_that_stop(tmp_path: Path) -> None:
    """Events came, the newest outcome is old: told. Neither came: not told."""
    alert_context = await context(tmp_path, told=[worker(learnt_at=NOW - 400)])
    alert_context = replace(alert_context, limits=LIMITS | {"labels_s": 300.0})
    plain = Sample(moment(250), 1.0, 0, 400.0, None, 1_000, 10, 10, 0, 0, 1)
    later = replace(plain, time=moment(5), events=1_500)
    assert seen(conditions.labels(replace(alert_context, samples=(plain, later)))) == [
        ("outcomes", True)
    ]
    still = replace(later, events=1_000)
    assert seen(conditions.labels(replace(alert_context, samples=(plain, still)))) == []
    fresh = await context(tmp_path)
    fresh = replace(fresh, limits=alert_context.limits, samples=(plain, later))
    assert seen(conditions.labels(fresh)) == []


async def test_outcomes_that_stop_by_a_partitions_own_curve(tmp_path: Path) -> None:
    """The newest word of a partition counts: an alarm, until it says that they come again."""
    alert_context = await context(tmp_path)
    stopped = DriftRow(
        moment(60), 0, "labels: arrivals", "labels", "90 due", "0 came", moment(99), "alarm", {}
    )
    again = replace(stopped, time=moment(10), severity="notice")
    other = replace(stopped, partition=3)
    assert seen(conditions.labels(replace(alert_context, drift=(stopped,)))) == [
        ("partition 0", True)
    ]
    assert seen(conditions.labels(replace(alert_context, drift=(stopped, other, again)))) == [
        ("partition 3", True)
    ]
    assert seen(conditions.drift(replace(alert_context, drift=(stopped,)))) == []


@pytest.mark.parametrize(("lag", "due"), [(9_000, []), (15_000, [False]), (30_000, [True])])
async def test_lag(tmp_path: Path, lag: int, due: list[bool]) -> None:
    """Opens at the limit and closes at half of it."""
    alert_context = await context(tmp_path, told=[worker(lag=lag)])
    assert [opens for _, opens in seen(conditions.lag(alert_context))] == due


@pytest.mark.parametrize(("late", "due"), [(40, []), (400, [True]), (60, [False]), (49, [])])
async def test_outcomes_after_their_horizon(tmp_path: Path, late: int, due: list[bool]) -> None:
    """A share of the outcomes and a least number; it names what learns history in its order."""
    first = Sample(moment(3_000), 1.0, 0, 1.0, None, 0, 0, 0, 0, 0, 1)
    last = replace(first, time=moment(1), events=9_000, outcomes=2_000, late=late)
    told = list(conditions.late(replace(await context(tmp_path), samples=(first, last))))
    assert [each.opens for each in told] == due
    assert all("riverrun backfill" in each.cause for each in told)


async def test_late_outcomes_are_counted_from_the_first_look_on(tmp_path: Path) -> None:
    """What a worker counted before a monitor looked came at a time that nobody knows."""
    looks = [[told | {"outcomes": 900, "late": 800}] for told in (counts(900, 0), counts(990, 0))]
    measured = looked(looks)
    assert [each.late for each in measured] == [0, 0]
    looks.append([counts(1_000, 0) | {"outcomes": 1_000, "late": 900}])
    (told,) = conditions.late(replace(await context(tmp_path), samples=looked(looks)))
    assert told.cause.startswith("100 of 100 outcomes (100.0%)")


@pytest.mark.parametrize(("count", "due"), [(5, []), (6_000, [True]), (60, [False]), (30, [])])
async def test_dead_letters(tmp_path: Path, count: int, due: list[bool]) -> None:
    """A share of what came, and a least number."""
    alert_context = await context(tmp_path)
    first = Sample(moment(590), 1.0, 0, 1.0, None, 0, 0, 0, 0, 0, 1)
    last = replace(first, time=moment(1), events=9_000, outcomes=1_000, refused=count)
    group = DeadLetterGroup(
        "malformed", "event", "t", "c", 3, moment(9), moment(3), "no key", ("0/1",)
    )
    alert_context = replace(alert_context, samples=(first, last), letters=(group,))
    told = list(conditions.dead_letters(alert_context))
    assert [each.opens for each in told] == due
    assert all("no key" in each.cause for each in told)


def looked(looks: list[list[dict[str, Any]]]) -> tuple[Sample, ...]:
    """What a monitor measures, five seconds apart, of workers that tell this at each look."""
    table: dict[str, bytes] = {}
    levels = []
    for number, partitions in enumerate(looks):
        told = tuple(
            PartitionRow(n, "live", "w", **({"outcomes": 0} | p))
            for n, p in enumerate(partitions)
            if p
        )
        at = NOW - 5 * (len(looks) - number)
        for row in sample_rows(told, CounterTotals.of(table), at):
            if row.table == "counted":
                table[row.field] = row.value
            else:
                levels.append(Sample(**orjson.loads(row.value)))
    return tuple(levels)


def counts(events: int, refused: int) -> dict[str, Any]:
    """What one partition counted."""
    return {"events": events, "refused": refused}


async def test_a_first_look_at_a_running_stream_says_nothing_of_what_came(tmp_path: Path) -> None:
    """300 of 200,000 were refused, at times that nobody knows."""
    alert_context = await context(tmp_path)
    for looks in ([[counts(200_000, 300)]], [[counts(200_000, 300)], [counts(200_400, 300)]]):
        assert list(conditions.dead_letters(replace(alert_context, samples=looked(looks)))) == []
    late = looked([[counts(9, 0)], [counts(10, 0), counts(200_000, 300)]])
    assert list(conditions.dead_letters(replace(alert_context, samples=late))) == []


@pytest.mark.parametrize(
    "looks",
    [
        # A partition is told by nobody, then by another worker.
        [[counts(1_000, 7), counts(1_000, 9)], [{}, counts(1_010, 9)], [counts(1_010, 7), {}],
         [counts(1_020, 7), counts(1_030, 9)]],
        # Its state starts over.
        [[counts(1_000, 70)], [counts(20, 0)], [counts(500, 1)]],
    ],
)  # fmt: skip
async def test_workers_that_restart_are_no_dead_letters(
    tmp_path: Path, looks: list[list[dict[str, Any]]]
) -> None:
    """What is counted never falls, so no share is above all, below none, or of another time."""
    alert_context = await context(tmp_path)
    measured = looked(looks)
    for before, after in itertools.pairwise(measured):
        assert before.events <= after.events
        assert before.refused <= after.refused
    assert list(conditions.dead_letters(replace(alert_context, samples=measured))) == []


async def test_bad_records_are_told_across_a_restart(tmp_path: Path) -> None:
    """What each partition refused counts, whoever worked on it."""
    alert_context = await context(tmp_path)
    looks = [[counts(1_000, 0)], [counts(1_010, 40)], [{}], [counts(5, 0)], [counts(25, 10)]]
    (told,) = conditions.dead_letters(replace(alert_context, samples=looked(looks)))
    assert "50 of 85 records" in told.cause


async def test_drift_is_told_for_a_while(tmp_path: Path) -> None:
    """By its subject, with its severity; a notice is none."""
    alert_context = await context(tmp_path)
    plain = DriftRow(moment(60), 0, "ranks", "weight", "m: 1", "m: 2", moment(99), "warning", {})
    old = replace(plain, subject="old", time=moment(LIMITS["drift_s"] + 1))
    error = replace(plain, subject="error:linear", severity="alarm")
    notice = replace(plain, subject="x", severity="notice")
    told = list(conditions.drift(replace(alert_context, drift=(old, plain, error, notice))))
    assert [(each.subject, each.severity) for each in told] == [
        ("weight", "warning"),
        ("error:linear", "alarm"),
    ]


def change(**fields: Any) -> StateChange:
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
    return StateChange(**plain | fields)


async def test_a_safeguard_that_acts(tmp_path: Path) -> None:
    """An open breaker is told until it closes, in each partition."""
    alert_context = await context(tmp_path)
    tripped, elsewhere = change(), change(partitions=(1,))
    closed = change(time=moment(9), from_state="withheld", to_state="champion")
    told = list(conditions.safeguard(replace(alert_context, lifecycle=(tripped, elsewhere))))
    assert [each.cause for each in told] == ["withheld in partition 0, 1: worse than the baseline"]
    told = list(
        conditions.safeguard(replace(alert_context, lifecycle=(tripped, elsewhere, closed)))
    )
    assert [each.cause for each in told] == ["withheld in partition 1: worse than the baseline"]


@pytest.mark.parametrize(
    ("guarded", "due"), [(1, []), (9, []), (10, []), (14, [False]), (20, [False]), (21, [True])]
)
async def test_values_that_are_withheld_too_often(
    tmp_path: Path, guarded: int, due: list[bool]
) -> None:
    """One that ran away is what limits are for; a share of them is told, however long it lasts."""
    alert_context = await context(tmp_path, n=200)
    score = replace(
        alert_context.scores["served"], model="linear", predictions=2_000, guarded=guarded
    )
    once = change(from_state=None, why="left its limits")
    alert_context = replace(alert_context, lifecycle=(once,), scores={"linear": score})
    told = list(conditions.safeguard(alert_context))
    assert [each.opens for each in told] == due
    assert all(f"{guarded} of 2,000 values were withheld" in each.cause for each in told)
    # Before its warm-up is over a model may say nothing, and the lifecycle does not tell of it.
    assert seen(conditions.safeguard(replace(alert_context, lifecycle=()))) == []


async def test_a_partition_without_a_worker_or_not_live(tmp_path: Path) -> None:
    """Told by its number; not before a worker ever began."""
    without = await context(tmp_path, told=[])
    assert seen(conditions.unowned(without)) == [("partition 0", True)]
    never = replace(without, overview=replace(without.overview, definition=None))
    assert seen(conditions.unowned(never)) == []
    stuck = await context(tmp_path, told=[worker(state="waiting", error="no broker")])
    (told,) = conditions.stuck(stuck)
    assert told.cause == "waiting at w: no broker"


RUNNER = {"state": "live", "lag": 0, "counts": {"learnt": 9}, "snapshot": {}, "error": None}
HALTED = RUNNER | {"state": "halted", "error": "stopped at examples offset 3"}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({"runner": RUNNER, "error": None}, None),
        ({"runner": RUNNER, "error": None, "stalled_s": 4.0}, None),
        (
            {"runner": RUNNER, "error": None, "stalled_s": 40.0},
            "examples wait, and it has not moved for 40 seconds",
        ),
        ({"runner": HALTED, "error": None}, "halted at w: stopped at examples offset 3"),
        ({"runner": None, "error": "OSError: disk"}, "stopped at w: OSError: disk"),
        ({"runner": RUNNER, "error": "OSError: disk"}, "live at w: OSError: disk"),
        (None, None),  # its worker's figures are not known
    ],
)
async def test_a_learner_that_does_not_learn(
    tmp_path: Path, status: dict[str, Any] | None, cause: str | None
) -> None:
    """Told with how old the versions are that partitions answer by."""
    telling = [worker(model_staleness_s=75.0) | {"learner": status}]
    row = await worker_queries.learner(MemoryStore(telling), shared=True)
    learnerless = replace(await context(tmp_path, told=telling), learner=row)
    told = [observation.cause for observation in conditions.learner(learnerless)]
    so = ". Partitions answer by the versions they have, which are up to 75 seconds old"
    assert told == ([] if cause is None else [cause + so])


async def test_a_learner_without_a_worker(tmp_path: Path) -> None:
    """Nobody owns partition 0, and another worker sees examples wait."""
    other = worker(partition=1) | {"learner": {"runner": None, "error": None, "stalled_s": 31.0}}
    row = await worker_queries.learner(MemoryStore([other]), shared=True)
    assert row is not None
    assert (row.state, row.stalled_s) == ("unowned", 31.0)
    assert await worker_queries.learner(MemoryStore([other]), shared=False) is None


async def test_a_restart_is_kept_once_however_often_it_is_looked_at(tmp_path: Path) -> None:
    """A partition that had seen nothing began for the first time: that is no restart."""
    told = [worker(recovered_at=NOW - 60, recovered_to=NOW - 90, recovery_s=1.5)]
    store = MemoryStore()
    for look in (told, told, [worker(recovered_at=NOW, recovered_to=None, recovery_s=0.1)]):
        store.put(restart_rows(look))
    (restart,) = await event_queries.restarts(store)
    assert (restart.partition, restart.worker, restart.event_time, restart.seconds) == (
        0,
        "w",
        NOW - 90,
        1.5,
    )
