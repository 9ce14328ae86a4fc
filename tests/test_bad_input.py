"""Whatever comes in: it ends where the design says, in words, and the partition goes on."""

from __future__ import annotations

import base64
import itertools
import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest
from one_partition import (
    FEATURES,
    RECORDS,
    START,
    Delivery,
    Order,
    Out,
    Partition,
    at,
    command,
    delivery,
    dump,
    kinds,
    letters,
    linear,
    order,
    use_case,
)
from pydantic import field_validator
from river import linear_model

from models.durations import days, hours, minutes
from models.reading import COMMANDS, EVENTS, HISTORY, OUTCOMES
from models.usecase import Kpi
from models.windows import over_events, over_outcomes
from schemas.partitioner import partition_of

KIB = 1_024
BROKER_BYTES_MAX = 1_048_576


def json(fields: dict[str, Any], **raw: str) -> bytes:
    """The record as JSON in which `raw` replaces values by text that need not be JSON at all."""
    marks = {name: f"@{name}@" for name in raw}
    text = orjson.dumps(fields | marks).decode()
    for name, mark in marks.items():
        text = text.replace(f'"{mark}"', raw[name])
    return text.encode()


@dataclass
class Bad:
    """A record that cannot be used, the class that its dead letter has, and words in its error."""

    name: str
    index: int
    value: bytes | dict[str, Any]
    fault: str
    words: tuple[str, ...]
    rest: dict[str, Any] = field(default_factory=dict)


def bad_event(name: str, value: Any, *words: str, fault: str = "malformed", **rest: Any) -> Bad:
    """An event that cannot be used."""
    return Bad(name, EVENTS, value, fault, words, rest)


def bad_outcome(name: str, value: Any, *words: str, fault: str = "malformed", **rest: Any) -> Bad:
    """An outcome that cannot be used; event `first` waits for one, event `done` has its own."""
    return Bad(name, OUTCOMES, value, fault, words, rest)


def bad_command(name: str, value: Any, *words: str) -> Bad:
    """A command that cannot be used."""
    return Bad(name, COMMANDS, value, "malformed", words)


GOOD = order("new", 60)
DEEP = 100_000
HUGE = "9" * 30

