"""Charts: one object for what is drawn and what is exported; figures in plain words."""

from __future__ import annotations

import csv
import io
import json
from math import inf, nan
from typing import Any

import pytest

from models.metrics.targets import TargetStatus
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.monitor.store.view_models import AlertRow, Overview, Restart, Score
from streams.web.charts.verdict_sentences import event_noun, trust, worth
from streams.web.render.chart import Chart, Series
from streams.web.state.page_model import Case
from streams.web.views.use_case import event_marks


def chart(**options: Any) -> Chart:
    """Two days of a served value with its interval."""
    series = Series("served", [1.5, None], low=[1.0, None], high=[2.0, None])
    return Chart(**{"id": "c", "title": "t", "x": [0.0, 86_400.0], "series": [series], **options})


def test_the_csv_holds_what_is_drawn() -> None:
    """Every value with its interval and unit, times in ISO form, nothing where there is nothing."""
    rows = list(csv.reader(io.StringIO(chart(unit="USD").csv())))
    assert rows[0] == ["event time", "served [USD]", "served low [USD]", "served high [USD]"]
    assert rows[1] == ["1970-01-01T00:00:00+00:00", "1.5", "1.0", "2.0"]
    assert rows[2] == ["1970-01-02T00:00:00+00:00", "", "", ""]
    drawn = json.loads(chart().spec())
    assert drawn["series"][0]["y"] == [1.5, None]


def test_no_cell_is_a_formula() -> None:
    """A value that a spreadsheet would run is text."""
    table = chart(scale="category", x=["=1+1", "@x"], series=[Series("n", [1, 2])])
    assert [row.split(",")[0] for row in table.csv().splitlines()[1:]] == ["'=1+1", "'@x"]


def test_what_is_not_finite_is_not_drawn() -> None:
    """The browser gets JSON that every parser takes."""
    drawn = json.loads(chart(series=[Series("n", [nan, inf])]).spec())
    assert drawn["series"][0]["y"] == [None, None]


def test_a_chart_without_values_is_empty() -> None:
    """And says so instead of drawing axes of nothing."""
    assert chart(series=[Series("n", [None, None])]).empty
    assert not chart().empty


CASE = Case(load("flight_eta"), Settings())


def score(**options: Any) -> Score:
    """A served score over 5,000 flights."""
    zeros = dict.fromkeys(Score.__slots__, 0)
    known = {"model": "served", "n": 5_000, "kpi_n": 5_000, "value": 9.8, "kpi": 61.0}
    return Score(**{**zeros, "coverage": 0.91, **known, **options})


def told(**options: Any) -> Overview:
    """An overview of a use case that works."""
    nothing = dict.fromkeys(Overview.__slots__)
    known: dict[str, Any] = {
        "use_case": "flight_eta",
        "state": "live",
        "metric": "mae",
        "partitions": 4,
        "partitions_live": 4,
        "kpi_unit": "USD",
        "kpi_better": "lower",
        "targets": (),
        "alerts": (),
        "served": score(),
        "kpi_gain": 34.5,
        "windows": 7,
    }
    return Overview(**{**nothing, **known, **options})


STANDING = {
    "gain": 2.31,
    "lower": 2.05,
    "upper": 2.57,
    "alpha": 0.05,
    "verdict": "better",
    "blocks": 40,
    "blocks_least": 35,
    "labelled": 36_000,
    "missing": 120,
}


def test_worth_is_a_sentence_with_its_certainty() -> None:
    """The gain in its unit, against what, and how sure; then what it stands on."""
    sentence = worth(CASE, told(), STANDING)
    assert (sentence.kind, sentence.word) == ("good", "Yes")
    assert sentence.sentence == (
        "Saves 2.31 USD a departure against the baseline; 95 % confidence: 2.05 to 2.57 USD."
    )
    assert sentence.more == "From 36,000 outcomes in closed blocks, 120 missing."


@pytest.mark.parametrize(
    ("verdict", "word"), [("worse", "No"), ("undecided", "Undecided"), ("better", "Yes")]
)
def test_worth_follows_the_verdict_and_not_the_gain(verdict: str, word: str) -> None:
    """A gain above zero that is not decided is no yes."""
    assert worth(CASE, told(), {**STANDING, "verdict": verdict}).word == word


def test_a_verdict_that_is_not_promised_says_why() -> None:
    """It is no plain yes, and the reason is beside it; without a verdict only the reason is."""
    doubt = {"not_promised": "successive blocks hang together"}
    sentence = worth(CASE, told(), {**STANDING, **doubt})
    assert (sentence.kind, sentence.word) == ("warn", "Yes, so far")
    assert sentence.more.endswith(" Not promised here: successive blocks hang together.")
    undecided = worth(CASE, told(), {**STANDING, **doubt, "verdict": "undecided"})
    assert (undecided.word, undecided.more) == ("Undecided", sentence.more)


