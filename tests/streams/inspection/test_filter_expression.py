"""Conditions on records: what they mean, and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from streams.inspection.filter_expression import filter_of

ROW = {
    "key": "EWR",
    "value": {
        "value": 31.5, "segment": "UA", "learnt": True, "late": False, "kpi": None, "step": 12,
        "features": {"queue_40": 7, "dest": "SFO", "per item": 2}, "shadows": {"[UA]": 3.0},
        "event_id": "UA1545-EWR-20130101-0515", "event_time": "2013-01-01T10:17:00+00:00",
        "classes": ["a", "b"], "reason": "the champion (warm)",
    },
}  # fmt: skip

TRUE = [
    "value > 30",
    "value >= 31.5 and value <= 31.5",
    "value = 31.5",
    "value == 31.5",
    "value=31.5",
    "segment = UA",
    "segment=UA",
    'segment = "UA"',
    "segment != 'B6'",
    "segment in [AA, UA]",
    "step in [11, 12]",
    "features.queue_40 > 3 and features.dest = SFO",
    "not (value < 30 or segment = B6)",
    "segment = B6 or step = 12 and learnt",
    "learnt",
    "learnt = true",
    "late = false and not late",
    "kpi = null",
    "nothing = null and not nothing",
    "key = EWR",
    "shadows.[UA] > 2",
    "event_id = UA1545-EWR-20130101-0515",
    "event_time > 2013-01-01",
    "event_time < '2013-01-02'",
    "classes contains a",
    "reason contains champion",
    'reason = "the champion (warm)"',
    "step = '12'",
    "value > -1e3",
]
FALSE = [
    "value > 31.5",
    "value < many",
    "segment > 3",
    "nothing > 3",
    "kpi > 0",
    "learnt = 1",
    "learnt > 0",
    "segment in []",
    "classes contains c",
    "value.deeper = 1",
    "segment=B6",
    "value=3",
]


@pytest.mark.parametrize("text", TRUE)
def test_it_is_so(text: str) -> None:
    """Numbers by size, text by text, and nothing that is missing."""
    assert filter_of(text)(ROW)


@pytest.mark.parametrize("text", FALSE)
def test_it_is_not_so(text: str) -> None:
    """What cannot be compared is not an error: it is not so."""
    assert not filter_of(text)(ROW)


def test_a_bare_value_may_have_signs_and_one_with_spaces_is_quoted() -> None:
    """A time and an id need no quotes; two words do, and are refused without."""
    row: dict[str, Any] = {"key": None, "value": {"name": "Ann Miller p7", "at": "12:30"}}
    assert filter_of("at=12:30")(row)
    assert filter_of("name='Ann Miller p7'")(row)
    with pytest.raises(ConfigError, match="'Miller' is unexpected"):
        filter_of("name=Ann Miller p7")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "value >",
        "> 3",
        "value > 3 and",
        "(value > 3",
        "value > 3)",
        "value 3",
        "value in [1, 2",
        "value > ; rm",
        "__import__('os').system('true')",
        "(" * 60 + "a" + ")" * 60,
        "not " * 60 + "a",
        "a" * 1_001,
    ],
)
def test_what_cannot_be_read_is_refused_in_words(text: str) -> None:
    """With the place, or what was due there; nothing is executed."""
    with pytest.raises(ConfigError, match="--where"):
        filter_of(text)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """And a condition gives an answer for any row."""
    try:
        test = filter_of(text)
    except ConfigError:
        return
    for row in (ROW, {"key": None, "value": None}, {"key": "a", "value": [1]}):
        assert test(row) in (True, False)
