"""Times that are far ahead, and ids and outcomes in every order."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import orjson
import pytest

from models.inputs.decoder import EVENTS, HISTORY, KIND_HEADER, OUTCOMES
from models.replay.backtest import aligned
from models.values.durations import days, hours, minutes
from tests.support.one_partition import (
    START,
    Out,
    Partition,
    at,
    delivery,
    dump,
    kinds,
    letters,
    order,
    started,
    use_case,
)

# Times that are far ahead.


def year_ahead(partition: Partition, event_id: str, second: float = 0, **rest: Any) -> list[Out]:
    """Give an event of a year later."""
    return partition.give(EVENTS, order(event_id, 365 * 86_400 + second), **rest)


def test_a_time_a_year_ahead_is_set_aside_and_refused_by_the_next_ordinary_record():
    """A clock gone mad expires nothing: its record leaves as a dead letter, the rest goes on."""
    partition = started()
    assert year_ahead(partition, "mad") == []
    outputs = partition.outcome("first", 70)
    assert kinds(outputs) == ["dead-letter", "examples"]
    (letter,) = letters(outputs)
    assert (letter["error_class"], letter["stage"]) == ("ahead", "event")
    assert "clock" in letter["error"]
    assert "max_jump" in letter["error"]
    assert partition.task.watermark.time == START.timestamp() + 70


def test_a_time_that_is_set_aside_moves_nothing_but_itself():
    """What waits, waits on."""
    partition = started()
    before = dump(partition.task)
    year_ahead(partition, "mad")
    after = dump(partition.task)
    before.pop("watermark")
    after.pop("watermark")
    assert after == before


def test_several_in_a_row_that_agree_are_believed():
    """Three of them: time really has moved, all three are answered in the order of their times."""
    partition = started()
    assert year_ahead(partition, "m1", 5) == []
    assert year_ahead(partition, "m2", 1) == []
    outputs = year_ahead(partition, "m3", 9)
    answered = [out.value["event_id"] for out in outputs if out.kind == "predictions"]
    assert answered == ["m2", "m1", "m3"]
    assert partition.task.counts["expired"] == 1
    assert kinds(partition.event("m4", 365 * 86_400 + 20)) == ["features", "predictions"]


def test_jumps_that_disagree_are_not_believed():
    """Times that are far from each other are three mad clocks, not one that is right."""
    partition = started()
    outputs = [out for n in range(1, 9) for out in year_ahead(partition, f"m{n}", n * 30 * 86_400)]
    assert kinds(outputs) == ["dead-letter"] * 7
    assert partition.task.watermark.time == START.timestamp() + 60


def test_one_record_that_comes_three_times_is_one_witness():
    """A producer that retries does not outvote the clock."""
    partition = started()
    outputs = [out for _ in range(4) for out in year_ahead(partition, "mad")]
    assert "predictions" not in kinds(outputs)
    assert partition.task.watermark.time == START.timestamp() + 60


def test_an_event_and_its_own_outcome_may_be_ahead_together():
    """An outcome is no repetition of its event: once believed, both are used."""
    partition = started()
    year = 365 * 86_400
    outputs = year_ahead(partition, "m1")
    outputs += partition.outcome("m1", year + 60)
    outputs += year_ahead(partition, "m2", 70)
    outputs += year_ahead(partition, "m3", 80)
    assert "ahead" not in [letter["error_class"] for letter in letters(outputs)]
    assert kinds(outputs).count("predictions") == 3
    assert kinds(outputs).count("examples") == 1


def test_before_any_watermark_the_kafka_timestamp_stands_in():
    """The first record of a partition is refused, too, if Kafka had it long before its time."""
    assert kinds(year_ahead(Partition(), "1", timestamp=START)) == ["dead-letter"]
    outputs = year_ahead(Partition(), "1", timestamp=START + timedelta(days=365))
    assert kinds(outputs) == ["features", "predictions"]


@pytest.mark.parametrize("count", [1, 3, 30])
def test_no_number_of_records_moves_time_past_what_kafka_says(count: int):
    """Events, outcomes of no event, and history, dated 300 days after Kafka had them: all leave as
    dead letters that say what to do, and nothing that waits expires.
    """
    partition, outputs = started(), []
    before = dump(partition.task)
    for n in range(count):
        ahead = 300 * 86_400 + n
        for index in (EVENTS, OUTCOMES):
            of = order(f"e{n}", ahead) if index == EVENTS else delivery(f"o{n}", ahead)
            outputs += partition.give(index, of, timestamp=START)
        outputs += partition.give(
            HISTORY, order(f"h{n}", ahead), timestamp=START, headers=((KIND_HEADER, b"event"),)
        )
    assert kinds(outputs) == ["dead-letter"] * 3 * count
    assert {letter["error_class"] for letter in letters(outputs)} == {"ahead"}
    assert (
        "300 days later than its Kafka timestamp, 2020-01-01T00:00:00"
        in letters(outputs)[0]["error"]
    )
    assert dump(partition.task) == before
    assert kinds(partition.outcome("first", 70)) == ["examples"]


def test_small_steps_ahead_of_kafka_s_time_lead_no_further():
    """Each is within `max_jump` of the watermark, and all are bounded by their own timestamps."""
    partition = started()
    for n in range(1, 40):
        partition.give(EVENTS, order(f"s{n}", n * 900.0), timestamp=START)
    assert partition.task.watermark.time == START.timestamp() + 1_800
    assert partition.task.counts["refused"] == 37


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 1_577_836_800, 2**63 - 1, -(2**62)])
def test_a_kafka_timestamp_that_is_none_is_told(timestamp_ms: int):
    """Missing, in seconds instead of milliseconds, or beyond any calendar: an answer or words."""
    partition = Partition()
    taken = partition.read(EVENTS, order("1", 0))
    taken.record.timestamp = timestamp_ms
    outputs = partition.apply(partition.task.read(EVENTS, taken.record))
    if timestamp_ms > 10**12:
        assert kinds(outputs) == ["features", "predictions"]
    else:
        assert "Kafka timestamp" in letters(outputs)[0]["error"]


def test_a_future_event_does_not_hold_up_those_behind_it():
    """Its turn comes by its Kafka timestamp: else all outcomes of a backlog would be taken before
    the events behind it, and be given up as outcomes of no event.
    """
    partition = Partition()
    records = [
        [partition.read(EVENTS, order("future", 1_700), timestamp=START)],
        [],
    ]
    for n in range(1, 20):
        now = START + timedelta(seconds=10 * n)
        records[0].append(partition.read(EVENTS, order(str(n), 10 * n), timestamp=now))
        later = now + timedelta(seconds=5)
        records[1].append(partition.read(OUTCOMES, delivery(str(n), 10 * n + 5), timestamp=later))
    for taken in aligned([iter(stream) for stream in records]):
        partition.apply(taken)
    assert not partition.task.ledger.early
    assert [row["event_id"] for row in partition.of("predictions")][:3] == ["future", "1", "2"]


def test_a_quiet_stream_wakes_up_at_once_where_kafka_s_clock_agrees():
    """No waiting for witnesses after a holiday: the record's own timestamp is one."""
    partition = started()
    outputs = year_ahead(partition, "back", timestamp=START + timedelta(days=365))
    assert "predictions" in kinds(outputs)
    assert [letter["error_class"] for letter in letters(outputs)] == ["unmatched"]


