"""Pickles that differ in nothing but which texts they share."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from river import linear_model, preprocessing, tree

from streams.unpickling.pickle_equality import equal_but_for_sharing

MODELS = {
    "tree": lambda: tree.HoeffdingTreeRegressor(grace_period=20),
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
}


def _rows(count: int) -> Iterator[tuple[dict[str, float], float]]:
    for n in range(count):
        x = orjson.loads(orjson.dumps({f"feature {k}": (n * (k + 3)) % 17 for k in range(4)}))
        yield x, 2.0 * x["feature 1"] + n % 3


def _taught(make: Any, rows: Any, restored_at: int | None = None) -> bytes:
    model = make()
    for n, (x, y) in enumerate(rows):
        if n == restored_at:
            model = pickle.loads(pickle.dumps(model))
        model.learn_one(x, y)
    return pickle.dumps(model, 5)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_restored_amid_its_life_is_equal(name: str) -> None:
    """Its pickle may be another one, since it has names of its own; one that learnt less is not
    equal, nor one that learnt another last digit.
    """
    make, rows = MODELS[name], list(_rows(200))
    one, other = _taught(make, rows), _taught(make, rows, 100)
    assert name != "tree" or one != other
    assert equal_but_for_sharing(one, other)
    assert not equal_but_for_sharing(one, _taught(make, rows[:-1]))
    x, y = rows[-1]
    assert not equal_but_for_sharing(one, _taught(make, [*rows[:-1], (x, y + 1e-9)]))


def test_objects_that_are_shared_are_no_texts() -> None:
    """A list that is there twice is another thing than two equal lists."""
    part: list[int] = [1]
    assert not equal_but_for_sharing(pickle.dumps([part, part]), pickle.dumps([part, [1]]))


@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps("x")[:5], pickle.dumps("x", 0)])
def test_what_is_no_such_pickle_is_equal_to_none(data: bytes) -> None:
    """Of an older protocol, broken off, or of something else."""
    assert not equal_but_for_sharing(data, pickle.dumps("x"))
