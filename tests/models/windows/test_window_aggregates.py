"""Every further aggregate equals its plain definition, and resumes to the bit anywhere."""

from __future__ import annotations

import math
import pickle
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.window_declarations import Window, over_events, over_outcomes, read, state_of
from models.task.checkpoint import parts_of, take_parts
from models.windows.decayed import (
    BUCKETS_MAX,
    CATEGORIES_MAX,
    DecayedQuantile,
    DecayedTop,
    bucket_of,
    middle_of,
)
from models.windows.distinct import SlidingDistinct
from models.windows.sliding import SlidingDeviation, SlidingQuantile
from streams.unpickling.safe_unpickler import Allowed, unpickle
from tests.support.one_partition import Partition, use_case
from tests.support.task_runs import NO_JUMPS, Inputs, Run, inputs

LAST, HALF_LIFE, LIMIT = 40.0, 15.0, 5


def value_of(_event: Any, _x: Any) -> Any:
    """Never called: the states are given their values."""
    raise NotImplementedError


SLIDING = over_events(by="key", last=LAST)
LIMITED = over_events(by="key", last=LAST, values=LIMIT)
DECAYED = over_events(by="key", half_life=HALF_LIFE)
ENDLESS = over_events(by="key")

Weighted = list[tuple[float, float, Any]]
"""(time, weight, value) of a key, in the order of time."""


def weighted(window: Window, added: list[tuple[str, float, Any]], key: str, now: float) -> Weighted:
    """What counts of a key at `now`, by the definition of the window's shape."""
    rows = sorted(((t, v) for k, t, v in added if k == key), key=lambda row: row[0])
    if window.half_life is not None:
        return [(t, 2.0 ** ((t - now) / window.half_life), v) for t, v in rows]
    if window.values is not None:
        rows = rows[-window.values :]
    return [(t, 1.0, v) for t, v in rows if window.last is None or t > now - window.last]


def deviation(rows: Weighted, _now: float) -> float | None:
    """The standard deviation of the rows, in two passes."""
    total = math.fsum(w for _, w, _ in rows)
    if not total:
        return None
    mean = math.fsum(w * v for _, w, v in rows) / total
    return math.sqrt(math.fsum(w * (v - mean) ** 2 for _, w, v in rows) / total)


def quantile(rows: Weighted, _now: float) -> float | None:
    """The lower quantile 0.3 of the rows."""
    total, below = math.fsum(w for _, w, _ in rows), 0.0
    for value, weight in sorted((v, w) for _, w, v in rows):
        below += weight
        if below >= 0.3 * total * (1 - 1e-9):
            return value
    return None


def top(rows: Weighted, _now: float) -> Any:
    """The category of most weight; of equals the first by its text."""
    weights = Counter[Any]()
    for _, weight, value in rows:
        weights[value] += weight
    most = max(weights.values(), default=None)
    return min((v for v, w in weights.items() if w == most), key=str, default=None)


def second_newest(rows: Weighted, _now: float) -> Any:
    """The value before the newest one."""
    return rows[-2][2] if len(rows) >= 2 else None


WINDOWS: dict[str, tuple[Window, Callable[[Weighted, float], Any]]] = {
    "sliding std": (SLIDING.std(value_of), deviation),
    "limited std": (LIMITED.std(value_of), deviation),
    "decayed std": (DECAYED.std(value_of), deviation),
    "sliding quantile": (SLIDING.quantile(value_of, 0.3), quantile),
    "limited quantile": (LIMITED.quantile(value_of, 0.3), quantile),
    "decayed quantile": (DECAYED.quantile(value_of, 0.3), quantile),
    "sliding top": (SLIDING.top(value_of), top),
    "limited top": (LIMITED.top(value_of), top),
    "decayed top": (DECAYED.top(value_of), top),
    "newest": (ENDLESS.latest(value_of), lambda rows, _: rows[-1][2] if rows else None),
    "lag 2": (ENDLESS.latest(value_of, lag=2), second_newest),
    "newest of late": (SLIDING.latest(value_of), lambda rows, _: rows[-1][2] if rows else None),
    "time since": (ENDLESS.time_since(), lambda rows, now: now - rows[-1][0] if rows else None),
    "distinct": (SLIDING.distinct(value_of), lambda rows, _: float(len({v for *_, v in rows}))),
}