def test_by_default_one_mad_clock_cannot_expire_what_waits():
    """A record is believed alone to half the horizon at most, whatever the horizon."""
    believed = []
    for horizon in (minutes(1), hours(1), hours(24), days(30)):
        for ahead in (0.4, 0.6, 1.1, 2.0, 20.0):
            partition = Partition(use_case(horizon=horizon))
            partition.event("1", 0)
            partition.event("2", ahead * horizon)
            assert partition.task.counts["expired"] == 0
            if partition.of("predictions")[-1]["event_id"] == "2":
                believed.append((horizon, ahead))
    assert believed == [(minutes(1), 0.4), (hours(1), 0.4), (hours(24), 0.4)]


# Ids and outcomes, in every order.


def test_the_same_event_again_is_counted_and_not_answered_again():
    """Before its outcome, after it, and after its horizon: once each."""
    partition = Partition()
    partition.event("1", 0)
    assert partition.event("1", 0) == []
    partition.outcome("1", 10)
    assert partition.event("1", 0) == []
    partition.event("2", 20)
    partition.event("3", 1_800)
    partition.event("4", 3_599)
    partition.event("5", 3_700)
    assert partition.task.counts["expired"] == 1
    assert partition.event("2", 20) == []
    assert partition.task.counts["repeats"] == 3
    assert len(partition.of("predictions")) == 5


def test_the_same_outcome_again_is_counted_and_not_learnt_again():
    """While it is early, after it was learnt, and after it was late."""
    partition = Partition()
    partition.outcome("1", 5)
    assert partition.outcome("1", 5) == []
    partition.event("1", 10)
    assert partition.outcome("1", 5) == []
    assert partition.task.counts["repeats"] == 2
    assert len(partition.of("examples")) == 1


def test_an_outcome_before_its_event_waits_for_it():
    """Nothing is said until the event comes; then it is answered first and learnt at once."""
    partition = Partition()
    assert kinds(partition.outcome("1", 50)) == []
    outputs = partition.event("1", 10)
    assert kinds(outputs) == ["features", "predictions", "examples"]
    assert outputs[-1].value["learnt"]
    assert outputs[-1].value["delay_s"] == 40.0


