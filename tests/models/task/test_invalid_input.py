"""Whatever comes in: it ends where the design says, in words, and the partition goes on."""

from __future__ import annotations

import base64
import gzip
import itertools
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from models.inputs.decoder import COMMANDS, EVENTS, HISTORY, OUTCOMES
from schemas.partitioner import partition_of
from tests.models.task.test_failing_functions import Odd
from tests.support.one_partition import (
    Order,
    Partition,
    at,
    command,
    delivery,
    dump,
    kinds,
    letters,
    order,
    started,
    use_case,
)

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


def bad_command(name: str, value: Any, *words: str, fault: str = "malformed") -> Bad:
    """A command that cannot be used."""
    return Bad(name, COMMANDS, value, fault, words)


GOOD = order("new", 60)
DEEP = 100_000
HUGE = "9" * 30

BAD: list[Bad] = [
    bad_event("an id with a control character", GOOD | {"event_id": "o1\n"}, "event_id", "control"),
    bad_event("garbage bytes", b"\x00\xff\x13garbage", "not JSON", "Order"),
    bad_event("nothing at all", b"", "not JSON"),
    bad_event("a byte order mark", b"\xef\xbb\xbf" + orjson.dumps(GOOD), "byte order mark"),
    bad_event("a schema's id", b"\0\0\0\0\x07" + orjson.dumps(GOOD), "a schema, 7", "source"),
    bad_event("gzip", gzip.compress(orjson.dumps(GOOD)), "begins as gzip", "unpacked"),
    bad_event("a pickle", b"\x80\x04\x95", "a Python pickle"),
    bad_event("XML", b"<order/>", "XML", "source"),
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
    bad_event("a key that looks alike", GOOD | {"shop": "\u00e9"}, "byte by byte", "\\xcc\\x81",
              key="e\u0301".encode()),
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
    bad_command("a model that is none", command("c", "promote", model="oak"), "'oak'", "tree",
                fault="refused"),
    bad_command("the champion itself", command("c", "promote", model="linear"), "already",
                fault="refused"),
    bad_command("no champion before", command("c", "rollback"), "no earlier champion",
                fault="refused"),
    bad_command("evidence beyond 64 bits",
                json(command("c", "freeze"), evidence=f'{{"n": {HUGE}}}'), "evidence"),
    Bad("history without its kind", HISTORY, order("h", 60), "malformed", ("riverrun_kind",)),
    Bad("history of no kind", HISTORY, order("h", 60), "malformed", ("event or outcome",),
        {"headers": (("riverrun_kind", b"opinion"),)}),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_record_becomes_one_dead_letter_that_says_why(bad: Bad):
    """One dead letter with the bytes, the place, the class and words to act on; nothing else."""
    partition = started()
    outputs = partition.give(bad.index, bad.value, **bad.rest)
    (letter,) = letters(outputs)
    assert len(outputs) == 1
    assert letter["error_class"] == bad.fault
    for word in bad.words:
        assert word in letter["error"]
    raw = orjson.dumps(bad.value) if isinstance(bad.value, dict) else bad.value
    assert base64.b64decode(letter["value_base64"]) == raw[: 512 * KIB]
    assert (letter["value_bytes"], letter["offset"]) == (len(raw), partition.offsets[bad.index] - 1)
    headers = dict(outputs[0].raw.headers)
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
        before["router"], after["router"] = before["router"][:3], after["router"][:3]
    assert after == before
    assert partition.task.step == step + 1
    # A command that cannot be obeyed is no record that could not be used.
    assert partition.task.counts["refused"] == (bad.fault != "refused")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_follows_a_bad_record_is_as_if_it_had_not_come(bad: Bad):
    """Later predictions and examples equal those of a partition that never saw it."""
    spoilt, clean = started(), started()
    spoilt.give(bad.index, bad.value, **bad.rest)
    assert later(spoilt) == later(clean)


def later(partition: Partition) -> list[dict[str, Any]]:
    """What the next records give, without the numbers of steps."""
    outputs = [
        *partition.event("early", 70),
        *partition.outcome("first", 80),
        *partition.event("x1", 90, items=2),
        *partition.outcome("x1", 95, 3.0),
        *partition.event("x2", 1_800),
    ]
    assert kinds(outputs).count("predictions") == 3
    return [{k: v for k, v in out.value.items() if k not in ("step", "seq")} for out in outputs]


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
    "an id of odd characters": GOOD | {"event_id": " |$(;'🚚\u200d"},
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_is_odd_but_clear_is_answered(name: str):
    """It gets its prediction, its outcome is learnt, and both may come a second time."""
    partition = started()
    value = TOLERATED[name]
    outputs = partition.give(EVENTS, value)
    assert kinds(outputs) == ["features", "predictions"]
    event_id = outputs[-1].value["event_id"]
    assert kinds(partition.give(EVENTS, value)) == []
    assert kinds(partition.outcome(event_id, 100)) == ["examples"]
    assert kinds(partition.give(EVENTS, value)) == []
    assert kinds(partition.outcome(event_id, 100)) == []
    assert partition.task.counts["repeats"] == 3


def test_of_a_key_that_comes_twice_in_one_record_the_last_counts():
    """As JSON readers commonly do; the original bytes are not altered."""
    outputs = started().give(EVENTS, TOLERATED["the same key twice"])
    assert outputs[0].value["features"]["weight"] == 2.0


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
    partition_number = partition_of(b"a", 4)
    partition = Partition(partitions=4, number=(partition_number + 1) % 4)
    (letter,) = letters(partition.event("1", 0))
    assert f"puts it on {partition_number} of 4" in letter["error"]
    assert "partitioner=murmur2_random" in letter["error"]
    assert kinds(Partition(partitions=4, number=partition_number).event("1", 0)) == [
        "features",
        "predictions",
    ]


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
    outputs = partition.give(EVENTS, order("1", 0), headers=headers)
    outputs += partition.outcome("1", 10)
    traced = [out.kind for out in outputs if dict(out.raw.headers).get("traceparent") == trace]
    assert traced == ["features", "predictions", "examples"]


def test_a_traceparent_that_is_none_or_huge_is_left_out():
    """It would be kept for as long as its event waits."""
    for value in (None, b"x" * 300):
        outputs = Partition().give(EVENTS, order("1", 0), headers=(("traceparent", value),))
        assert all("traceparent" not in dict(out.raw.headers) for out in outputs)


# Huge numbers that are no feature.


def test_an_int_beyond_64_bits_in_a_field_that_is_no_feature_is_only_kept():
    """Nothing of it is rewritten, so nothing can fail on it, now or at its outcome."""

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
    disobeyed = 2 * sum(bad.fault == "refused" for bad in BAD)
    taken = partition.task.counts["refused"] + partition.task.counts["repeats"]
    assert 2 * len(BAD) - disobeyed <= taken <= 2 * len(BAD)
    assert partition.task.counts["refused"] >= 2 * sum(bad.index != COMMANDS for bad in BAD)
    assert kinds(partition.event("new", 100)) == ["features", "predictions"]
