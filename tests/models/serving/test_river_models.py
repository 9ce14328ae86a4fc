"""What says the same again may be served; what does not is refused."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from river import compose, ensemble, forest, linear_model, neighbors, optim, preprocessing, tree

from models.serving.river_models import (
    Example,
    alike,
    check_model,
    digest,
    parts,
    settled,
    transcript,
)
from schemas.errors import ConfigError
from streams.offline import hash_seed_check

pytestmark = pytest.mark.slow

NUMBERS = ("distance", "late", "queue", "speed", "wind")


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Two hundred rows of numbers and a word, always the same."""
    draw = random.Random(7)
    rows: list[Example] = []
    for _ in range(200):
        x: dict[str, Any] = {name: draw.gauss(0, 3) for name in NUMBERS}
        rows.append((x | {"carrier": draw.choice("ABC")}, sum(x.values()) > 0))
    return rows


def numbers(model: Any) -> Any:
    """A pipeline of the numbers alone."""
    return compose.Select(*NUMBERS) | preprocessing.StandardScaler() | model


GOOD: list[Callable[[], Any]] = [
    lambda: numbers(linear_model.LogisticRegression()),
    lambda: numbers(tree.HoeffdingTreeClassifier()),
    lambda: numbers(forest.ARFClassifier(n_models=3, seed=1)),
    lambda: numbers(neighbors.KNNClassifier(engine=neighbors.LazySearch())),
    lambda: ensemble.BaggingClassifier(numbers(linear_model.LogisticRegression()), seed=1),
]


@pytest.mark.parametrize("make", GOOD)
def test_an_estimator_that_says_the_same_again_has_no_fault(
    make: Callable[[], Any], examples: list[Example]
) -> None:
    """Made twice, and across a pickle."""
    assert check_model(make, "binary", examples) == ([], [])


UNSEEDED: list[tuple[str, Callable[[], Any]]] = [
    ("ARFClassifier(seed=None)", lambda: numbers(forest.ARFClassifier(n_models=3))),
    (
        "LeveragingBaggingClassifier(seed=None)",
        lambda: numbers(ensemble.LeveragingBaggingClassifier(linear_model.LogisticRegression())),
    ),
    (
        "HoeffdingAdaptiveTreeClassifier(seed=None)",
        lambda: numbers(tree.HoeffdingAdaptiveTreeClassifier()),
    ),
]


@pytest.mark.parametrize(("which", "make"), UNSEEDED)
def test_an_estimator_without_a_seed_is_refused_by_name(
    which: str, make: Callable[[], Any], examples: list[Example]
) -> None:
    """Also one that happens to say the same on these examples, such as an adaptive tree."""
    faults, _ = check_model(make, "binary", examples)
    assert len(faults) == 1
    assert which in faults[0]
    assert faults[0].endswith("Give a seed, such as seed=42.")


class Moody:
    """An estimator of one's own that draws a number nobody gave it."""

    def __init__(self) -> None:
        self.mood = random.SystemRandom().random()

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        """A mood."""
        return {True: self.mood, False: 1.0 - self.mood}

    def learn_one(self, x: dict[str, Any], y: bool) -> None:
        """Nothing."""


class Forgetful(Moody):
    """One that loses its mood in a pickle."""

    def __init__(self) -> None:
        self.mood = 0.25

    def __getstate__(self) -> dict[str, float]:
        return {"mood": 0.75}


def test_randomness_without_a_name_is_found_by_running_twice(examples: list[Example]) -> None:
    """Not every estimator calls its seed `seed`."""
    faults, _ = check_model(Moody, "binary", examples)
    assert faults == ["differs each time it is made. Give a seed, such as seed=42."]


def test_what_a_pickle_changes_is_refused(examples: list[Example]) -> None:
    """A restart is a pickle."""
    faults, _ = check_model(Forgetful, "binary", examples)
    assert "differs after a pickle" in faults[0]