BAD: list[Bad] = [
    bad_event("garbage bytes", b"\x00\xff\x13garbage", "not JSON", "Order"),
    bad_event("nothing at all", b"", "not JSON"),
    bad_event("half a record", orjson.dumps(GOOD)[:40], "not JSON"),
    bad_event("two records", orjson.dumps(GOOD) * 2, "not JSON"),
    bad_event("not UTF-8", json(GOOD, colour='"\xff"').replace(b"\xc3\xbf", b"\xff"), "not JSON"),
    bad_event("UTF-16", orjson.dumps(GOOD).decode().encode("utf-16"), "not JSON"),
    bad_event("lone leading surrogate", json(GOOD, colour='"\\ud800"'), "not JSON"),
    bad_event("lone trailing surrogate", json(GOOD, colour='"\\udc00"'), "not JSON"),
    bad_event("deep JSON", b"[" * DEEP, "not JSON", "recursion"),
    bad_event(
        "a deep unknown field", json(GOOD, unknown="[" * DEEP + "]" * DEEP), "not JSON", "recursion"
    ),
    bad_event("a list", b"[1, 2]", "Order"),
    bad_event("a number", b"17", "Order"),
    bad_event("null", b"null", "Order"),
    bad_event("text", b'"hello"', "Order"),
    bad_event("a missing field", order("new", 60) | {"weight": None}, "weight", "number"),
    bad_event("no id", {k: v for k, v in GOOD.items() if k != "event_id"}, "event_id", "required"),
    bad_event("an empty id", GOOD | {"event_id": ""}, "event_id", "at least 1 character"),
    bad_event("a long id", GOOD | {"event_id": "x" * 257}, "event_id", "at most 256 characters"),
    bad_event("an id that is a number", GOOD | {"event_id": 17}, "event_id", "string", "17"),
    bad_event("text for a number", GOOD | {"weight": "2.0"}, "weight", "number", "'2.0'"),
    bad_event("a bool for a number", GOOD | {"weight": True}, "weight", "number"),
    bad_event("a fraction for a whole number", GOOD | {"items": 1.5}, "items", "integer"),
    bad_event("several wrong fields", GOOD | {"items": "x", "weight": []}, "items", "weight"),
    bad_event("NaN as a token", json(GOOD, weight="NaN"), "weight", "finite"),
    bad_event("Infinity as a token", json(GOOD, weight="-Infinity"), "weight", "finite"),
    bad_event("1e999", json(GOOD, weight="1e999"), "weight", "finite"),
    bad_event("an int beyond 64 bits as a feature", json(GOOD, items=HUGE), "items", "64 bit"),
    bad_event("an int beyond all numbers", json(GOOD, items="9" * 5_000), "not JSON", "range"),
    bad_event("a naive time", GOOD | {"event_time": "2020-01-01T00:01:00"}, "event_time", "tim"),
    bad_event("a time that is none", GOOD | {"event_time": "yesterday"}, "event_time", "datetime"),
    bad_event("a time that is a number", GOOD | {"event_time": 1_577_836_800}, "event_time"),
    bad_event("13 months", GOOD | {"event_time": "2020-13-01T00:00:00Z"}, "event_time"),
    bad_event("the year 1", GOOD | {"event_time": "0001-01-01T00:00:00+12:00"}, "1900 to 2199"),
    bad_event("the year 9999", GOOD | {"event_time": "9999-12-31T23:00:00-12:00"}, "event_time"),
    bad_event("10 MB", b" " * 10_000_000, "10000000 bytes", "262144"),
    bad_event("no key", GOOD, "no Kafka key", "'shop'", key=None),
    bad_event("another key", GOOD, "'b'", "'a'", "shop", key=b"b"),
    bad_event("a key that is not UTF-8", GOOD, "must be equal", key=b"\xff\xfe"),
    bad_event("an empty key", GOOD, "''", "'a'", key=b""),
    bad_event("a huge key", GOOD | {"shop": "x" * 2_000}, "key has 2000 bytes", key=b"x" * 2_000),
    bad_event("a late event", order("old", -3_601), "3661 s behind", "backfill", fault="late"),
    bad_event("an id of another event", order("first", 60), "used before", fault="conflicting"),
    bad_event("an id already answered", order("done", 60), "used before", fault="conflicting"),
    bad_event("a feature that fails", GOOD | {"items": 0}, "'per item'", "ZeroDivisionError"),
    bad_outcome("garbage outcome", b"{", "not JSON", "Delivery"),
    bad_outcome("no label", {"event_id": "first", "outcome_time": at(60)}, "took", "required"),
    bad_outcome("a naive outcome time", delivery("first", 60, outcome_time="2020-01-01T00:01"),
                "outcome_time"),
    bad_outcome("NaN label", json(delivery("first", 60), took="NaN"), "took", "finite"),
    bad_outcome("a label beyond squares", delivery("first", 60, 1e200), "1e+200", "label"),
    bad_outcome("no key on an outcome", delivery("first", 60), "no Kafka key", key=None),
    bad_outcome("another key than its event", delivery("first", 60), "differs", "'a'", key=b"b"),
    bad_outcome("a second, different outcome", delivery("done", 60, 8.0), "different outcome",
                fault="conflicting"),
    bad_outcome("the same outcome at another time", delivery("done", 61), "different outcome",
                fault="conflicting"),
    bad_outcome("a different early outcome", delivery("early", 60, 8.0), "already waits",
                fault="conflicting"),
    bad_command("garbage command", b"}", "not JSON", "Command"),
    bad_command("an unknown verb", command("c", "explode"), "verb", "'explode'"),
    bad_command("no reason", command("c", "freeze", why=""), "why"),
    bad_command("a model that is none", command("c", "promote", model="oak"), "'oak'", "tree"),
    bad_command("the champion itself", command("c", "promote", model="linear"), "already"),
    bad_command("no champion before", command("c", "rollback"), "no earlier champion"),
    bad_command("evidence beyond 64 bits",
                json(command("c", "freeze"), evidence=f'{{"n": {HUGE}}}'), "evidence"),
    Bad("history without its kind", HISTORY, order("h", 60), "malformed", ("riverrun_kind",)),
    Bad("history of no kind", HISTORY, order("h", 60), "malformed", ("event or outcome",),
        {"headers": (("riverrun_kind", b"opinion"),)}),
]  # fmt: skip


