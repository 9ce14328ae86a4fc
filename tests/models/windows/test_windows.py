"""Windows equal their plain definition, whatever the order of what they are given."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.window_declarations import Window, over_events, over_outcomes, read, state_of
from models.windows.decayed import Decayed
from models.windows.exact_sum import add_exactly
from models.windows.sliding import Sliding
from tests.support.one_partition import Partition, use_case

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)
TIMES = st.integers(0, 200).map(float)
LAST, HALF_LIFE = 40.0, 15.0

Added = tuple[str, float, float]
"""(key, time, value)."""


@st.composite
def histories(draw: Any) -> list[tuple[str, Any]]:
    """Adds and reads as a task makes them: adds up to 30 s behind, reads never going back."""
    now, steps = 0.0, []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from((0.0, 0.0, 1.0, 5.0, 15.0, 25.0, 39.0, 40.0, 300.0)))
        key = draw(st.sampled_from("abc"))
        if draw(st.booleans()):
            behind = draw(st.sampled_from((0.0, 0.0, 1.0, 30.0)))
            steps.append(("add", (key, now - behind, draw(VALUES))))
        else:
            steps.append(("read", (key, now)))
    return [*steps, *(("read", (key, now)) for key in "abc")]


def brute(window: Window, added: list[Added], key: str, now: float, prior: float) -> float:
    """The definition, from all that was ever added."""
    own = [(time, value) for of, time, value in added if of == key]
    if window.last is not None:
        weighted = [(value, 1.0) for time, value in own if time > now - window.last]
    else:
        assert window.half_life is not None
        weighted = [(value, 0.5 ** ((now - time) / window.half_life)) for time, value in own]
    weight = math.fsum(w for _, w in weighted)
    total = math.fsum(value * w for value, w in weighted)
    if window.aggregate == "count":
        return weight
    if window.aggregate == "sum":
        return total
    if window.aggregate == "mean":
        if not weight + window.weight:
            return prior
        return (total + window.weight * prior) / (weight + window.weight)
    values = [value for value, _ in weighted]
    if not values:
        return prior
    return min(values) if window.aggregate == "min" else max(values)


def of_value(_event: Any, _x: Any) -> float:
    """Never called here: the states are given their values."""
    raise NotImplementedError


SLIDING = over_events(by="key", last=LAST)
DECAYED = over_events(by="key", half_life=HALF_LIFE)
WINDOWS = {
    "sliding count": SLIDING.count(),
    "sliding sum": SLIDING.sum(of_value),
    "sliding mean": SLIDING.mean(of_value, empty=7.0),
    "sliding shrunk mean": SLIDING.mean(of_value, prior=3.0, weight=2.0),
    "sliding min": SLIDING.min(of_value, empty=-1.0),
    "sliding max": SLIDING.max(of_value, empty=-1.0),
    "decayed count": DECAYED.count(),
    "decayed sum": DECAYED.sum(of_value),
    "decayed mean": DECAYED.mean(of_value, empty=7.0),
    "decayed shrunk mean": DECAYED.mean(of_value, prior=3.0, weight=2.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WINDOWS)
@given(steps=histories())
@settings(max_examples=60, deadline=None)
def test_a_window_equals_its_definition_by_brute_force(name: str, steps: list[tuple[str, Any]]):
    """Each read, at any time and whatever came out of order, within 1e-9 of the largest value."""
    window = WINDOWS[name]
    prior = window.prior if isinstance(window.prior, float) else window.empty or 0.0
    state, added = state_of(window), []
    for verb, (key, time, *value) in steps:
        if verb == "add":
            state.add(key, time, *value)
            added.append((key, time, *value))
            continue
        expected = brute(window, added, key, time, prior)
        largest = max((abs(value) for _, _, value in added), default=0.0)
        assert read(window, state, key, time, prior) == pytest.approx(
            expected, rel=1e-9, abs=1e-9 * max(1.0, largest)
        )


@given(
    st.lists(st.floats(-1e100, 1e100), max_size=60),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_sliding_sums_do_not_drift(values: list[float], random: Any):
    """Values of any size come and go in any order: what is left is summed exactly."""
    partials: list[float] = []
    entries = []
    for value in values:
        add_exactly(partials, value)
        entries.append(value)
        while entries and random.random() < 0.45:
            add_exactly(partials, -entries.pop(random.randrange(len(entries))))
    assert math.fsum(partials) == math.fsum(entries)
    assert len(partials) < 40


def test_a_huge_value_that_left_has_left_nothing():
    """1e16 + 1 - 1e16 is 1, not 0: a naive running sum would have lost it."""
    state = Sliding(10.0, 5)
    state.add("a", 0.0, 1e16)
    state.add("a", 5.0, 1.0)
    assert state.sums("a", 6.0) == (1e16 + 1.0, 2.0)
    assert state.sums("a", 11.0) == (1.0, 1.0)


def test_a_value_counts_until_exactly_its_age_is_last():
    """At t it counts, just before t + last it counts, at t + last it does not."""
    state = Sliding(10.0, 5)
    state.add("a", 0.0, 3.0)
    assert state.sums("a", 0.0) == (3.0, 1.0)
    assert state.sums("a", math.nextafter(10.0, 0.0)) == (3.0, 1.0)
    assert state.sums("a", 10.0) == (0.0, 0.0)


def test_a_value_that_came_out_of_order_leaves_at_its_own_time():
    """Not with the newer one that it came after."""
    state = Sliding(10.0, 5)
    state.add("a", 9.0, 1.0)
    state.add("a", 5.0, 4.0)
    assert state.sums("a", 9.0) == (5.0, 2.0)
    assert state.sums("a", 15.0) == (1.0, 1.0)
    assert state.values("a", 15.0) == [1.0]


def test_a_decayed_value_is_half_after_its_half_life():
    """And a half of that after another."""
    state = Decayed(10.0, 5)
    state.add("a", 0.0, 8.0)
    assert [state.sums("a", t)[0] for t in (0.0, 10.0, 20.0, 30.0)] == [8.0, 4.0, 2.0, 1.0]


def test_a_decayed_value_that_fades_to_nothing_raises_nothing():
    """A million half-lives later its mean is the prior's."""
    state = Decayed(1.0, 5)
    state.add("a", 0.0, 8.0)
    assert state.sums("a", 1e6) == (0.0, 0.0)
    assert read(DECAYED.mean(of_value, empty=7.0), state, "a", 1e6, 7.0) == 7.0