def test_what_cannot_be_pickled_is_refused(examples: list[Example]) -> None:
    """A lambda in a pipeline cannot be in a snapshot."""

    def make() -> Any:
        return (
            compose.FuncTransformer(lambda x: {"a": x["late"]}) | linear_model.LogisticRegression()
        )

    faults, _ = check_model(make, "binary", examples)
    assert "cannot be pickled" in faults[0]


def test_what_fails_on_the_features_is_refused(examples: list[Example]) -> None:
    """A word in a linear model."""
    faults, _ = check_model(linear_model.LogisticRegression, "binary", examples)
    assert "raised TypeError" in faults[0]


def test_state_that_all_models_share_is_refused(examples: list[Example]) -> None:
    """SWINN keeps isolated vertices in its class, also where it is given a seed."""

    def make() -> Any:
        return numbers(neighbors.KNNClassifier(engine=neighbors.SWINN(seed=1)))

    faults, _ = check_model(make, "binary", examples)
    assert "LazySearch" in faults[0]


def test_a_one_hot_encoder_that_writes_zeros_is_warned_of(examples: list[Example]) -> None:
    """At 5,000 categories it costs milliseconds a step."""

    def make(**how: Any) -> Any:
        encoder = compose.Select("carrier") | preprocessing.OneHotEncoder(**how)
        return encoder | linear_model.LogisticRegression(optim.Adam())

    faults, warnings = check_model(make, "binary", examples)
    assert faults == []
    assert "drop_zeros=True" in warnings[0]
    assert check_model(lambda: make(drop_zeros=True), "binary", examples) == ([], [])


# Order.


def selects(model: Any) -> Iterator[Any]:
    """Every Select in a model."""
    return (part for part in parts(model) if issubclass(type(part), compose.Select))


def test_settling_gives_every_select_an_order() -> None:
    """In pipelines, in unions, and in each model of an ensemble."""
    union = (compose.Select("b", "a") | preprocessing.StandardScaler()) + compose.Select("d", "c")
    bagged = ensemble.BaggingClassifier(union | linear_model.LogisticRegression(), 2, seed=1)
    model = settled(bagged)
    assert model is bagged
    assert {select.keys for select in selects(model)} == {("a", "b"), ("c", "d")}
    assert len(list(selects(model))) >= 4


def test_a_clone_and_a_pickle_stay_settled() -> None:
    """Ensembles clone what they replace; snapshots pickle."""
    model = settled(numbers(linear_model.LogisticRegression()))
    for other in (model.clone(), pickle.loads(pickle.dumps(model))):
        assert [select.keys for select in selects(other)] == [NUMBERS]


def test_settling_changes_no_prediction_but_their_last_bits(examples: list[Example]) -> None:
    """Only the order of the sum is another."""
    plain, ordered = (numbers(linear_model.LogisticRegression()) for _ in range(2))
    settled(ordered)
    for x, y in examples:
        assert ordered.predict_proba_one(x) == pytest.approx(plain.predict_proba_one(x))
        plain.learn_one(x, y)
        ordered.learn_one(x, y)


def test_discard_needs_no_order() -> None:
    """It keeps the order of what it is given, whatever is in its set."""
    x = dict.fromkeys("zyxwvu", 1.0)
    assert list(compose.Discard("w", "v", "z").transform_one(x)) == ["y", "x", "u"]


# Examples.


def test_more_examples_are_always_the_same() -> None:
    """Drawn from the given ones by a seed of their own."""
    few: list[Example] = [({"a": 1.5, "b": "x"}, 1.0), ({"a": 2.5, "b": "y"}, 2.0)]
    examples = alike(few, 50)
    assert examples[:2] == few
    assert examples == alike(few, 50)
    assert len(examples) == 50
    assert {x["b"] for x, _ in examples} == {"x", "y"}
    assert alike([], 50) == []


