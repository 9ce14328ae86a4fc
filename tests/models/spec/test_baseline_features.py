"""A baseline may read the features, the same in a partition, a backtest and offline."""

from __future__ import annotations

from typing import Any

import orjson

from models.features.window_declarations import over_outcomes
from models.replay.backtest import Backtest
from models.replay.offline_predictor import OfflinePredictor
from tests.support.one_partition import Partition, delivery, order, use_case

BEFORE = {"before": over_outcomes(by="shop").latest(lambda _e, o, _x: o.took, empty=6.0)}


def last_value(**changes: Any) -> Any:
    """A use case whose baseline is the last known value, which models do not see."""
    plain = {
        "features": {**use_case().features, **BEFORE},
        "internal_features": ("before",),
        "baseline": lambda _event, features: features["before"],
    }
    return use_case(**(plain | changes))


def served(outputs: list[tuple[str, Any]]) -> list[float]:
    """The baseline's values in the order of their predictions."""
    return [value["value"] for kind, value in outputs if kind == "predictions"]


def test_the_last_known_value_is_the_baseline_live_in_a_backtest_and_offline():
    """It is what was known at the event's time; the outcome that is told later changes nothing."""
    rows = [
        ("event", order("e0", 0)),
        ("outcome", delivery("e0", 50, took=9.0)),
        ("event", order("e1", 60)),
        ("event", order("e2", 70)),
        ("outcome", delivery("e1", 80, took=2.0)),
        ("event", order("e3", 90)),
    ]
    case = last_value(warmup=100)
    partition, backtest = Partition(case), Backtest(case, partitions=1, definition="d1")
    live, offline = [], []
    for kind, fields in rows:
        if kind == "event":
            record = partition.read(0, fields).record
            partition.offsets[0] -= 1
            offline.append(OfflinePredictor(partition.task).say(record)["value"])
        outputs = partition.give(0 if kind == "event" else 1, fields)
        live += [(out.kind, out.value) for out in outputs]
    tried = [
        (output.kind, orjson.loads(output.value))
        for kind, fields in rows
        for output in backtest.feed(kind, fields)
    ]
    assert served(live) == [6.0, 9.0, 9.0, 2.0] == served(tried) == offline


def test_models_learn_the_correction_to_such_a_baseline():
    """The example holds the baseline of the event's time, also after the window has moved on."""
    partition = Partition(last_value(target="label - baseline"))
    partition.event("e0", 0)
    partition.outcome("e0", 50, took=9.0)
    partition.event("e1", 60)
    partition.outcome("e1", 80, took=2.0)
    assert [row["baseline"] for row in partition.of("examples")] == [6.0, 9.0]


def test_a_baseline_that_fails_on_its_features_refuses_the_event():
    """The dead letter says that it was the baseline, and nothing has changed."""
    partition = Partition(last_value(baseline=lambda _event, features: features["nothing"]))
    partition.event("e0", 0)
    (letter,) = partition.of("dead-letter")
    assert "the baseline failed on this event: KeyError" in letter["error"]
