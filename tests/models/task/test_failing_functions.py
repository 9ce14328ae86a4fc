"""Functions of the author and models that meet data which they cannot take."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import field_validator
from river import linear_model

from models.features.window_declarations import over_events, over_outcomes
from models.spec.use_case import Kpi
from models.values.durations import minutes
from tests.support.one_partition import (
    FEATURES,
    RECORDS,
    Order,
    Partition,
    dump,
    kinds,
    letters,
    linear,
    started,
    use_case,
)

# Functions of the author that meet data which they cannot take.

NAN, INF = math.nan, math.inf
RAISED: tuple[Any, ...] = (ZeroDivisionError, SystemExit)
"""What they raise; the second by `exit()`, which must end no worker."""


@pytest.mark.parametrize(
    "value",
    [NAN, INF, [1], {"a": 1}, b"x", 1 + 2j, ..., 10**30, -(10**30), "\ud800"],
    ids=repr,
)
def test_a_feature_that_is_no_value_is_refused_by_name(value: Any):
    """Only what JSON and a model can take becomes a feature."""
    partition = Partition(use_case(features=FEATURES | {"mine": lambda _e: value}))
    before = dump(partition.task)
    (letter,) = letters(partition.event("1", 0))
    assert "'mine'" in letter["error"]
    before["told"] = dump(partition.task)["told"]
    assert dump(partition.task) == before


@pytest.mark.parametrize("error", RAISED)
def test_a_feature_that_raises_refuses_the_event(error: type[BaseException]):
    """Whatever it raises, the partition goes on."""

    def of(event: Any) -> Any:
        if event.items == 1:
            raise error
        return 1.0

    partition = Partition(use_case(features=FEATURES | {"mine": of}))
    (letter,) = letters(partition.event("1", 0))
    assert error.__name__ in letter["error"]
    assert kinds(partition.event("2", 0, items=3)) == ["features", "predictions"]


def test_a_feature_that_is_none_is_absent():
    """And the event is answered."""
    (features, _) = [out for out in Partition().event("1", 0) if out.kind != "lifecycle"]
    assert "colour" not in features.value["features"]


@pytest.mark.parametrize("over", [over_events, over_outcomes])
@pytest.mark.parametrize("value", [NAN, INF, "text", [1], 10**400, 1e200, *RAISED], ids=str)
def test_a_window_s_value_that_is_no_number_is_refused_by_name(over: Any, value: Any):
    """The window never holds it, so later events of that key are not spoilt."""

    def of(entity: Any, *_: Any) -> Any:
        if entity.colour != "bad":
            return 1.0
        if value in RAISED:
            raise value
        return value

    windows = {"mine": over(by="shop", last=60).mean(of, empty=0.0)}
    partition = Partition(use_case(features=windows))
    outputs = partition.event("1", 0, colour="bad") + partition.outcome("1", 5)
    (letter,) = [one for one in letters(outputs) if "mine" in one["error"]]
    assert letter["error_class"] == "malformed"
    assert kinds(partition.event("2", 6)) == ["features", "predictions"]
    assert kinds(partition.outcome("2", 7)) == ["examples"]


@pytest.mark.parametrize("part", ["label", "weight", "kpi"])
@pytest.mark.parametrize("value", [NAN, INF, "text", None, [1], 10**400, *RAISED], ids=str)
def test_a_label_weight_or_kpi_that_fails_refuses_the_outcome_and_changes_nothing(
    part: str, value: Any
):
    """The event goes on waiting: a corrected outcome is learnt."""

    def of(_event: Any, outcome: Any, *_: Any) -> Any:
        if outcome.took != 13.0:
            return outcome.took
        if value in RAISED:
            raise value
        return value

    bent = Kpi(of, unit="EUR", better="lower", range=(0, 9)) if part == "kpi" else of
    partition = started(**{part: bent})
    before = dump(partition.task)
    (letter,) = letters(partition.outcome("first", 70, 13.0))
    assert letter["error_class"] == "malformed"
    assert dump(partition.task) == before
    assert kinds(partition.outcome("first", 70, 12.0)) == ["examples"]


def test_a_negative_weight_is_refused():
    """A model would unlearn by it."""
    partition = Partition(use_case(weight=lambda _e, _o: -1.0))
    partition.event("1", 0)
    (letter,) = letters(partition.outcome("1", 5))
    assert "weight" in letter["error"]


@pytest.mark.parametrize("value", [NAN, INF, "text", None, *RAISED], ids=str)
def test_a_baseline_that_fails_refuses_the_event(value: Any):
    """There must always be an answer, so an event without a baseline gets none at all."""

    def baseline(_event: Any) -> Any:
        if value in RAISED:
            raise value
        return value

    (letter,) = letters(Partition(use_case(baseline=baseline)).event("1", 0))
    assert "baseline" in letter["error"]


@pytest.mark.parametrize("where", ["segments", "slices"])
def test_a_group_that_cannot_be_told_refuses_the_event(where: str):
    """A segment's or a slice's function may fail on data, too."""
    from models.spec.use_case import Segments

    bent: dict[str, Any] = {
        "segments": Segments(lambda e: 1 // (e.items - 1), limit=3),
        "slices": {"x": lambda e: 1 // (e.items - 1)},
    }
    partition = Partition(use_case(**{where: bent[where]}))
    (letter,) = letters(partition.event("1", 0))
    assert "segment or slice" in letter["error"]
    assert kinds(partition.event("2", 0, items=3)) == ["features", "predictions"]


class Fussy(Order):
    """An event whose author's validator raises what pydantic does not expect."""

    @field_validator("weight")
    @classmethod
    def _inverse(cls, weight: float) -> float:
        return 1 / weight


