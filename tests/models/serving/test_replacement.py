"""What is done when a model's error has risen: alert, reset, a fresh challenger, fallback."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest
from river import dummy, stats

from models.stats.drift_detection import DriftAlarm
from models.task.checkpoint import parts_of, take_parts
from models.validation import mistakes
from models.values.durations import hours
from schemas import records
from tests.support.one_partition import RECORDS, Partition, linear, use_case


def stubborn() -> Any:
    """Says the mean of all that it has ever learnt."""
    return dummy.StatisticRegressor(stats.Mean())


def partition(action: Any, **changes: Any) -> Partition:
    """A stubborn champion whose rising error is answered for by `action`."""
    plain: dict[str, Any] = {
        "models": {"stubborn": stubborn, "linear": linear},
        "champion": "stubborn",
        "segments": None,
        "warmup": 10,
        "horizon": hours(1),
        "window": hours(1),
        "max_jump": 1e9,
        "on_drift": action,
    }
    return Partition(use_case(**(plain | changes)))


def play(feed: Partition, level: float, count: int, *, first: int = 0) -> None:
    """An event a minute and its outcome half a minute later, about `level` hours."""
    draw = Random(first)
    for n in range(first, first + count):
        feed.event(f"e{n}", 60.0 * n, weight=draw.uniform(1, 3))
        feed.outcome(f"e{n}", 60.0 * n + 30, took=level + draw.uniform(-1, 1))


def alarm(model: str = "stubborn", **changes: Any) -> DriftAlarm:
    """An alarm on a model's error."""
    return DriftAlarm(model, "error", "mean", 1.0, 5.0, "1", "5", 10, 12, 2e6, 1e6)._replace(
        **changes
    )


def react(feed: Partition, alarm: DriftAlarm) -> tuple[str, list[Any]]:
    """What is done about it, and what is told."""
    out: list[Any] = []
    done = feed.task.reaction.react(alarm, out)
    for told in out:
        RECORDS[told.kind].model_validate_json(told.value)
    return done, out


@pytest.mark.slow
def test_a_change_of_the_world_is_noticed_and_the_model_begins_anew() -> None:
    """From the records to the action: the error rises for good, the drift record says so."""
    feed = partition({"stubborn": "reset"})
    play(feed, 5.0, 60)
    monitor = feed.task.watcher.monitor
    assert monitor is not None
    monitor.blocks_between, monitor.records_between = 20.0, 1.0
    play(feed, 5.0, 60 * 70, first=60)
    play(feed, 30.0, 60 * 20, first=4_260)
    told = [row for row in feed.of("drift") if row["subject"] == "error:stubborn"]
    assert told[0]["done"] == "reset"
    for row in feed.of("drift"):
        records.Drift.model_validate(row)
    again = [row for row in feed.of("lifecycle") if "starts over" in row["why"]]
    assert (again[0]["model"], again[0]["cause"], again[0]["to_state"]) == (
        "stubborn",
        "rule",
        "champion",
    )
    assert feed.task.router.began["stubborn"] > 4_260 * 60
    last = feed.of("predictions")[-1]
    assert last["shadows"]["stubborn"] == pytest.approx(30.0, abs=1.0), "it forgot the old level"


def test_a_reset_model_is_answered_for_until_it_is_warm() -> None:
    """By the baseline, which says why."""
    feed = partition("reset")
    play(feed, 20.0, 30)
    assert feed.of("predictions")[-1]["served_by"] == "champion"
    assert react(feed, alarm())[0] == "reset"
    play(feed, 20.0, 1, first=30)
    last = feed.of("predictions")[-1]
    assert (last["served_by"], last["value"]) == ("baseline", 5.0)
    assert "learnt 0 of 10" in last["reason"]


@pytest.mark.parametrize(
    "drift_alarm",
    [
        alarm("served"),
        alarm(kind="numeric"),
        alarm("linear"),
    ],
)
def test_only_a_declared_models_risen_error_is_acted_on(drift_alarm: DriftAlarm) -> None:
    """Not what was served, nor a feature, nor a model for which nothing is declared."""
    feed = partition({"stubborn": "reset"})
    play(feed, 5.0, 20)
    assert react(feed, drift_alarm) == ("alert", [])
    assert feed.task.router.pooled["stubborn"].trained_on == 20


