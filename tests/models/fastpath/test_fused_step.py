"""A fused step gives River's floats: predictions, and all that is left in River's objects."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from numbers import Number
from typing import Any

import pytest
from river import compose, linear_model, optim, preprocessing

from models.attribution.contributions import Means, explained, inputs
from models.fastpath import fused
from models.fastpath.adam import UNLIKE_MAX, DenseAdam
from models.serving.model_slot import ModelSlot
from models.spec.problem_types import KINDS

losses = optim.losses


def pipeline(
    optimizer: Any,
    *,
    drop_zeros: bool = False,
    flip: bool = False,
    logistic: bool = False,
    **more: Any,
) -> Any:
    """A union of scaled numbers and one-hot names before a linear model."""
    numbers = compose.SelectType(Number) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=drop_zeros)
    kind = linear_model.LogisticRegression if logistic else linear_model.LinearRegression
    return ((names + numbers) if flip else (numbers + names)) | kind(optimizer=optimizer, **more)


SHAPES: dict[str, Callable[[], Any]] = {
    "Adam": lambda: pipeline(optim.Adam(0.02), loss=losses.Absolute()),
    "Adam, names before numbers": lambda: pipeline(optim.Adam(0.02), flip=True),
    "Adam, logistic": lambda: pipeline(optim.Adam(0.02), logistic=True),
    "Adam, wild": lambda: pipeline(optim.Adam(1e3)),
    "SGD": lambda: pipeline(optim.SGD(0.02), loss=losses.Huber()),
    "SGD, logistic": lambda: pipeline(optim.SGD(0.02), logistic=True, flip=True),
    "SGD, zeros dropped": lambda: pipeline(optim.SGD(0.02), drop_zeros=True, clip_gradient=2.0),
    "SGD, wild": lambda: pipeline(optim.SGD(0.5)),
    "AdaGrad": lambda: pipeline(optim.AdaGrad(0.3), loss=losses.Absolute(), flip=True),
    "AdaGrad, zeros dropped": lambda: pipeline(
        optim.AdaGrad(0.5), drop_zeros=True, intercept_lr=optim.schedulers.InverseScaling(0.1)
    ),
}


def examples(seed: int, *, diverged: bool, logistic: bool) -> Any:
    """Endless: features of all types, some absent, categories that go on coming, odd weights."""
    draw = random.Random(seed)
    while True:
        x: dict[str, Any] = {
            "a": draw.gauss(0, 1) * 10 ** draw.choice([0, 0, 3]),
            "b": draw.randint(-5, 5),
            "c": draw.random() < 0.5,
            "s": draw.choice("abcdefgh"),
            "t": f"v{int(abs(draw.gauss(0, 20)))}",
            "u": draw.gauss(0, 1),
        }
        if draw.random() < 0.002:
            del x[draw.choice([*x])]
        if diverged and draw.random() < 0.01:
            x["a"] = 1e80
        y = draw.random() < 0.5 if logistic else x.get("u", 0.0) * 3 + draw.gauss(0, 1)
        yield x, y, draw.choice([1.0, 0.5, 2.0])


def answer_of(model: Any, x: dict[str, Any], *, logistic: bool) -> str:
    """The prediction's every bit, or what was raised."""
    try:
        return repr(model.predict_proba_one(x) if logistic else model.predict_one(x))
    except Exception as error:
        return repr(error)


def learnt(model: Any, x: dict[str, Any], y: Any, w: float) -> str:
    """What learning raised."""
    try:
        model.learn_one(x, y, w=w)
    except Exception as error:
        return repr(error)
    return ""


def inside(part: Any) -> Any:
    """Everything in a River object, in its order, but what it caches."""
    if hasattr(part, "to_dict"):
        return [*part.to_dict().items()]
    if isinstance(part, dict):
        return [(name, inside(value)) for name, value in part.items()]
    if isinstance(part, set):
        return sorted(part)
    if isinstance(part, list | tuple):
        return [inside(value) for value in part]
    if hasattr(part, "__dict__"):
        cached = ("_plan", "_inference_transformers", "_last_step_cached", "_last_step_params")
        return [(name, inside(v)) for name, v in vars(part).items() if name not in cached]
    return repr(part)


def reasons(slot: ModelSlot, x: dict[str, Any], means: Means, *, apart: bool) -> str:
    """Every bit of why it says what it says; `apart`: River's own steps are asked."""
    try:
        seen = inputs(slot.model, x) if apart else slot.seen(x)
        return repr(explained(seen, means, 3, note=True))
    except Exception as error:
        return repr(error)


def compare(name: str, count: int, seed: int) -> None:
    """River beside its fused step on `count` examples, through a pickle now and then."""
    logistic, diverged = "logistic" in name, "wild" in name
    river, model = SHAPES[name](), SHAPES[name]()
    fast = fused(model)
    assert fast is not None
    stream = examples(seed, diverged=diverged, logistic=logistic)
    for number in range(count):
        x, y, w = next(stream)
        assert answer_of(fast, x, logistic=logistic) == answer_of(river, x, logistic=logistic), (
            number
        )
        assert learnt(fast, x, y, w) == learnt(river, x, y, w), number
        if number % 499 == 0 or number == count - 1:
            fast.flush()
            assert repr(inside(model)) == repr(inside(river)), number
        if number % 997 == 0:
            fast.flush()
            model = pickle.loads(pickle.dumps(model))
            fast = fused(model)
            assert fast is not None