def started(**changes: Any) -> Partition:
    """Event `first` waits, event `done` has its outcome, an outcome waits for event `early`."""
    partition = Partition(use_case(**changes))
    partition.event("done", 0)
    partition.event("first", 10)
    partition.outcome("done", 60)
    partition.outcome("early", 60)
    return partition


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_record_becomes_one_dead_letter_that_says_why(bad: Bad):
    """One dead letter with the bytes, the place, the class and words to act on; nothing else."""
    partition = started()
    said = partition.give(bad.index, bad.value, **bad.rest)
    (letter,) = letters(said)
    assert len(said) == 1
    assert letter["error_class"] == bad.fault
    for word in bad.words:
        assert word in letter["error"]
    raw = orjson.dumps(bad.value) if isinstance(bad.value, dict) else bad.value
    assert base64.b64decode(letter["value_base64"]) == raw[: 512 * KIB]
    assert (letter["value_bytes"], letter["offset"]) == (len(raw), partition.offsets[bad.index] - 1)
    headers = dict(said[0].raw.headers)
    assert headers["__connect.errors.exception.class.name"].decode() == bad.fault
    assert headers["__connect.errors.exception.message"].decode() == letter["error"]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_record_changes_nothing(bad: Bad):
    """The whole state, models included, is what it was; only place and counts have moved."""
    partition = started()
    before, step = dump(partition.task), partition.task.step
    partition.give(bad.index, bad.value, **bad.rest)
    after = dump(partition.task)
    if bad.index == COMMANDS:
        # An id has one verdict: that it was heard is remembered.
        before["roster"], after["roster"] = before["roster"][:3], after["roster"][:3]
    assert after == before
    assert partition.task.step == step + 1
    assert partition.task.counts["refused"] == 1


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_follows_a_bad_record_is_as_if_it_had_not_come(bad: Bad):
    """Later predictions and examples equal those of a partition that never saw it."""
    spoilt, clean = started(), started()
    spoilt.give(bad.index, bad.value, **bad.rest)
    assert later(spoilt) == later(clean)


def later(partition: Partition) -> list[dict[str, Any]]:
    """What the next records give, without the numbers of steps."""
    said = [
        *partition.event("early", 70),
        *partition.outcome("first", 80),
        *partition.event("x1", 90, items=2),
        *partition.outcome("x1", 95, 3.0),
        *partition.event("x2", 1_800),
    ]
    assert kinds(said).count("predictions") == 3
    return [{k: v for k, v in out.value.items() if k not in ("step", "seq")} for out in said]


