from __future__ import annotations

import json
import random
from typing import Any

from schemas.unreadable_records import Unreadable
from streams.config.use_case_loader import load
from streams.monitor.store import (
    aggregation,
    event_queries,
    model_quality_queries,
    queries,
    view_models,
)
from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import (
    GROUP_WINDOWS_MAX,
    ROWS_MAX,
    WINDOWS_MAX,
    Row,
    newest_names,
    rows_of,
)
from streams.monitor.store.table_store import MemoryStore
from tests.support.loop import SOURCE
from tests.support.memory import Record


def metric(partition: int, window: str, model: str, n: int, **more: Any) -> dict[str, Any]:
    """A metric record of a regression, with an error of 2 for `served` and 3 for others."""
    error = 2.0 if model == "served" else 3.0
    sums = {"n": float(n), "abs": error * n, "sq": error * error * n, "bias": 0.5 * n}
    if model == "served":
        sums |= {"intervals": float(n), "covered": 0.9 * n, "width": 4.0 * n}
    return {
        "partition": partition,
        "window_start": window,
        "window_s": 86_400.0,
        "segment": None,
        "slice": None,
        "model": model,
        "predictions": 2 * n,
        "outcomes": n,
        "sums": sums,
        "kpi_sum": error * n,
        "kpi_n": n,
        "guarded": 0,
        "expired": 0,
        "late": 0,
        "definition": "d",
        "step": n,
        **more,
    }


def rows(kind: str, records: list[dict[str, Any]]) -> list[Row]:
    """What records put, at offsets and times of their order."""
    return [
        row
        for n, record in enumerate(records)
        for row in rows_of(kind, at(kind, record, n), Unreadable())
    ]


REST: dict[str, dict[str, Any]] = {
    "metrics": {"use_case": "u", "maturity": 0.5, "metric": "mae", "value": 1.0, "kpi_unit": "EUR"},
    "evidence": {
        "use_case": "u",
        "settled_before": "2024-06-01T00:00:00Z",
        "paired_n": 0,
        "paired": {},
        "sums": {},
        "arms": {},
        "withheld": {},
        "champion": "linear",
        "champion_since": None,
        "experiment_since": None,
        "began": {},
        "definition": "d",
        "step": 1,
    },
    "definitions": {"files": [], "use_case": "u", "source": "", "runtime": "", "lock": ""},
    "alerts": {"use_case": "u"},
    "dead-letter": {
        "partition": 0,
        "timestamp_ms": 0,
        "key_base64": None,
        "value_base64": None,
        "headers": [],
        "step": 1,
    },
}
"""What these tests do not look at."""


def at(kind: str, record: dict[str, Any], n: int) -> Record:
    """As it is on its topic."""
    value = json.dumps(REST[kind] | record).encode()
    return Record(kind, record.get("partition", 0), n, value, timestamp=n)


def board(tmp_path: Any, store: MemoryStore, count: int = 2) -> Board:
    """A board of the small use case."""
    file = tmp_path / "parcels.py"
    file.write_text(SOURCE)
    return Board(load(str(file)).use_case, count, store)


DAYS = [f"2024-05-{day:02d}T00:00:00+00:00" for day in range(1, 11)]


def told() -> list[dict[str, Any]]:
    """Ten days on two partitions, of which the second has three times as many."""
    return [
        metric(partition, day, model, n)
        for partition, n in ((0, 10), (1, 30))
        for day in DAYS
        for model in ("served", "baseline", "linear")
    ]


async def test_partitions_are_added_up_as_counts_and_sums(tmp_path: Any) -> None:
    """Values come from the sums of all partitions, weighed by what each has; so does the KPI."""
    records = told()
    records[0]["sums"]["abs"] = 100.0  # day one, partition 0: an error of 10 over 10 labels
    store = MemoryStore()
    store.put(rows("metrics", records))
    quality = await queries.quality(board(tmp_path, store))
    assert [point.start for point in quality.points] == DAYS
    served = quality.points[0].scores["served"]
    assert (served.predictions, served.outcomes, served.n) == (80, 40, 40)
    assert served.value == (100.0 + 60.0) / 40
    assert served.kpi == 2.0
    assert served.coverage == 0.9
    assert served.maturity == 0.5
    assert quality.total["served"].n == 400
    since = await queries.quality(board(tmp_path, store), since="2024-05-09", until=DAYS[9])
    assert [point.start for point in since.points] == [DAYS[8]]


async def test_a_record_taken_again_or_in_any_number_of_pieces_changes_nothing(
    tmp_path: Any,
) -> None:
    """Rows are put under their keys: repetitions, and stopping anywhere between, give the same."""
    once, often = MemoryStore(), MemoryStore()
    metric_rows = rows("metrics", told())
    once.put(metric_rows)
    draw = random.Random(3)
    at = 0
    while at < len(metric_rows):
        back = max(0, at - draw.randrange(20))
        step = draw.randrange(1, 30)
        often.put(metric_rows[back : at + step])
        at += step
    assert await queries.quality(board(tmp_path, once)) == await queries.quality(
        board(tmp_path, often)
    )