@pytest.mark.parametrize("make", [lambda: Sliding(100.0, 3), lambda: Decayed(100.0, 3)])
def test_the_key_that_was_updated_longest_ago_is_dropped_first(make: Any):
    """Reading is no use: only adding keeps a key. At most `keys` are held."""
    state = make()
    for key in "abc":
        state.add(key, 0.0, 1.0)
    state.add("a", 1.0, 1.0)
    state.sums("b", 1.0)
    state.add("d", 2.0, 1.0)
    assert sorted(state.cells) == ["a", "c", "d"]
    state.add("e", 3.0, 1.0)
    assert sorted(state.cells) == ["a", "d", "e"]
    assert state.sums("b", 3.0) == (0.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 30), TIMES), max_size=80), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_never_more_keys_are_held_than_declared(added: list[tuple[int, float]], keys: int):
    """Whatever comes, in cells and in their sums."""
    sliding, decayed = Sliding(50.0, keys), Decayed(50.0, keys)
    for key, time in added:
        sliding.add(key, time, 1.0)
        decayed.add(key, time, 1.0)
        assert len(sliding.cells) <= keys
        assert sliding.cells.keys() == sliding.totals.keys()
        assert len(decayed.cells) <= keys


def test_values_that_no_record_can_ask_for_any_more_are_dropped():
    """A busy key holds what is younger than `last`, not its whole history."""
    state = Sliding(10.0, 5)
    for second in range(10_000):
        state.add("a", float(second), 1.0)
        assert state.sums("a", float(second))[1] == min(second + 1, 10)
    assert len(state.cells["a"]) <= 11
    assert len(state.totals["a"]) <= 2