@st.composite
def histories(draw: Any) -> list[tuple[str, str, float, int]]:
    """(verb, key, time, seed of a value): adds up to 30 s behind, reads never going back."""
    now, steps = 0.0, []
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from((0.0, 0.0, 1.0, 5.0, 15.0, 25.0, 39.0, 40.0, 300.0)))
        key = draw(st.sampled_from("ab"))
        behind = draw(st.sampled_from((0.0, 0.0, 1.0, 30.0)))
        verb = draw(st.sampled_from(("add", "add", "read")))
        steps.append((verb, key, now - behind if verb == "add" else now, draw(st.integers(0, 9))))
    return [*steps, *(("read", key, now, 0) for key in "ab")]


def a_value(name: str, seed: int) -> Any:
    """A category or a number; numbers are of any sign and size."""
    if "top" in name or name == "distinct":
        return "abcdefghij"[seed]
    return (0.0, -3.5, 1e6, 0.1, 7.0, -2e-3, 12.25, 1e6 + 0.1, 5.0, -1e4)[seed]


@pytest.mark.parametrize("name", WINDOWS)
@given(steps=histories())
@settings(max_examples=15, deadline=None)
def test_an_aggregate_equals_its_definition(name: str, steps: list[tuple[str, str, float, int]]):
    """Whatever comes out of order; only the decayed quantile is rounded, by less than 1 %."""
    window, definition = WINDOWS[name]
    state, added = state_of(window), []
    for verb, key, time, seed in steps:
        if verb == "add":
            value = a_value(name, seed)
            state.add(key, time, value)
            added.append((key, time, value))
            continue
        rows = weighted(window, added, key, time)
        expected, told = definition(rows, time), read(window, state, key, time, None)
        if name == "decayed top" and told != expected:  # powers of two may round equals apart
            weights = Counter[Any]()
            for _, weight, value in rows:
                weights[value] += weight
            assert weights[told] == pytest.approx(weights[expected], rel=1e-12)
        elif isinstance(expected, float):
            near = {"decayed quantile": 1 / 128, "decayed std": 1e-7}.get(name, 1e-9)
            spread = 0.1 * (name == "decayed std")  # 1e-7 of values to a million
            assert told == pytest.approx(expected, rel=near, abs=max(1e-9, spread))
        else:
            assert told == expected


@pytest.mark.parametrize("name", WINDOWS)
@given(steps=histories(), cut=st.integers(0, 60))
@settings(max_examples=8, deadline=None)
def test_a_state_resumes_to_the_bit_wherever_it_is_cut(
    name: str, steps: list[tuple[str, str, float, int]], cut: int
):
    """Saved as plain data, read through the list of allowed names, and carried on: same floats."""
    window, _ = WINDOWS[name]
    whole, resumed = state_of(window), state_of(window)
    for step, (verb, key, time, seed) in enumerate(steps):
        if step == cut:
            data = pickle.dumps(resumed.saved(), pickle.HIGHEST_PROTOCOL)
            resumed = state_of(window)
            resumed.restore(unpickle([data], Allowed()))
        for state in (whole, resumed):
            if verb == "add":
                state.add(key, time, a_value(name, seed))
        if verb == "read":
            told = [read(window, state, key, time, None) for state in (whole, resumed)]
            assert repr(told[0]) == repr(told[1])
    assert whole.saved() == resumed.saved()


@pytest.mark.parametrize("name", WINDOWS)
@given(steps=histories())
@settings(max_examples=8, deadline=None)
def test_reading_changes_no_later_value(name: str, steps: list[tuple[str, str, float, int]]):
    """An event that is rejected after its features were computed leaves windows as they were."""
    window, _ = WINDOWS[name]
    read_often, read_last = state_of(window), state_of(window)
    for verb, key, time, seed in steps:
        if verb == "add":
            read_often.add(key, time, a_value(name, seed))
            read_last.add(key, time, a_value(name, seed))
        else:
            read(window, read_often, key, time + 1_000.0, None)
            often, last = (read(window, s, key, time, None) for s in (read_often, read_last))
            assert repr(often) == repr(last)


