"""What the page says of comparisons: how sure they are, and which of them go on."""

from __future__ import annotations

from typing import Any

import pytest

from models.stats.ab_test import AbTest
from models.stats.confidence_sequence import Comparison
from streams.web.charts.verdict_sentences import confidence_text
from streams.web.state.page_model import Case
from streams.web.views.challengers import _decision_text, _doubt, _partition_standings
from tests.streams.web.test_auth import FLIGHTS, NOBODY

CASE = Case(FLIGHTS, NOBODY)
LEAST, MOST = FLIGHTS.use_case.kpi.range
WIDTH = MOST - LEAST


def standing(**changes: Any) -> dict[str, Any]:
    """A comparison that goes on."""
    fields = {
        "question": "shadow",
        "model": "trees",
        "against": FLIGHTS.use_case.champion,
        "segment": None,
        "verdict": "undecided",
        "blocks": 40,
        "blocks_least": 35,
        "blocks_needed": None,
        "lower": -2.0,
        "upper": 3.0,
        "alpha": 0.05,
        "kpi_unit": "USD",
    }
    return fields | changes


def test_before_enough_blocks_no_range_is_called_sure() -> None:
    """Whatever the range is, it says how many blocks there are of how many."""
    early = standing(blocks=8, lower=-WIDTH, upper=WIDTH, alpha=0.0006)
    assert confidence_text(CASE, early) == "not enough blocks yet (8 of 35)"
    assert "35" in _decision_text(early)
    assert "8 of 35" in confidence_text(CASE, early | {"lower": -1.0, "upper": 1.0})


def test_a_doubt_is_shown_once() -> None:
    """Beside the recommendation, unless that says it; an older record has none."""
    doubt = "successive blocks hang together"
    waits = standing(not_promised=doubt, recommendation="wait: not known yet")
    asks = standing(not_promised=doubt, recommendation=f"decide by hand: {doubt}")
    assert _doubt(waits) == doubt
    assert _doubt(asks) is None
    assert _doubt(standing(recommendation="wait")) is None


def test_the_declared_range_is_no_knowledge() -> None:
    """Also after enough blocks."""
    assert (
        confidence_text(CASE, standing(lower=-WIDTH, upper=WIDTH))
        == "the confidence is not known yet"
    )
    assert confidence_text(CASE, standing()) == "95 % confidence: −2.00 to 3.00 USD"
    assert confidence_text(CASE, standing(verdict="better", blocks=8, blocks_least=8, lower=0.1))


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_no_verdict_comes_before_its_least_number_of_blocks(margin: float) -> None:
    """Of days with the clearest gain there can be; of an experiment's groups of units, too."""
    days = Comparison(alpha=0.05, bound=50.0, margin=margin)
    while days.verdict == "undecided":
        days.update(count=900, gain=900 * 49.0)
    assert days.seen >= days.blocks_least == 35
    arms = AbTest(alpha=0.05, bound=50.0, lower=True, margin=margin)
    blocks = [(10, 400.0 + g % 3) for g in range(32)]
    while arms.verdict == "undecided":
        arms.update([(n, kpi - 390.0) for n, kpi in blocks], blocks)
    assert arms.seen >= arms.blocks_least == 8


def test_comparisons_with_an_earlier_champion_are_over() -> None:
    """So are those of whoever is the champion now, and of models that are not declared any more."""
    champion, other = FLIGHTS.use_case.champion, "trees"
    rows = [
        standing(),
        standing(model=champion, against=other),
        standing(model="forgotten"),
        standing(question="worth", model="served", against="baseline"),
        standing(question="experiment", against="other"),
    ]
    now, earlier = _partition_standings(CASE, rows, [champion])
    assert now == [rows[0], rows[3]]
    assert earlier == [rows[1], rows[2], rows[4]]
    now, _ = _partition_standings(CASE, rows, [other])
    assert now == [rows[1], rows[3]]
    differ, _ = _partition_standings(CASE, rows, [])
    assert differ == rows, "nobody knows who is the champion"
