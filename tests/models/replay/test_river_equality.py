"""The task's numbers equal River's own, float for float; River is the oracle."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from river import ensemble, linear_model, metrics, naive_bayes, optim, preprocessing, tree

from tests.support.river_oracle import Delay, Make, River, river_says, rows, task_says

pytestmark = pytest.mark.slow

MIXED = [Random(7).choice((0, 0, 1, 1, 2, 3, 30, 300)) for _ in range(6_000)]
"""A delay a row, in seconds, with many equal arrival times among them."""

DELAYS: dict[str, Delay] = {
    "no delay": lambda _i: 0,
    "10 seconds": lambda _i: 10,
    "200 seconds": lambda _i: 200,
    "a delay of its own": lambda i: MIXED[i],
}


def logistic() -> Any:
    """River's benchmark model `Logistic regression`."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))


def linear() -> Any:
    """River's benchmark model `Linear Regression`."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def leveraging(n: int = 10) -> Any:
    """River's benchmark model `Leveraging Bagging`."""
    return ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), n, seed=42)


def adaptive_tree() -> Any:
    """River's benchmark model `Hoeffding Adaptive Tree` for regression."""
    return preprocessing.StandardScaler() | tree.HoeffdingAdaptiveTreeRegressor(seed=42)


CLASSIFIERS: dict[str, Make] = {
    "linear": logistic,
    "tree": tree.HoeffdingTreeClassifier,
    "ensemble": lambda: leveraging(3),
    "bayes": naive_bayes.GaussianNB,
}
REGRESSORS: dict[str, Make] = {
    "linear": linear,
    "tree": adaptive_tree,
    "ensemble": lambda: ensemble.BaggingRegressor(linear(), n_models=3, seed=1),
    "forest": lambda: ensemble.BaggingRegressor(tree.HoeffdingTreeRegressor(), 3, seed=2),
}
CLASSES: dict[str, Make] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    "tree": tree.HoeffdingTreeClassifier,
    "ensemble": lambda: ensemble.BaggingClassifier(naive_bayes.GaussianNB(), 2, seed=3),
    "bayes": naive_bayes.GaussianNB,
}

DATA: dict[str, tuple[int | None, dict[str, Make], Any]] = {
    "Phishing": (None, CLASSIFIERS, lambda: metrics.Accuracy() + metrics.F1()),
    "Bananas": (1_200, CLASSIFIERS, lambda: metrics.Accuracy() + metrics.F1()),
    "TrumpApproval": (None, REGRESSORS, lambda: metrics.MAE() + metrics.RMSE()),
    "ChickWeights": (None, REGRESSORS, lambda: metrics.MAE() + metrics.RMSE()),
    "ImageSegments": (350, CLASSES, lambda: metrics.Accuracy() + metrics.MacroF1()),
}


ROWS_OF_SLOW_MODELS = 350


@pytest.mark.parametrize(
    ("name", "family", "delay"),
    [
        pytest.param(
            name, family, delay, marks=[pytest.mark.soak] * (family == "ensemble" and n > 0)
        )
        for name, (_, families, _) in DATA.items()
        for family in families
        for n, delay in enumerate(reversed(DELAYS))
    ],
)
def test_every_answer_and_the_metric_equal_river_exactly(name: str, family: str, delay: str):
    """Same rows, same delays: each answer, the order of learning and the metric are River's."""
    limit, models, metric = DATA[name]
    data = rows(name, limit if family == "linear" else ROWS_OF_SLOW_MODELS)
    river = river_says(data, models[family], metric(), DELAYS[delay])
    answers = task_says(data, {family: models[family]}, DELAYS[delay])
    assert [int(row["event_id"]) for row in answers.examples] == river.order
    assert_same_answers(answers.answers, river, family)
    assert answers.metric(metric(), family) == river.value


@pytest.mark.parametrize("name", DATA)
def test_models_side_by_side_say_what_each_says_alone(name: str):
    """A shadow's answers do not depend on who is champion or who else is there."""
    limit, models, metric = DATA[name]
    data = rows(name, limit)[:200]
    answers = task_says(data, models, DELAYS["a delay of its own"])
    for family, make in models.items():
        river = river_says(data, make, metric(), DELAYS["a delay of its own"])
        assert_same_answers(answers.answers, river, family)


def test_log_loss_equals_river_exactly():
    """The published probability of true is River's, to the last bit."""
    data, delay = rows("Phishing"), DELAYS["10 seconds"]
    river = river_says(data, logistic, metrics.LogLoss(), delay)
    answers = task_says(data, {"linear": logistic}, delay)
    assert answers.metric(metrics.LogLoss(), "linear") == river.value


def test_plain_progressive_validation_is_the_zero_delay():
    """River's default, without moments, gives what outcomes at their event's own time give."""
    data = rows("Phishing")
    river = river_says(data, logistic, metrics.Accuracy(), None)
    answers = task_says(data, {"linear": logistic}, DELAYS["no delay"])
    assert_same_answers(answers.answers, river, "linear")
    assert answers.metric(metrics.Accuracy(), "linear") == river.value


def test_a_longer_delay_gives_other_numbers():
    """The oracle can fail: what River says at one delay is not what the task says at another."""
    data = rows("TrumpApproval")
    river = river_says(data, linear, metrics.MAE(), DELAYS["10 seconds"])
    answers = task_says(data, {"linear": linear}, DELAYS["no delay"])
    assert answers.metric(metrics.MAE(), "linear") != river.value


@pytest.mark.parametrize(
    ("name", "make", "metric", "published"),
    [
        ("Phishing", logistic, metrics.Accuracy, 0.8872),
        ("Phishing", logistic, metrics.F1, 0.871233),
        ("Phishing", leveraging, metrics.Accuracy, 0.894315),
        ("TrumpApproval", adaptive_tree, metrics.MAE, 0.921313),
        ("ChickWeights", linear, metrics.MAE, 23.7587),
    ],
)
def test_river_s_published_benchmarks_are_reached(
    name: str, make: Make, metric: Any, published: float
):
    """The five published values that this project quotes all hold with River 0.26.1."""
    answers = task_says(rows(name), {"it": make}, DELAYS["no delay"])
    digits = len(str(published).split(".")[1])
    assert round(answers.metric(metric(), "it")[0], digits) == published


@pytest.mark.parametrize("name", ["Phishing", "TrumpApproval", "ImageSegments"])
def test_the_tally_s_sums_give_river_s_metric(name: str):
    """The metric records, added up, are the same quality: MAE, or the share that was right."""
    limit, models, _ = DATA[name]
    data = rows(name, limit)
    answers = task_says(data, {"tree": models["tree"]}, DELAYS["10 seconds"])
    metric = metrics.MAE() if name == "TrumpApproval" else metrics.Accuracy()
    for row in answers.examples:
        metric.update(row["label"], row["prediction"])
    total = answers.task.metrics.total().scores["served"]
    assert total[0] == len(data)
    assert math.isclose(total[2] / total[0], metric.get(), rel_tol=1e-12)


def assert_same_answers(answers: dict[int, Any], river: River, family: str) -> None:
    """Each recorded answer of one model is River's answer to that row, with ==."""
    assert answers.keys() == river.answers.keys()
    for i, expected in river.answers.items():
        shadow = answers[i]["shadows"][family]
        if expected is None or expected == {}:
            assert shadow is None
        elif isinstance(shadow, dict):
            assert shadow == {str(c): p for c, p in expected.items()}
        elif isinstance(expected, dict):
            assert shadow == expected.get(True, 0.0)
        else:
            assert shadow == expected