TOLERATED: dict[str, bytes | dict[str, Any]] = {
    "unknown fields": GOOD | {"unknown": {"a": [1]}},
    "an int beyond 64 bits in an unknown field": json(GOOD, unknown=HUGE),
    "NaN in an unknown field": json(GOOD, unknown="NaN"),
    "the same key twice": json(GOOD).replace(b'{"', b'{"weight":9,"', 1),
    "another time zone": GOOD | {"event_time": "2020-01-01T05:31:00+05:30"},
    "white space": b" \n" + orjson.dumps(GOOD) + b"\t\n",
    "escapes": json(GOOD, colour='"\\u0072\\ud83d\\ude00"'),
    "a whole number for a fraction": GOOD | {"weight": 2},
    "a null for an optional field": GOOD | {"colour": None},
    "an event a little behind": order("new", 9),
    "a byte below the bound": json(GOOD, unknown='"' + "x" * (250 * KIB) + '"'),
    "minus zero and tiny numbers": json(GOOD, weight="-0.0"),
    "an id of odd characters": GOOD | {"event_id": "\x00 \n|🚚"},
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_is_odd_but_clear_is_answered(name: str):
    """It gets its prediction, its outcome is learnt, and both may come a second time."""
    partition = started()
    value = TOLERATED[name]
    said = partition.give(EVENTS, value)
    assert kinds(said) == ["features", "predictions"]
    event_id = said[-1].value["event_id"]
    assert kinds(partition.give(EVENTS, value)) == []
    assert kinds(partition.outcome(event_id, 100)) == ["examples"]
    assert kinds(partition.give(EVENTS, value)) == []
    assert kinds(partition.outcome(event_id, 100)) == []
    assert partition.task.counts["repeats"] == 3


def test_of_a_key_that_comes_twice_in_one_record_the_last_counts():
    """As JSON readers commonly do; the original bytes are not altered."""
    said = started().give(EVENTS, TOLERATED["the same key twice"])
    assert said[0].value["features"]["weight"] == 2.0


def test_unknown_fields_are_refused_where_the_use_case_forbids_them():
    """`class Mine(Event, extra="forbid")` turns them into dead letters that name the field."""

    class Strict(Order, extra="forbid"):
        """An order and nothing else."""

    partition = Partition(use_case(event=Strict))
    (letter,) = letters(partition.event("1", 0, unknown=1))
    assert "unknown" in letter["error"]
    assert kinds(partition.event("2", 0)) == ["features", "predictions"]


def test_a_record_on_another_partition_than_murmur2_says_is_told_of_librdkafka():
    """The error names where the key belongs, and the producer setting that puts it there."""
    place = partition_of(b"a", 4)
    partition = Partition(partitions=4, number=(place + 1) % 4)
    (letter,) = letters(partition.event("1", 0))
    assert f"puts it on {place} of 4" in letter["error"]
    assert "partitioner=murmur2_random" in letter["error"]
    assert kinds(Partition(partitions=4, number=place).event("1", 0)) == ["features", "predictions"]


@pytest.mark.parametrize("index", [EVENTS, OUTCOMES, COMMANDS, HISTORY])
def test_a_tombstone_is_counted_and_passed_over(index: int):
    """A record without a value says nothing on any input, whatever its key."""
    partition = started()
    before = dump(partition.task)
    assert partition.give(index, None, key=None) == []
    assert dump(partition.task) == before
    assert partition.task.counts["tombstones"] == 1


def test_unknown_headers_are_tolerated_and_traceparent_passes_through():
    """Headers of any kind, even without a value, do not matter; the trace reaches the example."""
    partition = Partition()
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = (("x", b"\xff"), ("", b""), ("y", None), ("traceparent", trace), ("ce_id", b"?"))
    said = partition.give(EVENTS, order("1", 0), headers=headers)
    said += partition.outcome("1", 10)
    traced = [out.kind for out in said if dict(out.raw.headers).get("traceparent") == trace]
    assert traced == ["features", "predictions", "examples"]


def test_a_traceparent_that_is_none_or_huge_is_left_out():
    """It would be kept for as long as its event waits."""
    for value in (None, b"x" * 300):
        said = Partition().give(EVENTS, order("1", 0), headers=(("traceparent", value),))
        assert all("traceparent" not in dict(out.raw.headers) for out in said)


# Times that are far ahead.


def year_ahead(partition: Partition, event_id: str, second: float = 0, **rest: Any) -> list[Out]:
    """Give an event of a year later."""
    return partition.give(EVENTS, order(event_id, 365 * 86_400 + second), **rest)


def test_a_time_a_year_ahead_is_set_aside_and_refused_by_the_next_ordinary_record():
    """A clock gone mad expires nothing: its record leaves as a dead letter, the rest goes on."""
    partition = started()
    assert year_ahead(partition, "mad") == []
    said = partition.outcome("first", 70)
    assert kinds(said) == ["dead-letter", "examples"]
    (letter,) = letters(said)
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
    said = year_ahead(partition, "m3", 9)
    answered = [out.value["event_id"] for out in said if out.kind == "predictions"]
    assert answered == ["m2", "m1", "m3"]
    assert partition.task.counts["expired"] == 1
    assert kinds(partition.event("m4", 365 * 86_400 + 20)) == ["features", "predictions"]


def test_jumps_that_disagree_are_not_believed():
    """Times that are far from each other are three mad clocks, not one that is right."""
    partition = started()
    said = [out for n in range(1, 9) for out in year_ahead(partition, f"m{n}", n * 30 * 86_400)]
    assert kinds(said) == ["dead-letter"] * 7
    assert partition.task.watermark.time == START.timestamp() + 60


def test_one_record_that_comes_three_times_is_one_witness():
    """A producer that retries does not outvote the clock."""
    partition = started()
    said = [out for _ in range(4) for out in year_ahead(partition, "mad")]
    assert "predictions" not in kinds(said)
    assert partition.task.watermark.time == START.timestamp() + 60


def test_an_event_and_its_own_outcome_may_be_ahead_together():
    """An outcome is no repetition of its event: once believed, both are used."""
    partition = started()
    year = 365 * 86_400
    said = year_ahead(partition, "m1")
    said += partition.outcome("m1", year + 60)
    said += year_ahead(partition, "m2", 70)
    said += year_ahead(partition, "m3", 80)
    assert "ahead" not in [letter["error_class"] for letter in letters(said)]
    assert kinds(said).count("predictions") == 3
    assert kinds(said).count("examples") == 1


def test_before_any_watermark_the_kafka_timestamp_stands_in():
    """The first record of a partition is doubted, too, if Kafka's own time is far behind it."""
    assert kinds(year_ahead(Partition(), "1")) == []
    said = year_ahead(Partition(), "1", timestamp=START + timedelta(days=365))
    assert kinds(said) == ["features", "predictions"]


def test_a_quiet_stream_wakes_up_at_once_where_kafka_s_clock_agrees():
    """No waiting for witnesses after a holiday: the record's own timestamp is one."""
    partition = started()
    said = year_ahead(partition, "back", timestamp=START + timedelta(days=365))
    assert "predictions" in kinds(said)
    assert [letter["error_class"] for letter in letters(said)] == ["unmatched"]


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
    said = partition.event("1", 10)
    assert kinds(said) == ["features", "predictions", "examples"]
    assert said[-1].value["learnt"]
    assert said[-1].value["delay_s"] == 40.0


def test_an_early_outcome_whose_event_is_refused_still_waits():
    """A correction of the event, sent anew, finds it."""
    partition = Partition()
    partition.outcome("1", 50)
    assert kinds(partition.event("1", 10, items=0)) == ["dead-letter"]
    assert kinds(partition.event("1", 10)) == ["features", "predictions", "examples"]


def test_an_early_outcome_with_another_key_leaves_as_a_dead_letter_when_its_event_comes():
    """The event is answered all the same, and can still get its true outcome."""
    partition = Partition()
    partition.give(OUTCOMES, delivery("1", 5), key=b"b")
    said = partition.event("1", 10)
    assert kinds(said) == ["features", "predictions", "dead-letter"]
    assert letters(said)[0]["stage"] == "outcome"
    assert kinds(partition.outcome("1", 20)) == ["examples"]


def test_an_outcome_for_nobody_is_given_up_after_the_horizon():
    """It leaves as `unmatched` with its own bytes, once the watermark is past its horizon."""
    partition = Partition()
    assert kinds(partition.outcome("nobody", 0)) == []
    assert kinds(partition.event("1", 1_800)) == ["features", "predictions"]
    said = partition.event("2", 3_599, shop="a") + partition.event("3", 3_601)
    (letter,) = letters(said)
    assert (letter["error_class"], letter["stage"]) == ("unmatched", "outcome")
    assert orjson.loads(base64.b64decode(letter["value_base64"]))["event_id"] == "nobody"
    assert "'nobody'" in letter["error"]


def test_outcomes_for_nobody_are_bounded():
    """Past `early_limit` the oldest is given up."""
    partition = Partition(use_case(early_limit=3))
    said = [out for n in range(5) for out in partition.outcome(f"n{n}", n)]
    named = [
        orjson.loads(base64.b64decode(letter["value_base64"]))["event_id"]
        for letter in letters(said)
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
    trained = partition.task.roster.pooled["linear"].trained_on
    windows = dump(partition.task)["windows"]
    (example,) = [out.value for out in partition.outcome("1", 3_710) if out.kind == "examples"]
    assert (example["learnt"], example["delay_s"], example["kpi"]) == (False, 3_710.0, None)
    assert partition.task.roster.pooled["linear"].trained_on == trained
    assert dump(partition.task)["windows"] == windows
    assert partition.task.counts["late"] == 1
    assert partition.outcome("1", 3_710) == []
    assert kinds(partition.outcome("1", 3_710, 8.0)) == ["dead-letter"]


@pytest.mark.parametrize("second", [3_601, 7_199, 7_201, 10_000, 10**7])
def test_an_outcome_that_itself_ends_the_horizon_is_late(second: int):
    """Even if nothing came in between, and even past the id's memory."""
    partition = Partition(use_case(max_jump=10.0**9))
    partition.event("1", 0)
    said = [out for out in partition.outcome("1", second) if out.kind == "examples"]
    assert [out.value["learnt"] for out in said] == [False]
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
    partition.said += [
        Out(o.kind, orjson.loads(o.value), o) for o in partition.task.report()
    ]  # what a worker would add at its commit
    of_first = [
        row
        for row in partition.of("metrics")
        if row["window_start"] == at(0).replace("Z", "+00:00")
        and (row["segment"], row["slice"], row["model"]) == (None, None, "served")
    ]
    assert (of_first[-1]["predictions"], of_first[-1]["outcomes"]) == (2, 1)


# Functions of the author that meet data which they cannot take.

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "value",
    [NAN, INF, [1], {"a": 1}, b"x", 1 + 2j, ..., 10**30, -(10**30), "\ud800"],
    ids=repr,
)
def test_a_feature_that_is_no_value_is_refused_by_name(value: Any):
    """Only what JSON and a model can take becomes a feature."""
    partition = Partition(use_case(features=FEATURES | {"mine": lambda _e: value}))
    before = dump(partition.task)
    (letter,) = letters(partition.event("1", 0))
    assert "'mine'" in letter["error"]
    before["told"] = dump(partition.task)["told"]
    assert dump(partition.task) == before


def test_a_feature_that_is_none_is_absent():
    """And the event is answered."""
    (features, _) = [out for out in Partition().event("1", 0) if out.kind != "lifecycle"]
    assert "colour" not in features.value["features"]


@pytest.mark.parametrize("over", [over_events, over_outcomes])
@pytest.mark.parametrize(
    "value", [NAN, INF, "text", [1], 10**400, 1e200, ZeroDivisionError], ids=str
)
def test_a_window_s_value_that_is_no_number_is_refused_by_name(over: Any, value: Any):
    """The window never holds it, so later events of that key are not spoilt."""

    def of(entity: Any, *_: Any) -> Any:
        if entity.colour != "bad":
            return 1.0
        if value is ZeroDivisionError:
            raise ZeroDivisionError
        return value

    windows = {"mine": over(by="shop", last=60).mean(of, empty=0.0)}
    partition = Partition(use_case(features=windows))
    said = partition.event("1", 0, colour="bad") + partition.outcome("1", 5)
    (letter,) = [one for one in letters(said) if "mine" in one["error"]]
    assert letter["error_class"] == "malformed"
    assert kinds(partition.event("2", 6)) == ["features", "predictions"]
    assert kinds(partition.outcome("2", 7)) == ["examples"]


@pytest.mark.parametrize("part", ["label", "weight", "kpi"])
@pytest.mark.parametrize(
    "value", [NAN, INF, "text", None, [1], 10**400, ZeroDivisionError], ids=str
)
def test_a_label_weight_or_kpi_that_fails_refuses_the_outcome_and_changes_nothing(
    part: str, value: Any
):
    """The event goes on waiting: a corrected outcome is learnt."""

    def of(_event: Any, outcome: Any, *_: Any) -> Any:
        if outcome.took != 13.0:
            return outcome.took
        if value is ZeroDivisionError:
            raise ZeroDivisionError
        return value

    bent = Kpi(of, unit="EUR", better="lower", range=(0, 9)) if part == "kpi" else of
    partition = started(**{part: bent})
    before = dump(partition.task)
    (letter,) = letters(partition.outcome("first", 70, 13.0))
    assert letter["error_class"] == "malformed"
    assert dump(partition.task) == before
    assert kinds(partition.outcome("first", 70, 12.0)) == ["examples"]


def test_a_negative_weight_is_refused():
    """A model would unlearn by it."""
    partition = Partition(use_case(weight=lambda _e, _o: -1.0))
    partition.event("1", 0)
    (letter,) = letters(partition.outcome("1", 5))
    assert "weight" in letter["error"]


@pytest.mark.parametrize("value", [NAN, INF, "text", None, ZeroDivisionError], ids=str)
def test_a_baseline_that_fails_refuses_the_event(value: Any):
    """There must always be an answer, so an event without a baseline gets none at all."""

    def baseline(_event: Any) -> Any:
        if value is ZeroDivisionError:
            raise ZeroDivisionError
        return value

    (letter,) = letters(Partition(use_case(baseline=baseline)).event("1", 0))
    assert "baseline" in letter["error"]


@pytest.mark.parametrize("where", ["segments", "slices"])
def test_a_group_that_cannot_be_told_refuses_the_event(where: str):
    """A segment's or a slice's function may fail on data, too."""
    from models.usecase import Segments

    bent: dict[str, Any] = {
        "segments": Segments(lambda e: 1 // (e.items - 1), limit=3),
        "slices": {"x": lambda e: 1 // (e.items - 1)},
    }
    partition = Partition(use_case(**{where: bent[where]}))
    (letter,) = letters(partition.event("1", 0))
    assert "segment or slice" in letter["error"]
    assert kinds(partition.event("2", 0, items=3)) == ["features", "predictions"]


class Fussy(Order):
    """An event whose author's validator raises what pydantic does not expect."""

    @field_validator("weight")
    @classmethod
    def _inverse(cls, weight: float) -> float:
        return 1 / weight


def test_a_validator_of_the_author_that_fails_refuses_the_event():
    """Whatever it raises: reading never does."""
    partition = Partition(use_case(event=Fussy))
    (letter,) = letters(partition.event("1", 0, weight=0.0))
    assert "ZeroDivisionError" in letter["error"]


# Models that answer nonsense.


class Odd:
    """A model that says one thing for ever, or raises it."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def predict_one(self, _x: Any) -> Any:
        """It, whatever is asked."""
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    predict_proba_one = predict_one

    def learn_one(self, _x: Any, _y: Any) -> None:
        """Nothing."""
        if isinstance(self.said, Exception):
            raise self.said


@pytest.mark.parametrize(
    "said", [NAN, INF, -1e9, 1e300, "text", None, [1], 2j, 10**400, ValueError("no")], ids=str
)
def test_no_nonsense_of_a_model_reaches_a_consumer(said: Any):
    """The baseline answers and says so; the shadow is null or a number; the loop goes on."""
    partition = Partition(use_case(models={"odd": lambda: Odd(said)}, champion="odd", warmup=0))
    prediction = partition.event("1", 0)[-1].value
    assert (prediction["value"], prediction["answered_by"]) == (5.0, "baseline")
    assert "odd" in prediction["reason"]
    assert kinds(partition.outcome("1", 5)) == ["examples"]
    assert b"NaN" not in b"".join(out.raw.value for out in partition.said)


@pytest.mark.parametrize(
    "said",
    [{"x": NAN}, {"x": 2.0}, {"x": -0.5, "y": 1.5}, {"x": None}, {"x": "p"}, {}, None, 3],
    ids=str,
)
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_no_nonsense_of_a_classifier_reaches_a_consumer(kind: str, said: Any):
    """Probabilities that are none: the baseline answers."""
    labels = {"binary": (lambda _e, o: o.took > 5, False), "multiclass": (lambda _e, _o: "x", "y")}
    label, baseline = labels[kind]
    partition = Partition(
        use_case(
            models={"odd": lambda: Odd(said)},
            champion="odd",
            warmup=0,
            kind=kind,
            metric="accuracy",
            label=label,
            baseline=lambda _e: baseline,
            kpi=Kpi(lambda _e, _o, s: float(s != "x"), unit="EUR", better="lower", range=(0, 1)),
            limits=None,
        )
    )
    prediction = partition.event("1", 0)[-1].value
    assert (prediction["value"], prediction["answered_by"]) == (baseline, "baseline")
    assert kinds(partition.outcome("1", 5)) == ["examples"]


@pytest.mark.parametrize("model", [linear, linear_model.LinearRegression])
@pytest.mark.parametrize("size", [1e60, 9e99, 1e150, 1.7e308])
def test_features_of_any_finite_size_stop_nothing_and_let_no_infinity_out(size: float, model: Any):
    """Models, drift detectors and contributions multiply and add what they are given."""
    case = use_case(
        max_jump=1e9,
        window=minutes(1),
        features=Order.fields("weight"),
        limits=None,
        models={"linear": model},
    )
    partition = Partition(case)
    for n in range(20 * 59):
        minute, second = divmod(n, 59)
        partition.event(str(n), minute * 60 + second, weight=size * (1 - n % 3), items=1)
        partition.outcome(str(n), minute * 60 + second, took=float(n % 10))
    for out in partition.said:
        if out.kind in RECORDS:
            RECORDS[out.kind].model_validate_json(out.raw.value)
    refused = [one for one in partition.of("dead-letter") if one["stage"] == "event"]
    assert len(partition.of("predictions")) + len(refused) == 20 * 59


# Sizes.


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        (b"\x00" * 10_000_000, {}),
        (b"x", {"headers": (("h", b"x" * 5_000_000),)}),
        (b"x", {"headers": tuple(("", b"") for _ in range(200_000))}),
        (b"x", {"headers": (("n" * 3_000_000, b""),)}),
        (b"x", {"key": b"k" * 3_000_000}),
    ],
    ids=["value", "one header", "many empty headers", "a header's name", "key"],
)
def test_a_dead_letter_fits_any_broker_s_message_size(value: bytes, rest: dict[str, Any]):
    """Else the transaction that carries it could never commit: one bad record for ever."""
    (out,) = [one for one in started().give(EVENTS, value, **rest) if one.kind == "dead-letter"]
    assert size_of(out) < BROKER_BYTES_MAX


@pytest.mark.parametrize("part", ["feature", "label", "validator", "unknown fields"])
def test_an_error_s_text_is_bounded_too(part: str):
    """An author's function may put the whole value into what it raises."""
    text = "\x7f" * (200 * KIB)

    def loud(event: Any, *_: Any) -> Any:
        raise ValueError(f"cannot take {event.colour!r}")

    class Loud(Order, extra="forbid"):
        """An order that is loud about what it cannot take."""

        @field_validator("colour")
        @classmethod
        def _loud(cls, colour: str) -> str:
            if part == "validator":
                raise KeyError(colour)
            return colour

    changes: dict[str, Any] = {"event": Loud, "slices": {}}
    if part == "feature":
        changes["features"] = {"loud": loud}
    if part == "label":
        changes["label"] = loud
    partition = Partition(use_case(**changes))
    extra = {text: 1} if part == "unknown fields" else {"colour": text}
    said = partition.event("1", 0, **extra) + partition.outcome("1", 5)
    (out,) = [one for one in said if one.kind == "dead-letter"]
    assert size_of(out) < 600 * KIB


def test_the_largest_record_that_is_read_gives_outputs_that_fit_any_broker():
    """All its text is a feature, so features, prediction and example carry it again."""
    partition = Partition(use_case(slices={}))
    text = "\x7f" * (255 * KIB)
    said = partition.event("1", 0, colour=text) + partition.outcome("1", 5)
    assert kinds(said) == ["features", "predictions", "examples"]
    assert max(map(size_of, said)) < BROKER_BYTES_MAX


def size_of(out: Out) -> int:
    """Bytes of the record as Kafka counts them, roughly."""
    headers = sum(len(name.encode()) + len(value) + 10 for name, value in out.raw.headers)
    return len(out.raw.key or b"") + len(out.raw.value) + headers


# Growth of a schema while the use case runs.


class Grown(Order):
    """The same event with one optional field more."""

    fragile: bool = False


def test_an_event_schema_may_grow_by_an_optional_field_while_running():
    """The same state goes on under the new class: waiting and settled ids are still recognised."""
    partition = Partition()
    partition.event("waits", 0)
    partition.event("done", 1)
    partition.outcome("done", 2)
    ledger = partition.task.ledger
    grown = Partition(use_case(event=Grown, features=FEATURES))
    grown.task.ledger.restore(dict(ledger.entries), {})
    assert kinds(grown.event("waits", 0)) == []
    assert kinds(grown.event("done", 1)) == []
    assert kinds(grown.outcome("done", 2)) == []
    assert grown.task.counts["repeats"] == 3
    assert kinds(grown.outcome("waits", 3)) == ["examples"]
    assert kinds(grown.event("new", 5, fragile=True)) == ["features", "predictions"]
    assert kinds(grown.event("new", 5, fragile=True)) == []


def test_an_outcome_schema_may_grow_too():
    """A repeated outcome of before is still a repetition."""

    class More(Delivery):
        """An outcome with a rating."""

        stars: int | None = None

    partition = Partition()
    partition.event("1", 0)
    partition.outcome("1", 2)
    grown = Partition(use_case(outcome=More))
    grown.task.ledger.restore(dict(partition.task.ledger.entries), {})
    assert kinds(grown.outcome("1", 2)) == []
    assert grown.task.counts["repeats"] == 1


# Huge numbers that are no feature.


def test_an_int_beyond_64_bits_in_a_field_that_is_no_feature_is_only_kept():
    """Nothing of it is written anew, so nothing can fail on it, now or at its outcome."""

    class Numbered(Order):
        """An order with a number of any size."""

        number: int

    partition = Partition(use_case(event=Numbered))
    value = json(order("1", 0), number=HUGE)
    assert kinds(partition.give(EVENTS, value)) == ["features", "predictions"]
    assert kinds(partition.give(EVENTS, value)) == []
    assert kinds(partition.outcome("1", 5)) == ["examples"]
    assert kinds(partition.give(EVENTS, value)) == []


@pytest.mark.parametrize("label", [10**30, -(2**63) - 1])
def test_a_class_beyond_64_bits_is_refused(label: int):
    """JSON's readers would not agree on it."""
    partition = Partition(
        use_case(
            kind="multiclass",
            metric="accuracy",
            label=lambda _e, _o: label,
            baseline=lambda _e: "none",
            models={"odd": lambda: Odd({"x": 1.0})},
            champion="odd",
            limits=None,
        )
    )
    partition.event("1", 0)
    (letter,) = letters(partition.outcome("1", 5))
    assert "64 bit" in letter["error"]


def test_every_bad_record_together_stops_nothing():
    """All of them in a row, twice: as many dead letters, then an event is answered as ever."""
    partition = started()
    for bad in itertools.chain(BAD, BAD):
        partition.give(bad.index, bad.value, **bad.rest)
    assert partition.task.counts["refused"] + partition.task.counts["repeats"] == 2 * len(BAD)
    assert partition.task.counts["refused"] >= 2 * sum(bad.index != COMMANDS for bad in BAD)
    assert kinds(partition.event("new", 100)) == ["features", "predictions"]