@pytest.mark.parametrize("name", WINDOWS)
def test_never_more_keys_are_held_than_declared(name: str):
    """The key that was added to longest ago is dropped first."""
    window, _ = WINDOWS[name]
    state: Any = state_of(Window(**{f: getattr(window, f) for f in window.__slots__} | {"keys": 3}))
    for time, key in enumerate("abcade"):
        state.add(key, float(time), a_value(name, time))
    assert sorted(state.cells) == ["a", "d", "e"]


@pytest.mark.parametrize("name", WINDOWS)
def test_a_time_set_back_is_that_of_the_newest(name: str):
    """What was counted later than the time that an operator sets counts as of it."""
    window, _ = WINDOWS[name]
    ahead, level = state_of(window), state_of(window)
    for state, time in ((ahead, 1_000.0), (level, 100.0)):
        state.add("a", time, a_value(name, 1))
    ahead.set_back(100.0)
    for state in (ahead, level):
        state.add("a", 101.0, a_value(name, 2))
    told = [read(window, state, "a", 102.0, None) for state in (ahead, level)]
    assert told[0] == told[1]


def test_a_standard_deviation_survives_values_that_leave():
    """1e9 + {0, 1} after 1e16 has left: a running sum of squares would have lost it all."""
    state = SlidingDeviation(10.0, 5)
    state.add("a", 0.0, 1e16)
    state.add("a", 5.0, 1e9)
    state.add("a", 6.0, 1e9 + 1.0)
    assert state.read("a", 12.0) == 0.5


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_standard_deviation_is_never_of_a_negative_number(values: list[float]):
    """Whatever the sizes of the values, it is finite and not below 0."""
    for state in (SlidingDeviation(100.0, 1), state_of(DECAYED.std(value_of))):
        for time, value in enumerate(values):
            state.add("a", float(time), value)
        told = state.read("a", float(len(values)))  # type: ignore[attr-defined]
        assert told is not None
        assert 0.0 <= told <= 2e100


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
@settings(deadline=None)
def test_buckets_keep_the_order_and_the_size_of_values(a: float, b: float):
    """A larger value has no smaller bucket, and its middle is within 1/128 of it."""
    assert (bucket_of(a) <= bucket_of(b)) or a > b
    assert middle_of(bucket_of(a)) == pytest.approx(a, rel=1 / 128, abs=1e-300)


@pytest.mark.slow
def test_a_decayed_quantile_holds_a_bounded_number_of_buckets():
    """Values over a hundred powers of two: those nearest to 0 become one, the upper ones stay."""
    state, draw = DecayedQuantile(0.9, 1e9, 1), random.Random(7)
    values = [2.0 ** draw.uniform(-50, 50) for _ in range(20_000)]
    for value in values:
        state.add("a", 0.0, value)
    assert len(state.cells["a"][0]) == BUCKETS_MAX
    assert state.read("a", 0.0) == pytest.approx(sorted(values)[17_999], rel=1 / 128)


def test_a_decayed_window_runs_for_ever():
    """Powers of two are taken out before they overflow: a million half-lives change nothing."""
    state = DecayedQuantile(0.5, 1.0, 1)
    for time in range(0, 1_000_000, 97):
        state.add("a", float(time), 1.0 + time % 3)
        weights = state.cells["a"][0]
        assert all(0.0 < weight < math.inf for weight in weights.values())
    assert state.read("a", 1e6) == pytest.approx(1.0 + time % 3, rel=1 / 128)


def test_a_decayed_top_holds_a_hundred_categories_and_finds_the_usual_one():
    """A category of a fifth of all records is found among thousands that come once."""
    state = DecayedTop(1_000.0, 1)
    for time in range(5_000):
        state.add("a", float(time), "usual" if time % 5 == 0 else f"rare {time}")
    assert len(state.cells["a"][0]) == CATEGORIES_MAX
    assert state.read("a", 5_000.0) == "usual"


@pytest.mark.parametrize("seed", range(3))
def test_many_different_values_are_estimated_within_the_stated_error(seed: int):
    """Fifty thousand values from a sample of 512: within three standard errors at each look."""
    state, draw, last = SlidingDistinct(512, 1_000.0, 1), random.Random(seed), 1_000.0
    seen: dict[int, float] = {}
    for step in range(60_000):
        time = step / 20
        value = draw.randrange(100_000)
        state.add("a", time, value)
        seen[value] = time
        assert len(state.cells["a"][0]) <= 512
        if step % 5_000 == 4_999:
            true = sum(at > time - last for at in seen.values())
            assert state.read("a", time) == pytest.approx(true, rel=3 * math.sqrt(2 / 512))


