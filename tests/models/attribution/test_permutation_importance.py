import math
import pickle
import random

import pytest
from river import compose, feature_extraction, linear_model, neighbors, preprocessing, tree

from models.attribution.contributions import LEAF, Means, explain, explained, inputs
from models.attribution.permutation_importance import PermutationImportance


def abs_error(label, prediction):
    """The loss: the absolute error."""
    return abs(label - prediction)


def features(rng):
    """A number, a number of another size, and a word."""
    return {
        "delay": rng.gauss(5, 20),
        "distance": rng.uniform(100, 3_000),
        "origin": rng.choice("ABC"),
    }


def truth(x):
    """Depends on delay and origin, not on distance."""
    return 2.0 * x["delay"] + {"A": 0.0, "B": 30.0, "C": -30.0}[x["origin"]]


def prepared(last, **onehot):
    """StandardScaler and OneHotEncoder in a union, then `last`."""
    numbers = compose.Select("delay", "distance") | preprocessing.StandardScaler()
    words = compose.Select("origin") | preprocessing.OneHotEncoder(**onehot)
    return (numbers + words) | last


def trained(model, label, n=3_000, seed=1):
    """The model and its means after n examples."""
    rng, means = random.Random(seed), Means()
    for _ in range(n):
        x = features(rng)
        means.update(model, x)
        model.learn_one(x, label(x))
    return model, means


def adds_up(contributions):
    """Reference plus everything is the prediction."""
    return math.isclose(
        contributions.reference + math.fsum(v for _, v in contributions.top) + contributions.rest,
        contributions.prediction,
        rel_tol=1e-9,
        abs_tol=1e-9,
    )


@pytest.mark.parametrize("onehot", [{}, {"drop_zeros": True}])
def test_linear_contributions_add_up_to_prediction_minus_the_reference_of_running_means(onehot):
    """The reference is what it says of the features' means, and what origins added so far."""
    model, means = trained(prepared(linear_model.LinearRegression(), **onehot), truth)
    last = model["LinearRegression"]
    rng = random.Random(9)
    for _ in range(50):
        x = features(rng)
        contributions = explain(model, x, means, top=2)
        assert adds_up(contributions)
        assert contributions.prediction == pytest.approx(model.predict_one(x), rel=1e-9, abs=1e-9)
        usual = {name: total / means.count for name, total in means.sums.items()}
        assert set(usual) == {"delay", "distance"}
        of_means = sum(last.weights[name] * mean for name, mean in usual.items())
        of_means += means.added["origin"] / means.count + last.intercept
        assert contributions.reference == pytest.approx(of_means, rel=1e-9, abs=1e-9)
        assert len(contributions.top) == 2
        assert {name for name, _ in contributions.top} <= {"delay", "distance", "origin"}


def test_an_unused_feature_contributes_next_to_nothing():
    """Distance does not matter, and the explanation says so."""
    model, means = trained(prepared(linear_model.LinearRegression(), drop_zeros=True), truth)
    contributions = dict(
        explain(model, {"delay": 60.0, "distance": 500.0, "origin": "B"}, means).top
    )
    assert abs(contributions["distance"]) < 0.1 * abs(contributions["delay"])
    assert contributions["origin"] > 10.0


