"""Metric records are what predictions and examples say, in one partition and in many."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.inputs.decoder import COMMANDS
from schemas.partitioner import partition_of
from tests.support.one_partition import START, at
from tests.support.task_runs import CALM, CASES, FEW, Inputs, Run, inputs


@given(given_=inputs(shops="abcdefg"), partitions=st.sampled_from((2, 3, 5)))
@FEW
def test_metric_records_of_partitions_add_up(given_: Inputs, partitions: int):
    """Counts and the baseline's sums of all partitions are those of one partition with them all."""
    one = Run(CALM)
    one.give([record for record in given_.order if record.index != COMMANDS])
    several = [Run(CALM, partition=p, partitions=partitions) for p in range(partitions)]
    for record in given_.order:
        if record.index != COMMANDS:
            several[partition_of(record.key, partitions)].give([record])
    added = _added(row for task in several for row in _last(task).values())
    assert added == pytest.approx(_added(_last(one).values()))


def _last(task: Run) -> dict[Any, dict[str, Any]]:
    """The newest metric record of each key, as a compacted topic keeps it."""
    task.outputs += task.task.report()
    keyed = {out.key: orjson.loads(out.value) for out in task.outputs if out.kind == "metrics"}
    return {key: row for key, row in keyed.items() if row["model"] in ("baseline", "served")}


def _added(rows: Any) -> dict[Any, float]:
    total: dict[Any, float] = defaultdict(float)
    for row in rows:
        cell = (row["window_start"], row["segment"], row["slice"])
        if row["model"] == "served":
            for name in ("predictions", "outcomes", "expired", "late"):
                total[*cell, name] += row[name]
        else:
            for name, value in row["sums"].items():
                total[*cell, name] += value
            total[*cell, "kpi"] += row["kpi_sum"]
    return {cell: value for cell, value in total.items() if value}


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_metric_records_are_what_predictions_and_examples_say(case: str, given_: Inputs):
    """Recounted from the other topics: predictions, outcomes, maturity, KPI, the metric's value."""
    task = Run(CASES[case])
    task.give(given_.order)
    rows = [row for row in _last(task).values() if row["model"] == "served"]
    whole = {
        row["window_start"]: row for row in rows if (row["segment"], row["slice"]) == (None,) * 2
    }
    predicted = Counter(_window(row) for row in task.of("predictions"))
    learnt = defaultdict(list)
    for row in task.of("examples"):
        if row["learnt"]:
            learnt[_window(row)].append(row)
    assert {start: row["predictions"] for start, row in whole.items()} == predicted
    for start, row in whole.items():
        examples = learnt[start]
        assert row["outcomes"] == row["sums"]["n"] == len(examples)
        assert row["maturity"] == len(examples) / predicted[start]
        assert row["kpi_sum"] == pytest.approx(sum(e["kpi"] or 0.0 for e in examples))
        if case in ("calm", "hasty") and examples:
            errors = [abs(e["prediction"] - e["label"]) for e in examples]
            assert row["value"] == pytest.approx(sum(errors) / len(errors))
        if case == "binary" and examples:
            pairs = [(e["prediction"], e["label"]) for e in examples]
            hits = sum(prediction and label for prediction, label in pairs)
            wrong = sum(prediction != label for prediction, label in pairs)
            f1 = 2 * hits / (2 * hits + wrong) if hits + wrong else None
            assert row["value"] == pytest.approx(f1)
    segments = Counter((_window(r), r["segment"]) for r in task.of("predictions"))
    told = {(r["window_start"], r["segment"]): r["predictions"] for r in rows if r["segment"]}
    assert told == segments


def _window(row: dict[str, Any]) -> str:
    seconds = (datetime.fromisoformat(row["event_time"]) - START).total_seconds()
    return at(seconds // 1_800 * 1_800).replace("Z", "+00:00")
