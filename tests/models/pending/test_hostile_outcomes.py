"""Outcomes of a folded label as a hostile producer sends them: refused in words, and bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from models.inputs.decoder import EVENTS, OUTCOMES
from models.spec.label_fold import LabelFold
from models.values.durations import hours
from tests.models.task.test_folded_labels import UNTIL, Sale, asked, folded, run, sale
from tests.support.one_partition import at, order
from tests.support.task_runs import Given, Run, given_record

CASE = replace(folded(horizon=hours(1), id_retention=hours(3)), max_jump=hours(2))


class Nameless(Sale):
    """A sale whose id may be missing."""

    outcome_id: str | None = None  # type: ignore[assignment]


def raw(**fields: Any) -> Given:
    """An outcome with these fields."""
    plain = {"event_id": "e", "outcome_id": "o", "outcome_time": at(9), "took": 1.0}
    return Given(OUTCOMES, b"a", orjson.dumps(plain | fields))


def errors(task: Run) -> list[str]:
    """Return the texts of its dead letters."""
    return [letter["error"] for letter in task.of("dead-letter")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"outcome_id": None}, "outcome_id"),
        ({"outcome_id": ""}, "has none"),
        ({"outcome_id": "x" * 10_000}, "one of 10000 characters"),
        ({"outcome_id": 7}, "outcome_id"),
        ({"event_id": "e" * 10_000}, "event_id"),
        ({"event_id": "e\x00"}, "event_id"),
        ({"took": float("inf")}, "took"),
        ({"outcome_time": "3024-01-01T00:00:00Z"}, "year"),
        ({"outcome_time": at(hours(1.5))}, "is closed"),
        ({"outcome_time": at(hours(20))}, "ahead of all others"),
    ],
)
def test_what_cannot_be_used_is_a_dead_letter_that_says_why(
    fields: dict[str, Any], words: str
) -> None:
    """One letter each, and the event's label is what it would have been."""
    end = Given(EVENTS, b"a", orjson.dumps(order("x", UNTIL + 1)))
    task = run(CASE, [asked("e", 0), sale("e", "p", 10, 2.0), raw(**fields), end])
    (example,) = [row for row in task.of("examples") if row["event_id"] == "e"]
    assert example["label"] == 2.0
    assert [words in error for error in errors(task)] == [True]


def test_an_outcome_without_an_id_is_no_correction_of_another_one() -> None:
    """Where the field may be missing, two outcomes without it are two dead letters."""
    case = folded(outcome=Nameless)
    task = run(case, [asked("e", 0), raw(outcome_id=None), raw(outcome_id=None, took=3.0)])
    assert ["has none" in error for error in errors(task)] == [True, True]


def test_unicode_ids_are_told_apart() -> None:
    """Ids that look alike are different, and every script is an id."""
    ids = ["é", "e\u0301", "日本", "🐟", "\u202eo", "o\u200b"]
    records = [raw(outcome_id=name) for name in ids]
    task = run(CASE, [asked("e", 0), *records, *records, asked("x", UNTIL + 1)])
    assert [row["label"] for row in task.of("examples")] == [6.0]
    assert task.task.counts["repeats"] == len(ids)


def test_outcomes_with_one_id_and_time_and_other_bodies_have_one_winner_in_any_order() -> None:
    """The one that counts depends on what they are, and not on the order."""
    bodies = [raw(took=float(n)) for n in range(20)]
    labels = {
        run(CASE, [asked("e", 0), *order_, asked("x", UNTIL + 1)]).of("examples")[0]["label"]
        for order_ in (bodies, bodies[::-1], [*bodies[7:], *bodies[:7], *bodies])
    }
    assert len(labels) == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_early", [True, False])
def test_a_hundred_thousand_outcomes_of_one_event_take_bounded_room(is_early: bool) -> None:
    """Before the event the early limit holds them, after it the fold's; all others are told."""
    count, early = 100_000, 500
    fold = LabelFold("count", until=UNTIL, limit=200)
    case = folded(label=fold, early_limit=early, features={"weight": lambda e: e.weight})
    flood = [raw(outcome_id=f"o{n}") for n in range(count)]
    task = run(case, flood if is_early else [asked("e", 0), *flood])
    if is_early:
        assert len(task.task.ledger.early) == early
        assert task.task.counts["evicted"] == count - early
        task.give([asked("e", 0)])
    assert len(task.task.collected.of("e")) == 200
    assert len(errors(task)) == count - 200
    assert "limit of its label's fold" in errors(task)[-1]
    task.give([asked("x", UNTIL + 1)])
    assert [row["label"] for row in task.of("examples")] == [200]


def test_large_outcomes_take_no_more_than_waiting_bytes() -> None:
    """What is collected of all events together is bounded; a correction may take its own room."""
    case = folded(waiting_bytes=100_000)
    events = [asked(f"e{n}", n) for n in range(10)]
    outcomes = [
        raw(event_id=f"e{n}", outcome_id=f"o{m}", junk="x" * 5_000)
        for m in range(5)
        for n in range(10)
    ]
    task = run(case, [*events, *outcomes])
    assert task.task.collected.bytes <= 100_000
    refused = errors(task)
    assert refused
    assert all("waiting_bytes" in error for error in refused)
    task.give([raw(event_id="e0", outcome_id="o0", outcome_time=at(20), junk="x" * 5_000)])
    assert len(errors(task)) == len(refused)
    task.give([given_record(EVENTS, ("a", order("x", UNTIL + 60)))])
    task.give([given_record(EVENTS, ("a", order("y", 3 * UNTIL)))])
    assert task.task.collected.bytes == 0
