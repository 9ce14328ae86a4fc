"""A binary answer is yes above the declared threshold, or above the one that is best by the KPI."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from river import dummy, linear_model

from models.replay.backtest import Backtest
from models.replay.offline_predictor import OfflinePredictor
from models.spec.decision_threshold import DecisionThreshold
from models.spec.use_case import Kpi, UseCase
from models.validation import mistakes
from schemas.events import Event, Outcome
from tests.support.one_partition import Partition, delivery, order, use_case
from tests.support.use_cases.declared_shop import changed, declared


class Payment(Event):
    """Somebody pays."""

    shop: str
    amount: float


class Verdict(Outcome):
    """It was a fraud or not."""

    fraud: bool


def cost(event: Payment, outcome: Verdict, prediction: bool) -> float:
    """EUR: a fraud let through costs its amount, a good payment blocked costs 10."""
    if outcome.fraud:
        return 0.0 if prediction else event.amount
    return 10.0 if prediction else 0.0


def payments(**changes: Any) -> UseCase:
    """A binary use case whose baseline says 0.3."""
    plain: dict[str, Any] = {
        "event": Payment,
        "outcome": Verdict,
        "kind": "binary",
        "label": lambda _e, o: o.fraud,
        "features": Payment.fields("amount"),
        "models": {"logistic": linear_model.LogisticRegression},
        "champion": "logistic",
        "baseline": lambda _e: 0.3,
        "metric": "accuracy",
        "limits": None,
        "kpi": Kpi(cost, unit="EUR", better="lower", range=(0, 1_000)),
        "segments": None,
        "slices": {},
        "warmup": 2,
    }
    return use_case(**(plain | changes))


def payment(event_id: str, second: float, amount: float) -> dict[str, Any]:
    """An event."""
    return order(event_id, second) | {"amount": amount}


ROWS = [
    ("event", payment("e0", 0, 100.0)),
    ("event", payment("e1", 1, 15.0)),
    ("outcome", delivery("e0", 50) | {"fraud": False}),
    ("outcome", delivery("e1", 51) | {"fraud": True}),
    ("event", payment("e2", 60, 100.0)),
    ("event", payment("e3", 61, 1.0)),
]


def values(case: UseCase) -> list[bool]:
    """What is served of each event of `ROWS`: live, in a backtest and offline alike."""
    partition, backtest = Partition(case), Backtest(case, partitions=1, definition="d1")
    live, tried, offline = [], [], []
    for kind, fields in ROWS:
        if kind == "event":
            record = partition.read(0, fields).record
            partition.offsets[0] -= 1
            offline.append(OfflinePredictor(partition.task).say(record)["value"])
        outputs = partition.give(0 if kind == "event" else 1, fields)
        live += [out.value["value"] for out in outputs if out.kind == "predictions"]
        tried += [
            orjson.loads(output.value)["value"]
            for output in backtest.feed(kind, fields)
            if output.kind == "predictions"
        ]
    assert partition.of("dead-letter") == []
    assert live == tried == offline
    return live


def test_the_baseline_answers_yes_above_the_declared_threshold():
    """0.3 is no at 0.5 and yes at 0.2."""
    assert values(payments())[:2] == [False, False]
    assert values(payments(threshold=0.2))[:2] == [True, True]


def test_a_model_that_says_the_share_of_frauds_decides_at_the_threshold():
    """One fraud in two is 0.5: yes at 0.4, no at 0.6."""
    prior = {"models": {"logistic": dummy.PriorClassifier}}
    assert values(payments(**prior, threshold=0.4))[2:] == [True, True]
    assert values(payments(**prior, threshold=0.6))[2:] == [False, False]


def test_the_kpi_tells_the_best_threshold_of_each_event():
    """A fraud of 100 is blocked above 10 / 110, of 15 above 10 / 25; the baseline says 0.3."""
    threshold = DecisionThreshold(payments(threshold="kpi"))
    events = [Payment.model_validate_json(orjson.dumps(payment("e", 0, a))) for a in (100.0, 15.0)]
    assert [threshold.of(event) for event in events] == [10 / 110, 10 / 25]
    assert values(payments(threshold="kpi"))[:2] == [True, False]


def test_a_kpi_that_is_better_when_higher_gives_the_same_threshold():
    """What is earned instead of lost: the sign is turned."""
    gain = Kpi(lambda e, o, p: -cost(e, o, p), unit="EUR", better="higher", range=(-1_000, 0))
    assert values(payments(threshold="kpi", kpi=gain)) == values(payments(threshold="kpi"))


def test_metrics_count_what_was_decided():
    """With everything blocked, no fraud is missed: no false negative, one false positive."""
    partition = Partition(payments(threshold=1e-12))
    for kind, fields in ROWS:
        partition.give(0 if kind == "event" else 1, fields)
    row = partition.task.metrics.total().scores["served"]
    assert dict(zip(partition.task.kind.sums, row[2:], strict=True)) | {"logloss": 0.0} == {
        "correct": 1.0,
        "logloss": 0.0,
        "tp": 1.0,
        "fp": 1.0,
        "fn": 0.0,
    }


def test_a_kpi_that_rewards_wrong_answers_has_no_threshold():
    """The event is refused, and the dead letter says that it is the threshold."""
    wrong = Kpi(lambda e, o, p: float(p == o.fraud), unit="EUR", better="lower", range=(0, 1))
    partition = Partition(payments(threshold="kpi", kpi=wrong))
    partition.give(0, payment("e0", 0, 1.0))
    (letter,) = partition.of("dead-letter")
    assert "the threshold failed on this event" in letter["error"]
    assert "no threshold is best" in letter["error"]


@pytest.mark.parametrize(("kind", "value"), [("binary", 0), ("binary", 1.0), ("regression", 0.5)])
def test_a_threshold_that_is_none_is_found(kind: str, value: float):
    """It is between 0 and 1, and of a yes or no."""
    if kind == "regression":
        source, line = changed(
            "    horizon=hours(24)", f"    threshold={value},\n    horizon=hours(24)"
        )
        mistake = [m for m in mistakes(declared(source), source) if "threshold" in m.reason]
        assert [m.line for m in mistake] == [line]
    else:
        mistake = [m for m in mistakes(payments(threshold=value)) if "threshold" in m.reason]
        assert '"kpi"' in mistake[0].hint
    assert len(mistake) == 1
