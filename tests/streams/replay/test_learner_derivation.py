"""Versions on the topic beside those that are derived again."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from models.outputs.output_records import Output
from models.task.learner_task import LearnerTask
from models.training.versions import ENCODING, PICKLE, STATE
from streams.replay.learner_derivation import VerifiedVersions, _Comparison
from tests.chaos.shipments import SHIPMENTS

CASE = replace(SHIPMENTS, learning="shared")
VALUE = b'{"seq":0}'


def _learner(rows: int, restored_at: int | None = None) -> LearnerTask:
    """Return a learner whose tree has learnt so many rows, and was restored amid them."""
    task = LearnerTask(CASE, partitions=2, definition="d")
    slot = task.router.pooled["trees"]
    for n in range(rows):
        if n == restored_at:
            slot.model = pickle.loads(pickle.dumps(slot.model))
        x = orjson.loads(orjson.dumps({"weight": n % 13 / 2, "miles": n % 7, "nth": n}))
        slot.learn(x, 1.0 + n % 7, None)
    return task


@pytest.mark.parametrize(("rows", "same"), [(300, True), (299, False)])
def test_a_tree_of_a_learner_that_was_restored_is_the_same_and_is_not_read(
    rows: int, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version on the topic has names of its own; one that learnt less is another."""
    published, derived = _learner(rows, restored_at=150), _learner(300)
    verified = VerifiedVersions()
    comparison = _Comparison(verified)
    comparison.watch(derived, None)
    read: list[Any] = []

    def unpickle(data: list[bytes], _: Any) -> Any:
        read.append(data)
        return pickle.loads(b"".join(data))

    monkeypatch.setattr("streams.replay.learner_derivation.unpickle", unpickle)
    state = dict(comparison.pack(published.router.pooled["trees"], b""))[STATE]
    headers = ((ENCODING, PICKLE), (STATE, zlib.compress(state)))
    comparison.published.append(SimpleNamespace(offset=0, value=VALUE, headers=headers))
    again = comparison.pack(derived.router.pooled["trees"], b"")
    assert dict(again)[STATE] != state
    comparison.outputs([Output("models", b"trees", VALUE, again)])
    assert (verified.checked, verified.different is None) == (int(same), same)
    assert bool(read) is not same