def test_a_fresh_copy_takes_the_place_of_a_model_that_loses() -> None:
    """The old one keeps averaging two worlds; its copy knows the new one only."""
    feed = partition({"stubborn": "challenger"})
    play(feed, 5.0, 2_000)
    assert react(feed, alarm())[0] == "challenger"
    assert react(feed, alarm())[0] == "alert", "one copy at a time"
    play(feed, 30.0, 400, first=2_000)
    assert feed.task.router.replacements == {}
    told = [row["why"] for row in feed.of("lifecycle") if "copy" in row["why"]]
    assert "its fresh copy lost less on" in told[-1]
    assert feed.of("predictions")[-1]["shadows"]["stubborn"] == pytest.approx(30.0, abs=1.0)


def test_a_fresh_copy_that_is_no_better_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm was false: the model stays, with all that it has learnt."""
    monkeypatch.setattr("models.serving.replacement.PATIENCE", 500)
    feed = partition("challenger")
    play(feed, 5.0, 1_000)
    react(feed, alarm())
    play(feed, 5.0, 520, first=1_000)
    assert feed.task.router.replacements == {}
    assert "no better" in [r["why"] for r in feed.of("lifecycle") if "copy" in r["why"]][-1]
    assert feed.task.router.pooled["stubborn"].trained_on == 1_520


def test_fallback_serves_the_baseline_until_the_model_has_recovered() -> None:
    """And comes back by the breaker's way, since it is better than the baseline here."""
    feed = partition("fallback")
    play(feed, 20.0, 2_100)
    assert react(feed, alarm())[0] == "fallback"
    play(feed, 20.0, 1, first=2_100)
    last = feed.of("predictions")[-1]
    assert (last["served_by"], last["reason"]) == (
        "baseline",
        "the breaker is open: error drifted",
    )
    play(feed, 20.0, 1_500, first=2_101)
    assert feed.of("predictions")[-1]["served_by"] == "champion"
    back = feed.of("lifecycle")[-1]
    assert (back["from_state"], back["to_state"]) == ("withheld", "champion")


def test_a_copy_survives_a_cut() -> None:
    """It learns on after the restart as if there had been none."""
    whole, other = partition("challenger"), partition("challenger")
    play(whole, 5.0, 300)
    react(whole, alarm())
    play(whole, 30.0, 60, first=300)
    take_parts(
        other.task, *pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    )
    other.offsets = list(whole.offsets)
    for feed in (whole, other):
        play(feed, 30.0, 300, first=360)
    shadows = [row["shadows"] for row in other.of("predictions")]
    assert shadows == [row["shadows"] for row in whole.of("predictions")][-300:]
    assert whole.task.router.replacements == other.task.router.replacements == {}


def test_declarations_that_cannot_be_right_are_found() -> None:
    """An unknown action or model; a fallback without the breaker that leads back."""
    cases = (
        (use_case(on_drift="panic"), "one of alert, reset"),
        (use_case(on_drift={"best": "reset"}), "the model 'best'"),
        (use_case(on_drift={"tree": "fallback"}, breaker=False), "way back"),
        (use_case(limits={"best": (0, 1)}), "the model 'best'"),
        (use_case(limits={"tree": (1, 0)}), "not in order"),
        (use_case(warmup={"tree": -1}), "warmup is -1"),
    )
    for case, words in cases:
        errors = [str(mistake) for mistake in mistakes(case)]
        assert any(words in text for text in errors), (words, errors)
    fine = use_case(limits={"tree": (0, 100)}, warmup={"tree": 5}, on_drift={"tree": "fallback"})
    assert mistakes(fine) == []


def test_limits_and_warmup_are_each_models_own() -> None:
    """A model is withheld by its own limits and answers after its own warm-up."""
    feed = partition(
        "alert", limits={"stubborn": (0.0, 10.0)}, warmup={"stubborn": 3, "linear": 1_000}
    )
    for n, took in enumerate((4.0, 4.0, 4.0, 90.0, 90.0)):
        feed.event(f"e{n}", 60.0 * n)
        feed.outcome(f"e{n}", 60.0 * n + 30, took=took)
    feed.event("last", 600)
    predictions = feed.of("predictions")
    assert [row["served_by"] for row in predictions] == [*["baseline"] * 3, *["champion"] * 1] + [
        "baseline"
    ] * 2
    assert "left its limits" in predictions[-1]["reason"]
    assert feed.task.router.state("linear") == "candidate"