def test_a_crowd_that_leaves_is_counted_exactly_again():
    """After it has gone for a few windows' lengths, few different values are few."""
    state = SlidingDistinct(64, 10.0, 1)
    for n in range(10_000):
        state.add("a", n / 1_000, n)
    assert state.read("a", 10.0) == pytest.approx(10_000, rel=0.5)
    for second in range(11, 300):
        state.add("a", float(second), second % 7)
    assert state.read("a", 299.0) == 7.0


def test_a_sliding_quantile_is_exact_at_its_ends():
    """The share 0 is the smallest value, 1 the largest; the median of four is the second."""
    for q, expected in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        state = SlidingQuantile(q, 10.0, 1)
        for value in (3.0, 1.0, 4.0, 2.0):
            state.add("a", 0.0, value)
        assert state.read("a", 1.0) == expected


FEATURES = {
    "before": over_events(by="shop").latest(lambda event, _x: event.weight),
    "colour before": over_events(by="shop").latest(lambda event, _x: event.colour, empty="none"),
    "gap": over_events(by="shop").time_since(empty=-1.0),
    "since red": over_events(by="shop").time_since(lambda e, _x: e.colour == "red" or None),
    "colours": over_events(by="shop", last=100.0).distinct(lambda event, _x: event.colour),
    "usual colour": over_events(by="shop", half_life=100.0).top(lambda event, _x: event.colour),
    "red": over_events(by="shop", last=100.0).share(lambda e, _x: e.colour == "red", empty=0.0),
    "median": over_outcomes(by="shop", last=1e4).quantile(lambda _e, o, _x: o.took, 0.5, empty=0.0),
    "spread": over_outcomes(by="shop", half_life=1e4).std(lambda _e, o, _x: o.took),
}


def told(partition: Partition) -> list[dict[str, Any]]:
    """The feature vectors that were published."""
    return [row["features"] for row in partition.of("features")]


def test_a_partition_computes_them_from_what_came_before():
    """No vector holds anything of its own event, or of an outcome that is not known by then."""
    partition = Partition(use_case(features=FEATURES, segments=None, slices={}))
    for n, (colour, weight) in enumerate((("red", 3.0), ("blue", 5.0), ("blue", 7.0))):
        partition.event(f"e{n}", 10.0 * n, colour=colour, weight=weight)
    partition.outcome("e0", 25.0, took=4.0)
    partition.event("e3", 30.0, colour="red", weight=9.0)
    first, second, third, fourth = told(partition)
    assert first == {
        "colour before": "none",
        "gap": -1.0,
        "colours": 0.0,
        "red": 0.0,
        "median": 0.0,
    }
    assert (second["before"], second["gap"], second["since red"]) == (3.0, 10.0, 10.0)
    assert (third["colours"], third["red"], third["usual colour"]) == (2.0, 0.5, "blue")
    assert "spread" not in third
    assert (fourth["median"], fourth["spread"], fourth["usual colour"]) == (4.0, 0.0, "blue")
    assert fourth["since red"] == 30.0


@given(given_=inputs(), share=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_a_task_with_them_goes_on_anywhere_as_if_it_had_not_been_cut(given_: Inputs, share: float):
    """Its parts, pickled and put into a fresh task: all that follows is the same bytes."""
    cut, case = round(share * len(given_.order)), use_case(**NO_JUMPS, features=FEATURES)
    whole, restored = Run(case), Run(case)
    whole.give(given_.order[:cut])
    whole.task.seal()
    parts, ids = pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    take_parts(restored.task, parts, ids)
    restored.offsets = list(whole.offsets)
    assert restored.give(given_.order[cut:]) == whole.give(given_.order[cut:])


def test_a_category_that_is_none_is_refused_by_its_window():
    """A list is no category: the event is a dead letter that names the window."""
    wrong = over_events(by="shop", last=9.0).top(lambda event, _x: [event.colour])
    partition = Partition(use_case(features={"usual": wrong}, segments=None, slices={}))
    partition.event("e0", 0.0)
    (letter,) = partition.of("dead-letter")
    assert "window 'usual'" in letter["error"]
    assert "a text or a whole number" in letter["error"]
