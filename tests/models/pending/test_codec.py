"""A waiting prediction as bytes: exactly what was put in, in about twice its features."""

from __future__ import annotations

import json
import math
import tracemalloc
from enum import StrEnum
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scale import Stream
from benchmarks.scale import use_case as wide
from models.metrics.issued_predictions import IssuedPredictions
from models.pending.codec import Codec, PendingPrediction
from models.spec.experiment_arms import Drawn
from models.task import state
from tests.support.one_partition import FEATURES, Order, use_case
from tests.support.task_runs import CASES, FEW, Inputs, Run, inputs

CLASSES = {"kind": "multiclass", "metric": "accuracy", "target": "label", "limits": None}
NUMBERS = st.floats() | st.integers() | st.sampled_from([-0.0, math.nan, math.inf, 2**64, -(2**70)])
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
PROBABILITIES = st.dictionaries(WORDS | st.integers() | st.booleans(), st.floats(0, 1), max_size=3)
ANSWERS = st.floats() | st.none() | st.just("-")
EVENTS = st.dictionaries(
    st.sampled_from([*Order.model_fields, "unknown", ',"shop":', "\x01"]) | WORDS,
    NUMBERS | WORDS | st.none() | st.lists(WORDS, max_size=2),
    max_size=9,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",\t", ":\n")])


def packing(**changes: Any) -> Codec:
    """Of the parcels."""
    return Codec(use_case(**changes))


def waiting(issued: tuple[Any, ...], event: bytes = b"{}", x: Any = ()) -> PendingPrediction:
    """One that waits."""
    return PendingPrediction(5.0, event, x, IssuedPredictions(*issued), False, False, None)


def same(left: Any, right: Any) -> bool:
    """To the bit, and of the same types: `repr` tells NaN, -0.0, 1 and True apart."""
    return repr(left) == repr(right) and type(left) is type(right)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """An event as any producer may write it."""
    body = {"event_id": draw(WORDS), **draw(EVENTS)}
    text = json.dumps(body, separators=draw(SEPARATORS), ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from([text.encode(), b"\x00" + text.encode() + b"\xff"]))


@pytest.mark.slow
@given(
    event=events(),
    issued=st.builds(
        IssuedPredictions,
        st.floats(),
        st.lists(ANSWERS, max_size=3).map(tuple),
        st.dictionaries(WORDS, st.floats() | st.none(), max_size=2),
        st.floats(),
        st.sampled_from(["champion", "challenger", "pooled", "baseline", "holdout"]),
        st.none() | st.tuples(st.floats(), st.floats()),
        st.booleans(),
        st.none() | st.builds(Drawn, WORDS, st.integers(0, 31), WORDS),
        st.none() | st.tuples(NUMBERS, NUMBERS),
        st.none() | st.integers(0, 9),
    ),
    x=st.dictionaries(st.sampled_from(list(FEATURES)), NUMBERS | WORDS | st.booleans()),
    flags=st.tuples(st.booleans(), st.booleans(), st.none() | st.binary(max_size=9)),
)
@settings(max_examples=100, deadline=None)
def test_a_number_s_prediction_comes_back_to_the_bit(
    event: bytes,
    issued: IssuedPredictions,
    x: dict[str, Any],
    flags: tuple[bool, bool, bytes | None],
):
    """Whatever the producer wrote, whatever was said: NaN, infinity, large whole numbers, any text.
    Whole, its features come back too; else those that the event has are read from it.
    """
    one = PendingPrediction(1.5, event, x, issued, *flags)
    whole = packing().packed(one, whole=True)
    # NaN is equal to nothing, so what is held against itself may stay as it is.
    if isinstance(whole, bytes):
        assert same(packing().opened(whole), one)
    assert isinstance(whole, bytes) or (issued.drawn is not None and "nan" in repr(one))
    packed = packing().packed(one)
    if isinstance(packed, bytes):
        back = packing().opened(packed)
        assert same(back._replace(x=x), one)
        assert len(back.x) < len(FEATURES)


@given(shares=PROBABILITIES, given_=st.none() | st.lists(WORDS | st.integers(), max_size=3))
@settings(deadline=None)
def test_classes_come_back_with_their_probabilities_in_order(
    shares: dict[Any, float], given_: list[Any] | None
):
    """Text, whole numbers and yes/no as classes."""
    answer = (next(iter(shares), "a"), shares)
    one = waiting((answer, (answer, None), {}, answer, "pooled", given_, True, None, None, None))
    packed = packing(**CLASSES).packed(one)
    assert isinstance(packed, bytes)
    assert same(packing(**CLASSES).opened(packed), one)


class Colour(StrEnum):
    """A class that an author may name so."""

    RED = "red"


@pytest.mark.parametrize("odd", [Colour.RED, numpy.str_("red"), (1, numpy.float64(2.0))])
def test_what_cannot_be_given_back_stays_as_it_is(odd: Any):
    """No type is changed in silence: numpy's would come back as bytes."""
    answer = ("a", {odd: 1.0})
    one = waiting((answer, (), {}, answer, "pooled", None, True, None, None, None))
    assert packing(**CLASSES).packed(one) is one


@pytest.mark.slow
@given(given_=inputs())
@FEW
@pytest.mark.parametrize("case", CASES)
def test_what_is_at_hand_changes_nothing(case: str, given_: Inputs):
    """With all packed at once, every output is the same, byte for byte."""
    run = Run(CASES[case])
    run.give(given_.order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "LIVE_MAX", 1)
        packed = Run(CASES[case])
        packed.give(given_.order)
    assert packed.outputs == run.outputs
    assert packed.task.seal() == run.task.seal()
    assert packed.task.counts == run.task.counts
    at_hand = [e for e in packed.task.ledger.entries.values() if isinstance(e, PendingPrediction)]
    assert len(at_hand) <= 1


@pytest.mark.slow
def test_a_waiting_prediction_takes_about_twice_its_features():
    """8,000 of ten features: bytes, id, dictionary and agenda together, against the features as
    they went to their topic. They hold the event, what was said, and all else that is learnt from.
    """
    stream = Stream(wide(), delay=10**9)
    tracemalloc.start()
    try:
        # Those at hand are there before and after.
        stream.play(3_000)
        features = stream.features_bytes()
        before = tracemalloc.get_traced_memory()[0]
        stream.play(8_000)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert sum(isinstance(e, bytes) for e in stream.task.ledger.entries.values()) > 8_000
    assert held / 8_000 < 2.1 * features