def test_a_logistic_model_is_explained_in_log_odds_of_true():
    """The logit of the probability, to rounding."""
    model, means = trained(prepared(linear_model.LogisticRegression()), lambda x: truth(x) > 10)
    x = {"delay": 12.0, "distance": 900.0, "origin": "A"}
    contributions = explain(model, x, means)
    p = model.predict_proba_one(x)[True]
    assert contributions.unit == "log-odds"
    assert adds_up(contributions)
    assert contributions.prediction == pytest.approx(math.log(p / (1 - p)), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "last",
    [
        tree.HoeffdingTreeRegressor(grace_period=100),
        tree.HoeffdingTreeRegressor(grace_period=100, leaf_prediction="mean"),
        tree.HoeffdingAdaptiveTreeRegressor(grace_period=100, seed=1),
    ],
    ids=["adaptive leaves", "mean leaves", "adaptive tree"],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_tree_contributions_add_up_to_prediction_minus_the_root(last, wrapped):
    """Split features along the path, and the leaf's own model as `(leaf)`."""
    numbers = compose.Select("delay", "distance")
    model = prepared(last.clone(), drop_zeros=True) if wrapped else numbers | last.clone()
    model, means = trained(model, truth)
    end = list(model.steps.values())[-1]
    assert end.n_branches > 0
    rng = random.Random(9)
    for _ in range(50):
        x = features(rng)
        contributions = explain(model, x, means, top=3)
        assert adds_up(contributions)
        assert contributions.prediction == pytest.approx(model.predict_one(x), rel=1e-9)
        assert contributions.reference == pytest.approx(end._root.stats.mean.get(), rel=1e-9)
        assert {name for name, _ in contributions.top} <= {"delay", "distance", "origin", LEAF}


def test_a_classification_tree_is_explained_in_log_odds_of_the_likeliest_class():
    """Three classes; against all others."""
    model = tree.HoeffdingTreeClassifier(grace_period=100, leaf_prediction="mc")
    model, means = trained(model, lambda x: min(2, max(0, int(truth(x) // 30))))
    rng = random.Random(9)
    for _ in range(50):
        x = features(rng)
        contributions = explain(model, x, means)
        chances = model.predict_proba_one(x)
        p = min(1 - 1e-9, max(chances.values()) / sum(chances.values()))
        assert adds_up(contributions)
        assert contributions.prediction == pytest.approx(math.log(p / (1 - p)), rel=1e-6)


def test_untrained_models_are_explained_and_unknown_ones_refused():
    """Nothing learnt: zero; no exact contributions: TypeError."""
    x = {"delay": 1.0}
    assert explain(linear_model.LinearRegression(), x, Means()).prediction == 0.0
    assert explain(tree.HoeffdingTreeRegressor(), x, Means()).prediction == 0.0
    with pytest.raises(TypeError, match="on demand"):
        explain(neighbors.KNNRegressor(), x, Means())


def test_means_are_bounded_and_still_add_up():
    """Names beyond the bound have mean 0; of one-hot inputs only what they add together is kept."""
    model = preprocessing.OneHotEncoder(drop_zeros=True) | linear_model.LinearRegression()
    means, rng = Means(names_max=5), random.Random(1)
    for k in range(500):
        x = {"word": str(k % 20)}
        means.update(model, x)
        model.learn_one(x, rng.random())
    assert (len(means.sources), list(means.added)) == (5, ["word"])
    assert adds_up(explain(model, {"word": "17"}, means))
    wide = linear_model.LinearRegression()
    means = Means(names_max=5)
    for k in range(200):
        x = {f"n{i}": float(k % (i + 2)) for i in range(8)}
        means.update(wide, x)
        wide.learn_one(x, float(k % 3))
    assert len(means.sums) == 5
    contributions = explain(wide, x, means, top=8)
    assert adds_up(contributions)
    assert len(contributions.top) == 8


@pytest.mark.parametrize("maker", ["onehot", "words"])
def test_reasons_cost_no_more_for_categories_that_were_seen_before(maker):
    """No weight of an input that this event does not have is asked for, of 5,000 that there are."""
    step = (
        preprocessing.OneHotEncoder(drop_zeros=True)
        if maker == "onehot"
        else feature_extraction.BagOfWords(on="word")
    )
    model, means = step | linear_model.LinearRegression(), Means()
    for k in range(5_000):
        x = {"word": f"w{k}"}
        explain(model, x, means, top=3, note=True)
        model.learn_one(x, float(k % 7))
    asked = []
    seen = inputs(model, {"word": "w77"})

    def weight(name, default):
        asked.append(name)
        return model["LinearRegression"].weights.get(name, default)

    assert adds_up(explained(seen._replace(weight=weight), means, 3, note=False))
    assert len(asked) == 1


def test_permutation_importance_ranks_what_the_model_uses_and_follows_a_change():
    """The unused feature has none; when the model turns to another feature, so do the numbers."""
    importance, rng = PermutationImportance(every=2, rate=0.02), random.Random(1)
    for used, other in (("a", "b"), ("b", "a")):
        for _ in range(2_000):
            x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1), "c": rng.choice("xy")}
            importance.update(lambda x, used=used: x[used], x, x[used], abs_error)
        values = importance.values
        assert next(iter(values)) == used
        # The mean absolute difference of two standard normals is 2/sqrt(pi).
        assert values[used] == pytest.approx(2 / math.sqrt(math.pi), abs=0.3)
        assert abs(values[other]) < 0.05
        assert values["c"] == 0.0


def test_permutation_importance_is_the_same_again_and_across_a_pickle():
    """Its random choices are part of its state."""

    def play(cut):
        importance, rng = PermutationImportance(every=1), random.Random(2)
        for k in range(400):
            if k == cut:
                importance = pickle.loads(pickle.dumps(importance))
            x = {"a": rng.random(), "b": rng.random()}
            importance.update(lambda x: x["a"] * x["b"], x, 1.0, abs_error)
        return importance.values

    assert play(None) == play(123) == play(0)
