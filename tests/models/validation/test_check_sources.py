"""Every mistake in a source is found, at its line, with a way to mend it."""

from __future__ import annotations

import pytest

from models.validation import mistakes
from tests.support.use_cases.declared_shop import SOURCE, declared

GOOD = 'Source("orders", event=lambda r: r)'
WRONG = [
    ('Source("no topic", event=lambda r: r)', "no name of a topic", "letters, digits"),
    ('Source("shop.events", event=lambda r: r)', "is a topic of this use case", "leave the source"),
    (f"{GOOD}, {GOOD}", "two sources name 'orders'", "both event= and outcome="),
    ('Source("orders")', "neither events nor outcomes", "event= or outcome="),
    ('Source("orders", format="json", event=lambda r: r)', "its format is 'json'", "Json()"),
    ('Source("orders", event=lambda a, b: a)', "its event takes (a, b)", "def event(value)"),
    ('Source("orders", event=7)', "its event is 7", "Give a function"),
    ('Source("bills", outcome=lambda r: r)', "no field 'shop'", "Declare key="),
    ('Source("bills", outcome=lambda r: r, key=lambda: 1)', "its key takes (nothing)", "def key"),
    ('Source("bills", outcome=lambda r: r, by="id")', "its by is 'id'", "event_id"),
    (
        f'{GOOD}, Source("bills", outcome=lambda r: r, by="event_id", key="s")',
        "has by= and key=",
        "by its id, or by the key",
    ),
    (
        'Source("bills", outcome=lambda r: r, by="event_id")',
        "no source makes events",
        "through a source, too",
    ),
    (
        'Source("bills", outcome={"event_id": "id", "outcome_time": "at", "amont": "a"}, key="s")',
        "gives 'amont'",
        '"amount"',
    ),
    (
        'Source("bills", outcome={"event_id": "id", "outcome_time": "at"}, key="s")',
        "does not give 'amount'",
        "Say where",
    ),
    (
        'Source("bills", outcome={"event_id": 7, "outcome_time": "a", "amount": "b"}, key="s")',
        "has 7 for event_id",
        "name of a field",
    ),
]


def with_sources(sources: str) -> str:
    """The use case without mistakes, with sources."""
    text = SOURCE.replace(
        "from models.spec.use_case",
        "from models.spec.source import Source\n" + "from models.spec.use_case",
        1,
    )
    return text.replace(
        '    name="shop",\n', f'    name="shop",\n    sources=[\n        {sources},\n    ],\n'
    )


def test_a_source_without_mistakes_has_none() -> None:
    """A function, and a dictionary of where fields are."""
    bills = (
        'Source("bills", outcome={"event_id": "i", "outcome_time": "t", "amount": "a"}, key="s")'
    )
    source = with_sources(f"{GOOD}, {bills}")
    assert mistakes(declared(source), source) == []


@pytest.mark.parametrize(("sources", "reason", "hint"), WRONG)
def test_a_mistake_in_a_source_is_found(sources: str, reason: str, hint: str) -> None:
    """At the line of the source."""
    source = with_sources(sources)
    mistake = [each for each in mistakes(declared(source), source) if reason in each.reason]
    assert len(mistake) == 1
    assert hint in mistake[0].hint
    assert mistake[0].line == 1 + source[: source.index("        Source(")].count("\n")


def test_an_adopted_topic_is_not_written_to() -> None:
    """A source of events, where the events topic is somebody else's."""
    source = with_sources(GOOD).replace(
        '    name="shop",\n', '    name="shop",\n    topics={"events": "theirs"},\n'
    )
    reasons = [each.reason for each in mistakes(declared(source), source)]
    assert any("would be written to 'theirs'" in reason for reason in reasons)