def test_a_validator_of_the_author_that_fails_refuses_the_event():
    """Whatever it raises: reading never does."""
    partition = Partition(use_case(event=Fussy))
    (letter,) = letters(partition.event("1", 0, weight=0.0))
    assert "ZeroDivisionError" in letter["error"]


# Models that answer nonsense.


class Odd:
    """A model that says one thing for ever, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_one(self, _x: Any) -> Any:
        """It, whatever is asked."""
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    predict_proba_one = predict_one

    def learn_one(self, _x: Any, _y: Any) -> None:
        """Nothing."""
        if isinstance(self.answer, BaseException):
            raise self.answer


@pytest.mark.parametrize(
    "answer",
    [NAN, INF, -1e9, 1e300, "text", None, [1], 2j, 10**400, ValueError("no"), SystemExit(0)],
    ids=str,
)
def test_no_nonsense_of_a_model_reaches_a_consumer(answer: Any):
    """The baseline answers and says so; the shadow is null or a number; the loop goes on."""
    partition = Partition(use_case(models={"odd": lambda: Odd(answer)}, champion="odd", warmup=0))
    prediction = partition.event("1", 0)[-1].value
    assert (prediction["value"], prediction["served_by"]) == (5.0, "baseline")
    assert "odd" in prediction["reason"]
    assert kinds(partition.outcome("1", 5)) == ["examples"]
    assert b"NaN" not in b"".join(out.raw.value for out in partition.outputs)


@pytest.mark.parametrize(
    "answer",
    [{"x": NAN}, {"x": 2.0}, {"x": -0.5, "y": 1.5}, {"x": None}, {"x": "p"}, {}, None, 3],
    ids=str,
)
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_no_nonsense_of_a_classifier_reaches_a_consumer(kind: str, answer: Any):
    """Probabilities that are none: the baseline answers."""
    labels = {"binary": (lambda _e, o: o.took > 5, False), "multiclass": (lambda _e, _o: "x", "y")}
    label, baseline = labels[kind]
    partition = Partition(
        use_case(
            models={"odd": lambda: Odd(answer)},
            champion="odd",
            warmup=0,
            kind=kind,
            metric="accuracy",
            label=label,
            baseline=lambda _e: baseline,
            kpi=Kpi(lambda _e, _o, s: float(s != "x"), unit="EUR", better="lower", range=(0, 1)),
            limits=None,
        )
    )
    prediction = partition.event("1", 0)[-1].value
    assert (prediction["value"], prediction["served_by"]) == (baseline, "baseline")
    assert kinds(partition.outcome("1", 5)) == ["examples"]


@pytest.mark.parametrize("model", [linear, linear_model.LinearRegression])
@pytest.mark.parametrize("size", [1e60, 9e99, 1e150, 1.7e308])
def test_features_of_any_finite_size_stop_nothing_and_let_no_infinity_out(size: float, model: Any):
    """Models, drift detectors and contributions multiply and add what they are given."""
    case = use_case(
        max_jump=1e9,
        window=minutes(1),
        features=Order.fields("weight"),
        limits=None,
        models={"linear": model},
    )
    partition = Partition(case)
    for n in range(20 * 59):
        minute, second = divmod(n, 59)
        partition.event(str(n), minute * 60 + second, weight=size * (1 - n % 3), items=1)
        partition.outcome(str(n), minute * 60 + second, took=float(n % 10))
    for out in partition.outputs:
        if out.kind in RECORDS:
            RECORDS[out.kind].model_validate_json(out.raw.value)
    refused = [one for one in partition.of("dead-letter") if one["stage"] == "event"]
    assert len(partition.of("predictions")) + len(refused) == 20 * 59
