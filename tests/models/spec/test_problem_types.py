"""Each kind asks as River is asked, serves only what is usable, and scores as River scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from river import datasets, ensemble, linear_model, metrics, multiclass, naive_bayes, tree

from models.spec.problem_types import BETTER, KINDS, OF_KIND, metric_value
from schemas.records import Prediction

REGRESSION, BINARY, MULTICLASS = (KINDS[name] for name in ("regression", "binary", "multiclass"))
NUMBERS = st.floats(-1e6, 1e6)
SHARES = st.floats(0, 1)


class Says:
    """A model that says what it is made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_one(self, _x: Any) -> Any:
        """That."""
        return self.answer

    predict_proba_one = predict_one


def summed(kind: Any, pairs: list[tuple[Any, Any]]) -> dict[str, float]:
    """The sums of (label, said) pairs, by their names."""
    rows = [kind.losses(y, prediction) for y, prediction in pairs]
    return {
        name: math.fsum(column)
        for name, column in zip(kind.sums, zip(*rows, strict=True), strict=True)
    }


def river(metric: Any, pairs: list[tuple[Any, Any]]) -> float:
    """River's value of the same pairs."""
    for y, prediction in pairs:
        metric.update(y, prediction)
    return metric.get()


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_regression_scores_as_river_does(pairs: list[tuple[float, float]]):
    """MAE and RMSE from the mergeable sums."""
    sums = summed(REGRESSION, pairs)
    for name, metric in (("mae", metrics.MAE()), ("rmse", metrics.RMSE())):
        assert metric_value(name, len(pairs), sums) == pytest.approx(river(metric, pairs))
    assert sums["bias"] == pytest.approx(math.fsum(prediction - y for y, prediction in pairs))


@given(st.lists(st.tuples(st.booleans(), SHARES), min_size=1))
def test_binary_scores_as_river_does(answers: list[tuple[bool, float]]):
    """Accuracy, F1 and log loss from the mergeable sums."""
    pairs = [(y, BINARY.said_of(p)) for y, p in answers]
    sums, n = summed(BINARY, pairs), len(pairs)
    classes = [(y, prediction[0]) for y, prediction in pairs]
    assert metric_value("accuracy", n, sums) == pytest.approx(river(metrics.Accuracy(), classes))
    assert (metric_value("f1", n, sums) or 0.0) == pytest.approx(river(metrics.F1(), classes))
    shares = [(y, prediction[1]) for y, prediction in pairs]
    # River clips the probability of true and subtracts, which near 0 costs digits.
    expected = river(metrics.LogLoss(), shares)
    assert metric_value("logloss", n, sums) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.tuples(SHARES, SHARES, SHARES)), min_size=1))
def test_multiclass_scores_as_river_does(answers: list[tuple[str, tuple[float, float, float]]]):
    """Accuracy, and the log loss of the label's own probability."""
    pairs = []
    for y, shares in answers:
        total = math.fsum(shares) or 1.0
        p = {c: share / total for c, share in zip("abc", shares, strict=True)}
        pairs.append((y, (max(p, key=lambda c: p[c]), p)))
    sums, n = summed(MULTICLASS, pairs), len(pairs)
    classes = [(y, prediction[0]) for y, prediction in pairs]
    assert metric_value("accuracy", n, sums) == pytest.approx(river(metrics.Accuracy(), classes))
    expected = math.fsum(
        -math.log(min(max(prediction[1][y], 1e-15), 1 - 1e-15)) for y, prediction in pairs
    )
    assert metric_value("logloss", n, sums) == pytest.approx(expected / n)


def test_a_metric_of_nothing_is_nothing():
    """Neither 0 nor an error; an F1 without a positive is undefined."""
    for kind, names in OF_KIND.items():
        empty = dict.fromkeys(KINDS[kind].sums, 0.0)
        assert [metric_value(name, 0, empty) for name in names] == [None] * len(names)
    assert metric_value("f1", 3, {"tp": 0.0, "fp": 0.0, "fn": 0.0}) is None
    assert metric_value("f1", 3, {"tp": 0.0, "fp": 1.0, "fn": 0.0}) == 0.0


def test_every_metric_has_a_direction_and_a_kind():
    """What `better` means is known of each, and each kind has at least one."""
    assert {name for names in OF_KIND.values() for name in names} <= BETTER.keys()
    assert OF_KIND.keys() == KINDS.keys()
    for kind, names in OF_KIND.items():
        for name in names:
            assert metric_value(name, 1, dict.fromkeys(KINDS[kind].sums, 1.0)) is not None


@pytest.mark.parametrize("answer", [1, 1.0, np.float64(1.0), np.float32(1.0), np.int64(1), True])
def test_whatever_number_a_model_returns_becomes_a_float(answer: Any):
    """numpy's too, which no JSON encoder takes; the value is not altered."""
    asked = REGRESSION.ask(Says(answer), {})
    assert (type(asked), asked) == (float, 1.0)
    guess, p = BINARY.ask(Says({True: answer, False: 0}), {})
    assert (guess, p, {type(share) for share in p.values()}) == (
        True,
        {True: 1.0, False: 0.0},
        {float},
    )