async def test_what_counts_is_bounded_and_does_not_depend_on_tidying() -> None:
    """The newest windows of each table count, however many rows still lie there."""
    store = MemoryStore()
    store.put(
        Row(f"metrics:0:{group}", f"{n:05d}|{model}", b"{}")
        for n in range(1_000)
        for model in ("served", "baseline")
        for group in ("whole", "segment:UA")
    )
    whole, segment = await store.tables(["metrics:0:whole", "metrics:0:segment:UA"])
    assert len(whole) == 2 * WINDOWS_MAX
    assert min(whole) == f"{1_000 - WINDOWS_MAX:05d}|baseline"
    assert len(segment) == 2 * GROUP_WINDOWS_MAX
    assert len(newest_names((str(n) for n in range(10_000)), ROWS_MAX)) == ROWS_MAX


async def test_segments_come_with_their_gap_the_worst_first(tmp_path: Any) -> None:
    """The gap is to the use case as a whole, in the metric's unit, above zero: worse."""
    store = MemoryStore()
    records = told()
    for segment, error in (("good", 1.0), ("bad", 6.0)):
        record = metric(0, DAYS[9], "served", 10, segment=segment)
        record["sums"]["abs"] = error * 10
        records.append(record)
    store.put(rows("metrics", records))
    segments = await queries.segments(board(tmp_path, store))
    assert [(group.name, group.gap) for group in segments] == [("bad", 4.0), ("good", -1.0)]


async def test_settled_blocks_are_added_up(tmp_path: Any) -> None:
    """KPI sums of all partitions; with less cost the gain is above zero."""
    records = [
        {
            "partition": partition,
            "block_start": DAYS[0],
            "block_s": 86_400.0,
            "segment": None,
            "slice": None,
            "predictions": 12,
            "missing": 2,
            "kpi_n": 10,
            "kpi": {"served": 20.0, "baseline": 30.0},
        }
        for partition in (0, 1)
    ]
    store = MemoryStore()
    store.put(rows("evidence", records))
    (block,) = await queries.closed_blocks(board(tmp_path, store))
    assert (block.predictions, block.missing, block.kpi_n, block.gain) == (24, 4, 20, 20.0)


async def test_calibration_adds_bins_up_and_importance_weighs_partitions(tmp_path: Any) -> None:
    """Bins of all windows and partitions; a partition with three times the labels counts so."""
    records = told()
    for record in records:
        if record["model"] == "served":
            record["reliability"] = [[10.0, 1.0, 2.0], [0.0, 0.0, 0.0], [10.0, 9.0, 8.0]]
        if record["model"] == "linear":
            record["importance"] = {"weight": float(record["partition"]), "miles": 0.5}
    store = MemoryStore()
    store.put(rows("metrics", records))
    bins = await model_quality_queries.calibration(board(tmp_path, store))
    assert [(bin.n, bin.predicted, bin.observed) for bin in bins] == [
        (200, 0.1, 0.2),
        (200, 0.9, 0.8),
    ]
    newest = (await model_quality_queries.importance(board(tmp_path, store)))[-1]
    assert newest.start == DAYS[-1]
    assert newest.features == {"weight": 0.75, "miles": 0.5}


async def test_an_overview_says_what_it_knows_and_no_more(tmp_path: Any) -> None:
    """Without a worker the state is `stopped` and speed, lag and freshness are not known."""
    store = MemoryStore()
    store.put(rows("metrics", told()))
    overview = await queries.overview(board(tmp_path, store))
    assert overview.state == "stopped"
    assert (overview.events_per_s, overview.lag, overview.freshness_s) == (None, None, None)
    assert overview.kpi_gain == 1.0
    assert overview.windows == view_models.RECENT


async def test_dead_letters_are_grouped_by_cause_not_by_their_words() -> None:
    """Quoted values and numbers do not make two causes of one."""
    store = MemoryStore()
    letter = {
        "topic": "events",
        "offset": 1,
        "stage": "event",
        "error_class": "malformed",
        "value_bytes": 9,
    }
    texts = [f"field 'f{n}' is {n}.5, not a number" for n in range(5)] + ["no key"]
    store.put(rows("dead-letter", [letter | {"error": text} for text in texts]))
    letters = await event_queries.dead_letters(store, 1)
    assert [group.count for group in letters] == [5, 1]
    assert letters[0].example == texts[4]


async def test_an_alert_is_its_newest_record() -> None:
    """Closing replaces opening; the open ones come first, the gravest at their head."""
    store = MemoryStore()

    def alert(name: str, severity: str, state: str) -> dict[str, Any]:
        return {
            "alert_id": name,
            "rule": "lag",
            "subject": "p0",
            "state": state,
            "severity": severity,
            "cause": "c",
            "command": "riverrun status x",
            "opened_at": "2024-05-01T00:00:00Z",
            "closed_at": None,
        }

    told = [alert("a", "warning", "open"), alert("b", "alarm", "open"), alert("c", "alarm", "open")]
    store.put(rows("alerts", [*told, alert("c", "alarm", "closed")]))
    alerts = await event_queries.alerts(store)
    assert [(row.alert_id, row.state) for row in alerts] == [
        ("b", "open"),
        ("a", "open"),
        ("c", "closed"),
    ]


def test_the_interval_of_a_mean_error_narrows_with_its_root() -> None:
    """Four times the labels: half the interval."""

    def half(n: int) -> float:
        lower, upper = aggregation._interval("mae", n, {"abs": 2.0 * n, "sq": 5.0 * n})
        assert lower is not None
        assert upper is not None
        return (upper - lower) / 2

    assert abs(half(401) / half(101) - 0.5) < 1e-9
