"""The network-effect meter: nested samples, the same events scored, paired gains."""

from __future__ import annotations

import orjson
import pytest

from models.replay.backtest import Backtest
from models.replay.learning_curve import CurveSample, curve, drawn, sampled
from models.worth.closed_blocks import ClosedBlocks
from streams.config.use_case_loader import load
from streams.offline.evidence import samples
from streams.recordings import recording_of
from tests.models.task.test_folded_labels import CORRECTABLE
from tests.models.worth.test_worth import case, evidence
from tests.support.commands import Command
from tests.support.one_partition import delivery, order


def test_samples_are_nested_and_as_large_as_they_say() -> None:
    """Of 10,000 ids about a quarter and a half are drawn, and the quarter is part of the half."""
    numbers = [drawn(f"flight-{i}") for i in range(10_000)]
    quarter = {i for i, number in enumerate(numbers) if number < 0.25}
    half = {i for i, number in enumerate(numbers) if number < 0.5}
    assert quarter < half
    assert len(quarter) == pytest.approx(2_500, abs=150)
    assert len(half) == pytest.approx(5_000, abs=200)


def test_what_is_outside_the_sample_is_scored_and_not_learnt() -> None:
    """All 600 rows run; no model of the quarter has learnt more than its share, all are scored."""
    loaded = load("phishing")
    assert loaded.use_case.recorded is not None
    rows = [row for _, row in zip(range(600), loaded.use_case.recorded(), strict=False)]
    whole, part = (Backtest(loaded.use_case, 1, "abc", sampled(s)) for s in (1.0, 0.25))
    plain = Backtest(loaded.use_case, 1, "abc")
    for kind, fields in rows:
        for run in (whole, part, plain):
            run.feed(kind, fields)
    full, few, due = (run.tasks[0] for run in (whole, part, plain))
    assert full.metrics.total().scores == due.metrics.total().scores
    assert few.metrics.total().outcomes == due.metrics.total().outcomes
    assert few.counts["outcomes"] == due.counts["outcomes"]
    ids = [fields["event_id"] for kind, fields in rows if kind == "outcome"]
    learnt = sum(drawn(event_id) < 0.25 for event_id in ids)
    assert {slot.trained_on for slot in few.router.pooled.values()} == {learnt}
    assert few.counts["learnt"] == learnt < due.counts["learnt"]


def test_a_folded_label_and_its_corrections_are_left_out_alike() -> None:
    """Every label and correction is scored; learnt are those of events in the sample."""
    runs = [Backtest(CORRECTABLE, 1, "abc", sampled(share)) for share in (1.0, 0.4)]
    ids = [f"e{n}" for n in range(50)]
    for run in runs:
        for n, event_id in enumerate(ids):
            run.feed("event", order(event_id, n))
            run.feed("outcome", delivery(event_id, n + 1, 2.0, outcome_id="o"))
        run.feed("event", order("last", 1_000))
        for event_id in ids:
            run.feed("outcome", delivery(event_id, 1_001, 5.0, outcome_id="o"))
    full, few = (run.tasks[0] for run in runs)
    assert full.metrics.total().outcomes == few.metrics.total().outcomes == 50
    assert full.counts["corrected"] == few.counts["corrected"] == 50
    learnt = 2 * sum(drawn(event_id) < 0.4 for event_id in ids)
    assert few.router.pooled["linear"].trained_on == learnt
    assert full.router.pooled["linear"].trained_on == 100


def told(gains: dict[float, float], days: int = 60) -> list[CurveSample]:
    """Runs whose served KPI is 10 minus the gain, with the same noise on each day."""
    points = []
    for share, gain in gains.items():
        settled = ClosedBlocks()
        for day in range(days):
            served = 10.0 - gain + 0.3 * (-1) ** day + 0.2 * gain * (day % 3 - 1)
            settled.add(evidence(day, kpi={"served": 400 * served}))
        points.append(CurveSample(share, round(share * 24_000), settled))
    return points


def test_what_further_outcomes_brought_is_the_paired_gain_for_each_thousand() -> None:
    """From half to all: 0.4 an event on 24,000 events for 12,000 further outcomes: 800 per 1,000.

    The noise that both runs share does not widen the interval.
    """
    points = curve(case(), told({0.25: 0.2, 0.5: 0.8, 1.0: 1.2}))
    first, last = points.steps
    assert (first.further, last.further) == (6_000, 12_000)
    assert last.gain.mean == pytest.approx(0.4)
    assert last.per_1000 == pytest.approx(800.0)
    assert last.gain.verdict == "worth it"
    assert last.lower is not None
    assert last.upper is not None
    assert 400 < last.lower < 800 < last.upper < 1_200
    assert first.per_1000 is not None
    assert first.per_1000 > last.per_1000


def test_outcomes_that_bring_nothing_are_not_said_to_help() -> None:
    """The same KPI at each share: a gain of zero and no verdict."""
    points = curve(case(), told({0.5: 1.0, 1.0: 1.0}))
    assert points.steps[0].gain.verdict == "not known yet"
    assert points.steps[0].per_1000 == pytest.approx(0.0)


def test_runs_that_scored_different_events_are_not_compared() -> None:
    """A pair is of the same events, or it is none."""
    short = told({1.0: 1.0})
    other = ClosedBlocks()
    for day in range(60):
        other.add(evidence(day, n=399))
    with pytest.raises(ValueError, match="different events"):
        curve(case(), [CurveSample(0.5, 1, other), *short])


@pytest.mark.slow
def test_a_learning_curve_is_the_same_each_time_and_says_it_in_three_forms(
    riverrun: Command,
) -> None:
    """Text, JSON and a page from the command line; two runs give the same floats."""
    loaded = load("phishing")
    recording = recording_of(loaded.use_case, [], [], lambda _: [])
    twice = [curve(loaded.use_case, samples(loaded, lambda: recording, 1)) for _ in range(2)]
    assert twice[0] == twice[1]
    file = riverrun.folder / "curve.html"
    run = riverrun("learning-curve", "phishing", "--from-backtest", "--json", "--html", str(file))
    assert run.code == 0, run.err
    assert run.json == orjson.loads(orjson.dumps(twice[0].as_json()))
    assert "<svg" in file.read_text()
    assert "http" not in file.read_text()
    assert riverrun("learning-curve", "phishing", "--shares", "2").code == 2