def test_a_verdict_says_what_it_assumes() -> None:
    """Beside a verdict; where there is none yet, nothing is assumed."""
    assumed = {"assumes": "that no large loss is rare"}
    shown = worth(CASE, told(), {**STANDING, **assumed})
    assert shown.more.endswith(" It assumes that no large loss is rare.")
    undecided = worth(CASE, told(), {**STANDING, **assumed, "verdict": "undecided"})
    assert "assumes" not in undecided.more


def test_worth_without_evidence_says_that_it_is_early() -> None:
    """Few outcomes: nothing; many without evidence: so far."""
    assert worth(CASE, told(served=score(kpi_n=20)), None).word == "Too early"
    assert worth(CASE, told(), None).word == "Yes, so far"
    assert worth(CASE, told(kpi_gain=-1.0), None).word == "Not so far"


ALARM = AlertRow("a", "kpi", "served", "open", "alarm", "It costs more.", "riverrun …", "", None)

MISSED = TargetStatus("mae", 11.5, "lower", "", 12.1, 2_000, False)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "Yes"),
        ({"state": "stopped"}, "Not now"),
        ({"state": "degraded", "partitions_live": 3}, "Not now"),
        ({"state": "recovering"}, "With care"),
        ({"alerts": (ALARM,)}, "Not now"),
        ({"served": None}, "Too early"),
        ({"targets": (MISSED,), "served": score(value=12.1, lower=11.4, upper=12.8)}, "Too early"),
        ({"targets": (MISSED,), "served": score(value=12.1, lower=11.9, upper=12.3)}, "With care"),
        (
            {"targets": (MISSED,), "served": score(lower=11.9, upper=12.3), "windows": 6},
            "Too early",
        ),
    ],
)
def test_trust_is_what_works_and_what_is_doubted(fields: dict[str, Any], word: str) -> None:
    """Down or alarmed: not now; catching up, or a target missed by more than chance: with care;
    nothing judged yet, within chance, or just begun: too early.
    """
    assert trust(told(**fields)).word == word


@pytest.mark.parametrize(
    ("coverage", "intervals", "word"),
    [
        (0.88, 5_000, "Yes"),
        (0.84, 900, "Yes"),
        (0.84, 5_000, "With care"),
        (0.96, 5_000, "With care"),
    ],
)
def test_intervals_that_hold_another_share_are_doubted(
    coverage: float, intervals: int, word: str
) -> None:
    """More than 5 points from what is declared over 1,000 outcomes: the page says both shares."""
    shown = trust(told(served=score(coverage=coverage, intervals=intervals), level=0.9))
    assert shown.word == word
    assert ("lay in the interval that was issued, 90% are declared" in shown.sentence) == (
        word == "With care"
    )


def test_a_missed_target_is_doubted_once() -> None:
    """Where an alert tells it, the target itself does not tell it again."""
    missed = AlertRow("a", "target-missed", "mae", "open", "warning", "missed", "…", "", None)
    far = score(value=12.1, lower=11.9, upper=12.3)
    sentences = trust(told(targets=(MISSED,), served=far, alerts=(missed,)))
    assert (sentences.word, sentences.more) == ("With care", "")


def test_a_change_that_models_follow_is_told_and_not_doubted() -> None:
    """A risen error is doubted, as an alarm; a feature that changed stands beside the answer."""
    changed = [
        AlertRow(name, "drift", name, "open", "warning", name, "…", "", None) for name in "abcd"
    ]
    sentences = trust(told(alerts=tuple(changed)))
    assert (sentences.word, sentences.more) == ("Yes", "Changed: a, b and 2 more.")
    risen = AlertRow("e", "drift", "error:x", "open", "alarm", "worse", "…", "", None)
    assert trust(told(alerts=(*changed, risen))).word == "Not now"


def test_an_event_is_called_by_its_class() -> None:
    """People say what it is."""
    assert event_noun(CASE) == "a departure"


def test_partitions_that_begin_anew_together_are_one_restart_on_the_chart() -> None:
    """At the event time that they stood at; a later one is another mark."""
    events = [
        Restart(n, f"w-{n}", time, 1e9 + n, 2.0) for n, time in ((0, 5.0), (1, 7.0), (0, 99.0))
    ]
    first, second = event_marks([], [], events)
    assert (first.x, second.x) == (1e9, 1e9 + 1)
    assert first.text == "restart: partition 0 restarted at w-0, recovered in 2 s"
    assert second.text == "restart: partition 0, 1 restarted at w-0, w-1, recovered in 2 s"
