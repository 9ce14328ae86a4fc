"""Outcomes of implausible value: held, released, corrected, forgotten."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from models.spec.use_case import Kpi
from models.task.checkpoint import parts_of, take_parts
from models.validation import mistakes
from models.values.durations import hours, minutes
from tests.support.one_partition import Partition, letters, use_case

BOUNDED: dict[str, Any] = {"plausible": (0.0, 100.0), "max_jump": 1e9}


def partition(**changes: Any) -> Partition:
    """One whose labels are plausible from 0 to 100."""
    return Partition(use_case(**(BOUNDED | changes)))


def release(feed: Partition, command_id: str, *ids: str) -> list[str]:
    """Release these; which of them were held."""
    outputs = feed.command(command_id, "release", event_ids=list(ids))
    told = [out.value for out in outputs if out.kind == "lifecycle"]
    assert [row["to_state"] for row in told] == ["released"]
    assert told[0]["who"] == "ann"
    released: list[str] = told[0]["evidence"]["released"]
    return released


def test_an_implausible_outcome_is_held_and_changes_no_model() -> None:
    """No example, no score, no window: a dead letter that names the command."""
    feed, without = partition(), partition()
    for one in (feed, without):
        one.event("e1", 0)
    letter = letters(feed.outcome("e1", 60, took=65_535.0))[0]
    assert letter["error_class"] == "quarantined"
    assert "riverrun release parcels e1 --why" in letter["error"]
    assert "65535.0 is not between 0 and 100" in letter["error"]
    assert feed.of("examples") == []
    assert feed.task.counts["quarantined"] == 1
    for one in (feed, without):
        one.event("e2", 120)
    assert feed.of("predictions")[1]["shadows"] == without.of("predictions")[1]["shadows"]
    assert feed.of("features")[1]["features"] == without.of("features")[1]["features"]


def test_a_released_outcome_is_learnt_as_it_would_have_been() -> None:
    """By id, with who and why; models and windows are then those of a run without bounds."""
    feed, free = partition(), partition(plausible=None)
    for one in (feed, free):
        one.event("e1", 0)
        one.outcome("e1", 60, took=500.0)
    assert release(feed, "c1", "e1", "e9") == ["e1"]
    example, other = feed.of("examples")[0], free.of("examples")[0]
    assert example["learnt"] is True
    assert example | {"step": 0} == other | {"step": 0}
    for one in (feed, free):
        one.event("e2", 120)
    assert feed.of("predictions")[1]["shadows"] == free.of("predictions")[1]["shadows"]
    assert feed.of("features")[1]["features"] == free.of("features")[1]["features"]
    assert release(feed, "c2", "e1") == [], "it is not held any more"
    assert feed.task.counts["released"] == 1


def test_the_command_is_refused_without_ids_and_obeyed_once() -> None:
    """Repeated, it does nothing; a partition that holds none of them says so."""
    feed = partition()
    assert "names no event" in letters(feed.command("c1", "release"))[0]["error"]
    feed.event("e1", 0)
    feed.outcome("e1", 60, took=-1.0)
    assert release(feed, "c2", "e1") == ["e1"]
    assert feed.command("c2", "release", event_ids=["e1"]) == []
    assert release(feed, "c3", "nobody") == []


def test_a_plausible_second_outcome_is_a_correction() -> None:
    """It is learnt and the held one dropped; an implausible other one is refused."""
    feed = partition()
    feed.event("e1", 0)
    feed.outcome("e1", 60, took=700.0)
    assert feed.outcome("e1", 60, took=700.0) == []
    assert feed.task.counts["repeats"] == 1
    again = letters(feed.outcome("e1", 70, took=900.0))[0]
    assert again["error_class"] == "conflicting"
    feed.outcome("e1", 80, took=7.0)
    assert [row["label"] for row in feed.of("examples")] == [7.0]
    assert release(feed, "c1", "e1") == []
    assert letters(feed.outcome("e1", 90, took=700.0))[0]["error_class"] == "conflicting"
    assert feed.task.maturity.arrivals.curve.labels == 1, "one outcome came, however often"


def test_it_is_held_until_the_memory_ends_and_no_default_is_learnt_of_it() -> None:
    """Past the horizon it can still be released; past the memory it cannot."""
    feed = partition(horizon=hours(1), id_retention=hours(3), label_on_timeout=50.0)
    for n in (1, 2):
        feed.event(f"e{n}", n)
        feed.outcome(f"e{n}", 60 + n, took=500.0)
    feed.event("later", hours(2))
    assert feed.task.counts["expired"] == 2
    assert feed.of("examples") == []
    assert release(feed, "c1", "e1") == ["e1"]
    assert [row["label"] for row in feed.of("examples")] == [500.0]
    feed.event("last", hours(4))
    assert feed.task.quarantine.held == {}
    assert release(feed, "c2", "e2") == []


def test_a_late_one_is_late_and_not_held() -> None:
    """It would not be learnt anyway."""
    feed = partition(horizon=hours(1))
    feed.event("e1", 0)
    feed.event("e2", hours(1) + 60)
    assert letters(feed.outcome("e1", hours(1) + 90, took=500.0)) == []
    assert feed.of("examples")[0]["learnt"] is False


def test_what_is_held_is_bounded() -> None:
    """The oldest makes room, and is then not held any more."""
    feed = partition(early_limit=3)
    for n in range(5):
        feed.event(f"e{n}", n)
        feed.outcome(f"e{n}", 60 + n, took=500.0)
    assert list(feed.task.quarantine.held) == ["e2", "e3", "e4"]
    assert release(feed, "c1", "e0", "e4") == ["e4"]


def test_it_is_held_across_a_cut() -> None:
    """And released after it, to the same models."""
    whole, other = partition(), partition()
    whole.event("e1", 0)
    whole.outcome("e1", 60, took=500.0)
    state = pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    take_parts(other.task, *state)
    other.offsets = list(whole.offsets)
    for feed in (whole, other):
        assert release(feed, "c1", "e1") == ["e1"]
        feed.event("e2", 120)
    assert other.of("predictions")[0] == whole.of("predictions")[1]
    assert other.task.quarantine.ends == whole.task.quarantine.ends


def test_a_function_of_event_and_outcome_decides_as_well() -> None:
    """For classes there is nothing else; what it raises is about this outcome."""
    by_weight = partition(plausible=lambda e, o: o.took < 10 * e.weight)
    by_weight.event("e1", 0, weight=2.0)
    assert "not plausible" in letters(by_weight.outcome("e1", 60, took=21.0))[0]["error"]
    broken = partition(plausible=lambda e, o: o.nothing)
    broken.event("e1", 0)
    assert letters(broken.outcome("e1", 60))[0]["error_class"] == "malformed"


def test_bounds_that_cannot_be_right_are_found() -> None:
    """In wrong order; of classes; a function of something else."""
    yes = {
        "kind": "binary",
        "metric": "f1",
        "limits": None,
        "label": lambda _e, o: o.took > 7,
        "baseline": lambda _e: True,
        "kpi": Kpi(lambda _e, _o, _s: 1.0, unit="EUR", better="lower", range=(0, 1)),
    }
    cases = (
        (use_case(plausible=(5, 1)), "not in order"),
        (use_case(plausible=(0, 1), **yes), "no bounds"),
        (use_case(plausible=lambda e: True), "takes (e)"),
        (use_case(plausible="high"), "pair of finite numbers"),
    )
    for case, words in cases:
        errors = [str(mistake) for mistake in mistakes(case)]
        assert any(words in text for text in errors), errors


@pytest.mark.parametrize("length", [minutes(5), hours(5)])
def test_an_early_implausible_outcome_is_held_once_its_event_comes(length: float) -> None:
    """What waits for its event is judged when that comes."""
    feed = partition(horizon=hours(10))
    feed.outcome("e1", length, took=500.0)
    assert [letter["error_class"] for letter in letters(feed.event("e1", length - 60))] == [
        "quarantined"
    ]
    assert release(feed, "c1", "e1") == ["e1"]