def test_an_early_outcome_whose_event_is_refused_still_waits():
    """A correction of the event, sent again, finds it."""
    partition = Partition()
    partition.outcome("1", 50)
    assert kinds(partition.event("1", 10, items=0)) == ["dead-letter"]
    assert kinds(partition.event("1", 10)) == ["features", "predictions", "examples"]


def test_an_early_outcome_with_another_key_leaves_as_a_dead_letter_when_its_event_comes():
    """The event is answered all the same, and can still get its true outcome."""
    partition = Partition()
    partition.give(OUTCOMES, delivery("1", 5), key=b"b")
    outputs = partition.event("1", 10)
    assert kinds(outputs) == ["features", "predictions", "dead-letter"]
    assert letters(outputs)[0]["stage"] == "outcome"
    assert kinds(partition.outcome("1", 20)) == ["examples"]


def test_an_outcome_for_nobody_is_given_up_after_the_horizon():
    """It leaves as `unmatched` with its own bytes, once the watermark is past its horizon."""
    partition = Partition()
    assert kinds(partition.outcome("nobody", 0)) == []
    assert kinds(partition.event("1", 1_800)) == ["features", "predictions"]
    outputs = partition.event("2", 3_599, shop="a") + partition.event("3", 3_601)
    (letter,) = letters(outputs)
    assert (letter["error_class"], letter["stage"]) == ("unmatched", "outcome")
    assert "came after the id was forgotten" in letter["error"]
    assert "a longer id_retention" in letter["error"]  # the field's name, as it is declared
    assert "never sent" in letter["error"]
    assert orjson.loads(base64.b64decode(letter["value_base64"]))["event_id"] == "nobody"
    assert "'nobody'" in letter["error"]


def test_outcomes_for_nobody_are_bounded():
    """Past `early_limit` the oldest is given up."""
    partition = Partition(use_case(early_limit=3))
    outputs = [out for n in range(5) for out in partition.outcome(f"n{n}", n)]
    named = [
        orjson.loads(base64.b64decode(letter["value_base64"]))["event_id"]
        for letter in letters(outputs)
    ]
    assert named == ["n0", "n1"]
    assert len(partition.task.ledger.early) == 3


def test_a_late_outcome_is_published_and_not_learnt():
    """It enters the delay curve; no model and no window sees it."""
    partition = Partition()
    partition.event("1", 0)
    partition.event("2", 1_700)
    partition.event("3", 3_400)
    partition.event("4", 3_700)
    trained = partition.task.router.pooled["linear"].trained_on
    windows = dump(partition.task)["windows"]
    (example,) = [out.value for out in partition.outcome("1", 3_710) if out.kind == "examples"]
    assert (example["learnt"], example["delay_s"], example["kpi"]) == (False, 3_710.0, None)
    assert partition.task.router.pooled["linear"].trained_on == trained
    assert dump(partition.task)["windows"] == windows
    assert partition.task.counts["late"] == 1
    assert partition.outcome("1", 3_710) == []
    assert kinds(partition.outcome("1", 3_710, 8.0)) == ["dead-letter"]


@pytest.mark.parametrize("second", [3_601, 7_199, 7_201, 10_000, 10**7])
def test_an_outcome_that_itself_ends_the_horizon_is_late(second: int):
    """Even if nothing came in between, and even past the id's memory."""
    partition = Partition(use_case(max_jump=10.0**9))
    partition.event("1", 0)
    outputs = [out for out in partition.outcome("1", second) if out.kind == "examples"]
    assert [out.value["learnt"] for out in outputs] == [False]
    assert partition.task.counts["expired"] == partition.task.counts["late"] == 1
    assert partition.task.counts["learnt"] == 0
    assert kinds(partition.event("2", second)) == ["features", "predictions"]


def test_a_window_s_last_metric_record_stands_whatever_comes_late():
    """On a compacted topic the newest record of a key counts: none may take back what was said."""
    partition = Partition(use_case(max_jump=10.0**9))
    partition.event("1", 0)
    partition.event("2", 1)
    partition.outcome("2", 20)
    partition.outcome("1", 10_000)
    partition.event("3", 20_000)
    partition.event("4", 90_000)
    partition.outputs += [
        Out(o.kind, orjson.loads(o.value), o) for o in partition.task.report()
    ]  # what a worker would add at its commit
    of_first = [
        row
        for row in partition.of("metrics")
        if row["window_start"] == at(0).replace("Z", "+00:00")
        and (row["segment"], row["slice"], row["model"]) == (None, None, "served")
    ]
    assert (of_first[-1]["predictions"], of_first[-1]["outcomes"]) == (2, 1)