def test_a_transcript_tells_the_last_bit() -> None:
    """Two floats that print alike in six digits have other digests."""
    assert digest([repr(0.1 + 0.2)]) != digest([repr(0.3)])


# Other processes.

FILE = '''
from river import compose, linear_model, optim, preprocessing
from models.spec.use_case import Kpi, UseCase
from schemas.events import Event, Outcome

NAMES = tuple(f"number_{n}" for n in range(12))

class Asked(Event):
    shop: str
    words: str = "never eat shredded wheat every other monday morning"

class Told(Outcome):
    amount: float

class Loose(compose.Select):
    """A Select that is not settled, as any estimator of one's own may be."""

def number(n):
    return lambda event: (event.event_time.timestamp() * (n + 1)) % 1.37

def recorded():
    for n in range(40):
        at = f"2024-01-01T00:{n:02}:00Z"
        yield "event", {"event_id": f"e{n}", "event_time": at, "shop": "a"}
        at = f"2024-01-01T00:{n:02}:30Z"
        yield "outcome", {"event_id": f"e{n}", "outcome_time": at, "amount": n * 0.7}

CASE = UseCase(
    name="seeded", owner="o", event=Asked, outcome=Told, key="shop",
    label=lambda event, outcome: outcome.amount,
    features={**{name: number(n) for n, name in enumerate(NAMES)}, FEATURE},
    models={
        "settled": lambda: compose.Select(*NAMES) | linear_model.LinearRegression(),
        "loose": lambda: SELECT(*NAMES) | linear_model.LinearRegression(),
    },
    champion="settled", baseline=lambda event: 0.0, metric="mae", horizon=3600.0,
    kpi=Kpi(lambda e, o, s: 0.0, unit="EUR", better="lower", range=(0, 1)),
    recorded=recorded,
)
'''


def written(folder: Path, *, feature: str = "", select: str = "compose.Select") -> Path:
    """The file with a feature and a Select of one's choice."""
    path = folder / "seeded.py"
    path.write_text(FILE.replace("FEATURE", feature).replace("SELECT", select))
    return path


def test_hash_seeds_change_nothing_in_settled_models(tmp_path: Path) -> None:
    """River's Select iterates a set of names; settled, two processes say the same floats."""
    assert hash_seed_check.differing(written(tmp_path), (0, 1)) == {"features": [], "models": []}


def test_a_model_that_iterates_a_set_is_found(tmp_path: Path) -> None:
    """The same pipeline with a Select that nobody settles: its floats depend on the process."""
    path = written(tmp_path, select="Loose")
    assert hash_seed_check.differing(path, (0, 1)) == {"features": [], "models": ["loose"]}


def test_a_feature_that_iterates_a_set_is_found(tmp_path: Path) -> None:
    """And the models that see it are not blamed for it."""
    path = written(tmp_path, feature='"first": lambda event: next(iter(set(event.words.split())))')
    assert hash_seed_check.differing(path, (0, 1)) == {"features": ["first"], "models": []}


def test_a_file_that_fails_elsewhere_says_why(tmp_path: Path) -> None:
    """Not a traceback of another process."""
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="fails in another process"):
        hash_seed_check.differing(path, [0])


def test_a_transcript_goes_on_after_a_failure(examples: list[Example]) -> None:
    """As the slot does: what it cannot say is said by the baseline."""
    lines = transcript(linear_model.LogisticRegression(), "binary", examples[:3])
    assert len(lines) == 3


def test_a_search_tree_splitter_is_warned_of() -> None:
    """River's default splitter of regression trees nests one node a value of a growing feature."""
    vectors = [({"nth": float(n)}, float(n)) for n in range(20)]
    _, warned = check_model(tree.HoeffdingTreeRegressor, "regression", vectors)
    assert any("QOSplitter" in warning for warning in warned)
    flat = partial(tree.HoeffdingTreeRegressor, splitter=tree.splitter.QOSplitter())
    assert check_model(flat, "regression", vectors) == ([], [])