@pytest.mark.parametrize(
    ("value", "limits", "usable"),
    [
        (1.0, None, True),
        (1e101, None, False),
        (math.nan, None, False),
        (-math.inf, None, False),
        (5.0, (0.0, 5.0), True),
        (5.1, (0.0, 5.0), False),
        (math.nan, (0.0, 5.0), False),
        (math.inf, (0.0, math.inf), False),
    ],
)
def test_a_number_is_served_only_if_finite_and_within_its_limits(
    value: float, limits: tuple[float, float] | None, usable: bool
):
    """Limits are inclusive; a limit of infinity does not let infinity through."""
    assert REGRESSION.usable(value, limits) is usable


@pytest.mark.parametrize("kind", [BINARY, MULTICLASS])
@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1, math.inf])
def test_a_probability_that_is_none_is_not_served(kind: Any, p: float):
    """Nor is anything beside it."""
    assert kind.usable(("a", {"a": 1.0, "b": 0.0}), None)
    assert not kind.usable(("a", {"a": 1.0, "b": p}), None)


LABELS: list[tuple[Any, list[Any], list[Any]]] = [
    (REGRESSION, [1, -2.5, 0.0, 2**63], [True, "1", None, math.nan, math.inf, 1e101, 10**400, [1]]),
    (BINARY, [True, False], [1, 0, "true", None, 1.0]),
    (MULTICLASS, ["a", "", 3, -1], [True, None, 1.5, 2**64, -(2**63) - 1, [1], b"a"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), LABELS)
def test_a_label_is_taken_or_refused_in_words(kind: Any, good: list[Any], bad: list[Any]):
    """What is taken is not altered; what is refused is named in the error."""
    for value in good:
        assert kind.label(value) == value
    for value in bad:
        with pytest.raises((ValueError, OverflowError)):
            kind.label(value)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (REGRESSION, [True, "x", None, math.nan]),
        (BINARY, ["x", None, 1.5, -0.1, math.nan]),
        (MULTICLASS, [None, 1.5, {}, {"a": math.nan}, {"a": "x"}]),
    ],
)
def test_a_baseline_that_is_no_answer_is_refused(kind: Any, bad: list[Any]):
    """There is no other answer to fall back to."""
    for value in bad:
        with pytest.raises((ValueError, TypeError)):
            kind.said_of(value)


def test_a_baseline_is_an_answer_like_a_model_s():
    """A number; a bool or its probability; a class or its distribution."""
    assert REGRESSION.said_of(3) == 3.0
    assert BINARY.said_of(True) == (True, {False: 0.0, True: 1.0})
    assert BINARY.said_of(0.25) == (False, {False: 0.75, True: 0.25})
    assert MULTICLASS.said_of("a") == ("a", {"a": 1.0})
    assert MULTICLASS.said_of({"a": 0.2, "b": 0.8})[0] == "b"


def test_probabilities_are_written_as_json_writes_their_classes():
    """`true` and `false`, numbers as text, text as it is."""
    assert BINARY.probabilities((True, {True: 0.75, False: 0.25})) == {"true": 0.75, "false": 0.25}
    assert MULTICLASS.probabilities(("a", {"a": 0.5, 3: 0.5})) == {"a": 0.5, "3": 0.5}
    assert REGRESSION.probabilities(1.0) is None


@pytest.mark.parametrize(
    ("kind", "answer", "shadow"),
    [
        (REGRESSION, 1.5, 1.5),
        (REGRESSION, math.inf, None),
        (REGRESSION, None, None),
        (BINARY, (True, {True: 0.75}), 0.75),
        (BINARY, (True, {True: math.nan}), None),
        (BINARY, None, None),
        (MULTICLASS, ("a", {"a": 1.0}), {"a": 1.0}),
        (MULTICLASS, ("a", {"a": math.nan, "b": 1.0}), None),
        (MULTICLASS, None, None),
    ],
)
def test_a_shadow_is_a_finite_number_or_nothing(kind: Any, answer: Any, shadow: Any):
    """And fits the field of the published record."""
    assert kind.shadow(answer) == shadow
    field = Prediction.model_fields["shadows"].annotation
    assert TypeAdapter(field).validate_python({"m": shadow}) == {"m": shadow}


def logistic() -> Any:
    """A classifier of two classes."""
    return linear_model.LogisticRegression()


CLASSIFIERS = {
    "tree": (BINARY, tree.HoeffdingTreeClassifier),
    "bayes": (MULTICLASS, naive_bayes.GaussianNB),
    "one-vs-one": (MULTICLASS, lambda: multiclass.OneVsOneClassifier(logistic())),
    "output code": (MULTICLASS, lambda: multiclass.OutputCodeClassifier(logistic(), 10, seed=1)),
    "voting": (MULTICLASS, lambda: ensemble.VotingClassifier([naive_bayes.GaussianNB()] * 2)),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_class_served_is_the_one_that_river_predicts(name: str):
    """Also of classifiers that give no probabilities, which then have one of 1."""
    kind, make = CLASSIFIERS[name]
    data = list(datasets.Phishing() if kind is BINARY else datasets.ImageSegments())[:120]
    model, answered = make(), 0
    for x, y in data:
        prediction, expected = kind.ask(model, x), model.predict_one(x)
        if prediction is not None and kind.usable(prediction, None):
            assert kind.value(prediction) == expected
            answered += 1
        model.learn_one(x, y)
    assert answered > 100
