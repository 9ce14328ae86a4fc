"""The simple rule that is best on a recording is found, and is what a file can declare."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from models.validation.simple_rules import LabelledRow, joined, ranked
from schemas.timestamps import moment

HOUR = 3_600.0


def examples(label: Callable[[int, str], Any], count: int = 600) -> list[LabelledRow]:
    """One an hour of one of three shops; the label is known half an hour later."""
    draw = Random(3)
    rows = []
    for n in range(count):
        shop = draw.choice(("a", "b", "c"))
        fields = {"shop": shop, "size": float(n % 7), "comment": f"n{n}"}
        rows.append(LabelledRow(n * HOUR, n * HOUR + 1_800, fields, label(n, shop)))
    return rows


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (lambda n, shop: float(n * 3), "the last value"),
        (lambda n, shop: {"a": 1.0, "b": 5.0, "c": 9.0}[shop], "the last value of shop"),
        (lambda n, shop: float(n % 24 * 7 % 24), "the mean by the hour of the day"),
        (lambda n, shop: float(n % 7), "the field size as it is"),
        (lambda n, shop: {"a": "x", "b": "y", "c": "x"}[shop], "by shop"),
        (lambda n, shop: shop == "b", "by shop"),
    ],
)
def test_the_rule_that_the_data_follow_is_the_best(label: Any, words: str):
    """Each is planted in data, and is found first or with the same error as the first."""
    ranking = ranked(examples(label), "took")
    best = [one.rule.words for one in ranking if one.error == ranking[0].error]
    assert any(words in text for text in best) or words in ranking[0].rule.words, ranking[:3]


def test_no_rule_sees_a_label_before_it_is_known():
    """Labels that take a day: the last value that is known is a day old."""
    late = [one._replace(known=one.asked + 24 * HOUR) for one in examples(lambda n, s: float(n))]
    error = next(one.error for one in ranked(late, "took") if one.rule.words == "the last value")
    assert error == pytest.approx(24.0)


def test_rows_without_time_or_label_are_no_examples():
    """The label of a row without an outcome's time counts as known right after it."""
    rows = [
        {"event_id": "1", "event_time": "2024-01-01T00:00:00Z", "shop": "a", "took": 3},
        {"event_id": "2", "event_time": None, "took": 3},
        {"event_id": "3", "event_time": "2024-01-01T00:00:00Z", "took": None},
        {"event_time": "2024-01-01T00:00:00Z", "outcome_time": "2024-01-01T01:00:00Z", "took": 1},
    ]
    joined_rows = joined(rows, "took", "event_time", moment)
    assert [one.known - one.asked for one in joined_rows] == [0.0, 3600.0]
    assert joined_rows[0].fields == {"event_time": "2024-01-01T00:00:00Z", "shop": "a"}
    assert ranked([], "took") == []


@pytest.mark.parametrize("label", ["took-s", 'a"b', "class", "ﬁ", "__import__('os')"])
def test_names_are_no_code(label: str):
    """Labels and fields that Python could not read as names are ranked or passed over."""
    odd = [
        one._replace(fields={**one.fields, "class": "x", "lambda": 1.0, "ﬁ": "y", "a b": "z"})
        for one in examples(lambda n, shop: float(n % 7), 100)
    ]
    assert ranked(odd, label)[0].rule.words == "the field size as it is"