@given(histories())
@settings(max_examples=60, deadline=None)
def test_reading_changes_no_later_value(steps: list[tuple[str, Any]]):
    """A record that is rejected after its features were read leaves the windows as they were."""
    read_often, read_last = Sliding(LAST, 5), Sliding(LAST, 5)
    for verb, (key, time, *value) in steps:
        if verb == "add":
            read_often.add(key, time, *value)
            read_last.add(key, time, *value)
        else:
            # Ahead of the others, as a record that is then rejected may be.
            read_often.sums(key, time + 1_000.0)
            read_often.values(key, time + 1_000.0)
            assert read_often.sums(key, time) == read_last.sums(key, time)
            assert sorted(read_often.values(key, time)) == sorted(read_last.values(key, time))


def test_a_declared_window_knows_its_parts():
    """`by` is a tuple, durations are seconds; each aggregate starts from what it says."""
    window = over_outcomes(by=("a", "b"), half_life=60)
    assert (window.over, window.by, window.half_life, window.last) == (
        "outcomes",
        ("a", "b"),
        60,
        None,
    )
    assert over_events(by="a", last=1).by == ("a",)
    empty = read(SLIDING.sum(of_value), Sliding(1.0, 1), "a", 0.0, 0.0)
    assert (empty, read(SLIDING.count(), Sliding(1.0, 1), "a", 0.0, 0.0)) == (0.0, 0.0)
    assert isinstance(state_of(window), Decayed)
    assert isinstance(state_of(over_events(by="a", last=1)), Sliding)


def test_a_long_key_is_kept_by_its_beginning_and_its_digest():
    """Two long texts that differ in the end alone are two keys, and neither is kept whole."""
    partition = Partition(use_case(features={"seen": over_events(by="shop", last=60).count()}))
    for n, end in enumerate(("x", "y", "x")):
        partition.event(f"e{n}", n, shop="s" * 1_000 + end)
    assert [row["features"]["seen"] for row in partition.of("features")] == [0.0, 0.0, 1.0]
    (state,) = partition.task.featurizer.states.values()
    assert [len(key) for key in state.cells] == [193, 193]


@pytest.mark.parametrize("kind", ["mean", "std", "quantile"])
def test_a_sliding_window_keeps_what_counts_also_where_nobody_reads(kind: str) -> None:
    """What no record can ask for any more leaves with what is added."""
    arguments = {"mean": {"empty": 0.0}, "std": {}, "quantile": {"q": 0.5}}[kind]
    state: Any = state_of(getattr(SLIDING, kind)(of_value, **arguments))
    for second in range(1_000):
        state.add("a", float(second), 1.0)
    assert len(state.cells["a"]) == LAST


def test_what_set_back_leaves_does_not_hang_on_who_has_read() -> None:
    """A state that several partitions read is the same as one of a partition alone."""
    windows: list[Any] = [state_of(SLIDING.count()) for _ in range(2)]
    for window in windows:
        window.add("a", 0.0, 1.0)
        window.add("b", 100.0, 1.0)
    windows[0].sums("a", 100.0)
    for window in windows:
        window.set_back(10.0)
    assert [window.sums("a", 10.0) for window in windows] == [(0.0, 0.0)] * 2


def test_a_copy_of_a_sliding_window_shares_nothing() -> None:
    """Each goes on by itself."""
    one: Any = state_of(SLIDING.std(of_value))
    one.add("a", 0.0, 1.0)
    other = one.copied()
    other.add("a", 1.0, 5.0)
    other.add("b", 1.0, 5.0)
    assert (one.read("a", 1.0), other.read("a", 1.0)) == (0.0, 2.0)
    assert list(one.cells) == ["a"]