@pytest.mark.parametrize("name", SHAPES)
def test_a_fused_step_is_rivers_to_the_last_bit(name: str) -> None:
    """Predictions, weights, moments and running means, on numbers, names and gaps."""
    compare(name, 1_500, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("name", SHAPES)
def test_a_million_records_give_rivers_floats(name: str) -> None:
    """A hundred thousand random records for each of the ten shapes."""
    compare(name, 100_000, seed=2)


def test_scaled_numbers_alone_are_fused_too() -> None:
    """StandardScaler | LogisticRegression, as in the phishing example."""
    SHAPES["numbers"] = lambda: (
        preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))
    )
    try:
        river, model = SHAPES["numbers"](), SHAPES["numbers"]()
        fast, draw = fused(model), random.Random(3)
        assert fast is not None
        for _ in range(500):
            x = {name: draw.gauss(1, 2) for name in "abc"}
            assert fast.predict_proba_one(x) == river.predict_proba_one(x)
            fast.learn_one(x, x["a"] > 1)
            river.learn_one(x, x["a"] > 1)
    finally:
        del SHAPES["numbers"]


def test_a_name_that_is_a_number_somewhere_else_is_left_to_river() -> None:
    """`s_a` is an input of one-hot `s` and a feature of its own: River orders them its own way."""
    river, model = pipeline(optim.SGD(0.1)), pipeline(optim.SGD(0.1))
    fast = fused(model)
    assert fast is not None
    for number in range(50):
        x = {"s": "ab"[number % 2], "s_a": float(number % 7), "n": 0.1 * number}
        assert fast.predict_one(x) == river.predict_one(x)
        fast.learn_one(x, 1.0)
        river.learn_one(x, 1.0)
    assert inside(model) == inside(river)


def test_an_absent_number_time_and_again_is_left_to_river() -> None:
    """Adam moves what is present only; past `UNLIKE_MAX` such examples River does them all."""
    river, model = pipeline(optim.Adam(0.1)), pipeline(optim.Adam(0.1))
    fast = fused(model)
    assert isinstance(fast, DenseAdam)
    for number in range(UNLIKE_MAX * 2 + 10):
        x: dict[str, Any] = {"s": "ab"[number % 2], "n": 0.1 * number}
        if number % 2:
            x["m"] = 1.5
        assert fast.predict_one(x) == river.predict_one(x)
        fast.learn_one(x, 1.0)
        river.learn_one(x, 1.0)
    fast.flush()
    assert inside(model) == inside(river)


def test_a_name_that_comes_first_beside_an_absent_number_is_no_number() -> None:
    """River learns that one example; the next is fused again."""
    river, model = pipeline(optim.Adam(0.1)), pipeline(optim.Adam(0.1))
    fast = fused(model)
    assert isinstance(fast, DenseAdam)
    for x in (
        {"s": "a", "n": 1.0, "m": 2.0},
        {"s": "new", "n": 2.0},
        {"s": "a", "n": 3.0, "m": 1.0},
    ):
        fast.learn_one(x, 1.0)
        river.learn_one(x, 1.0)
    assert fast._unlike == 1
    fast.flush()
    assert inside(model) == inside(river)


@pytest.mark.parametrize(
    "model",
    [
        pipeline(optim.SGD(0.1), l2=0.1),
        pipeline(optim.RMSProp()),
        pipeline(optim.Adam(), drop_zeros=True),
        preprocessing.MinMaxScaler() | linear_model.LinearRegression(),
        linear_model.LinearRegression(),
        pipeline(optim.SGD(0.1), initializer=optim.initializers.Normal(seed=1)),
    ],
)
def test_an_unknown_shape_is_not_fused(model: Any) -> None:
    """It is River's alone."""
    assert fused(model) is None


def test_a_slot_shows_rivers_object_with_all_that_was_learnt() -> None:
    """Snapshots, exports and explanations take `slot.model`."""
    slot, river = ModelSlot("adam", None, SHAPES["Adam"]()), SHAPES["Adam"]()
    for x, y, _ in (next(stream) for stream in [examples(5, diverged=False, logistic=False)] * 200):
        assert slot.ask(KINDS["regression"], x) == river.predict_one(x)
        slot.learn(x, y, None)
        river.learn_one(x, y)
    assert inside(slot.model) == inside(river)
    slot.model = pickle.loads(pickle.dumps(slot.model))
    assert slot.ask(KINDS["regression"], x) == river.predict_one(x)


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_explained_as_river_would_be(name: str) -> None:
    """From arrays and parted features the same contributions, to the last bit."""
    fused, rivers = ModelSlot("m", None, SHAPES[name]()), ModelSlot("m", None, SHAPES[name]())
    means, others = Means(), Means()
    logistic, asked = "logistic" in name, 0
    stream = examples(5, diverged="diverged" in name, logistic=logistic)
    for _ in range(700):
        x, y, _ = next(stream)
        asked += fused._fast is not None and fused._fast.seen(x) is not None
        assert reasons(fused, x, means, apart=False) == reasons(rivers, x, others, apart=True)
        assert (means.count, means.sums) == (others.count, others.sums)
        for slot in (fused, rivers):
            slot.learn(x, y, None)
    assert asked > 500 or "diverged" in name
