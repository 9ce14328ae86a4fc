"""An operator sets time back: what is over stays over, and all that follows is right again."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import orjson
import pytest

from models.inputs.decoder import COMMANDS, EVENTS, OUTCOMES, PlainRecord
from models.task.checkpoint import parts_of, take_parts
from models.values.durations import days, hours
from schemas.records import Lifecycle
from schemas.topics import INPUTS
from tests.support.one_partition import (
    START,
    Partition,
    at,
    command,
    delivery,
    dump,
    kinds,
    letters,
    order,
    use_case,
)

AHEAD = days(300)


def forged(partition: Partition, index: int, fields: dict[str, Any]) -> list[Any]:
    """A record of a producer that sets the Kafka timestamp to the same wrong time."""
    return partition.give(index, fields, timestamp=START + timedelta(seconds=AHEAD))


def set_back(partition: Partition, second: float, name: str = "back") -> list[Any]:
    """Give the command."""
    return partition.command(name, "set-watermark", watermark=at(second))


def led_astray(**changes: Any) -> Partition:
    """Orders each minute, the deliveries ten minutes later; then one record of 300 days later."""
    partition = Partition(use_case(**changes))
    for n in range(40):
        partition.event(f"e{n}", 60 * n, weight=1.0 + n % 3)
        if n >= 10:
            partition.outcome(f"e{n - 10}", 60 * n + 1, 6.0 + n % 3)
    forged(partition, EVENTS, order("mad", AHEAD))
    return partition


@pytest.mark.parametrize("kind", ["event", "outcome"])
def test_after_it_events_are_answered_and_outcomes_learnt(kind: str):
    """Before it every honest record is late; after it none is, and `lifecycle` has the command."""
    partition = led_astray()
    if kind == "outcome":
        forged(partition, OUTCOMES, delivery("nobody", AHEAD + 5))
    assert letters(partition.event("lost", 2_460))[0]["error_class"] == "late"
    (told,) = [out.value for out in set_back(partition, 2_460) if out.kind == "lifecycle"]
    Lifecycle.model_validate_json(orjson.dumps(told))
    assert (told["model"], told["to_state"], told["who"]) == ("(watermark)", "set back", "ann")
    assert told["event_time"] == at(2_460).replace("Z", "+00:00")
    assert kinds(partition.event("next", 2_520)) == ["features", "predictions"]
    outputs = partition.outcome("next", 3_000)
    assert [out.value["learnt"] for out in outputs if out.kind == "examples"] == [True]
    assert partition.of("examples")[-1]["delay_s"] == 480.0


def test_what_expired_stays_expired_and_its_outcome_is_late():
    """It was said to have none: its example is published and not learnt."""
    partition = led_astray(id_retention=days(400))
    set_back(partition, 2_460)
    (example,) = [o.value for o in partition.outcome("e35", 2_500) if o.kind == "examples"]
    assert (example["learnt"], partition.task.counts["late"]) == (False, 1)


def test_an_id_that_was_forgotten_is_unknown():
    """By default its memory is twice the horizon: its outcome is held as one without an event."""
    partition = led_astray()
    set_back(partition, 2_460)
    assert kinds(partition.outcome("e35", 2_500)) == []
    assert "e35" in partition.task.ledger.early


def test_a_partition_that_has_not_come_there_is_left_as_it_is():
    """Commands go to all partitions, and one alone may have been led astray."""
    partition = Partition()
    partition.event("1", 0)
    before = dump(partition.task)
    (told,) = [out.value for out in set_back(partition, 60) if out.kind == "lifecycle"]
    after = dump(partition.task)
    assert told["to_state"] == "unchanged"
    before["router"] = after["router"] = None  # where the command's id is remembered
    assert after == before
    assert kinds(set_back(Partition(), 60)) == []


def test_without_a_time_it_is_refused():
    """A dead letter of the command, which says what is missing."""
    (letter,) = letters(Partition().command("c", "set-watermark"))
    assert letter["stage"] == "command"
    assert "watermark" in letter["error"]


def test_what_is_held_and_dated_later_is_refused_since_it_would_move_time_again():
    """An early outcome that was led astray, and one that is right and close by and so stays."""
    partition = led_astray(horizon=hours(1), id_retention=days(400))
    forged(partition, OUTCOMES, delivery("later", AHEAD + 10))
    set_back(partition, 2_460)
    (letter,) = letters(partition.outputs)
    assert (letter["error_class"], letter["stage"]) == ("ahead", "outcome")
    assert "set the watermark back" in letter["error"]
    partition.event("later", 2_500)
    assert partition.task.watermark.time == START.timestamp() + 2_500


def test_windows_forget_in_time_again():
    """A value of a later time counts as of the time that is set, and leaves in its turn."""
    partition = led_astray()
    set_back(partition, 2_400)
    partition.event("soon", 2_460)
    assert partition.of("features")[-1]["features"]["recent"] >= 1.0
    partition.event("after", 2_400 + 601)
    assert partition.of("features")[-1]["features"]["recent"] == 1.0


def test_blocks_settle_again_from_the_next_one_on():
    """None twice, and those after it as if time had not gone astray."""
    partition = led_astray(window=600.0)
    set_back(partition, 2_400)
    for n in range(41, 200):
        partition.event(f"e{n}", 60 * n)
    whole = [
        row["block_start"]
        for row in partition.of("evidence")
        if row["segment"] is None and row["slice"] is None
    ]
    assert len(whole) == len(set(whole))
    assert at(3_000).replace("Z", "+00:00") in whole


def test_windows_of_metrics_close_behind_one_that_is_far_ahead():
    """The window of the wrong time stays open and holds up none."""
    partition = led_astray(window=600.0, id_retention=hours(1))
    set_back(partition, 2_400)
    for n in range(41, 400):
        partition.event(f"e{n}", 60 * n)
    assert len({start for start, _ in partition.task.metrics.cells}) < 12


def test_a_held_outcome_that_is_released_after_it_counts_at_the_time_that_is_set():
    """A quarantined outcome of the wrong time does not poison the windows."""
    partition = Partition(
        use_case(plausible=(0.0, 100.0), id_retention=days(400), horizon=days(350))
    )
    partition.event("1", 0)
    forged(partition, OUTCOMES, delivery("1", AHEAD, took=1e6))
    set_back(partition, 60)
    partition.command("r", "release", event_ids=["1"])
    partition.event("2", 120)
    assert partition.of("features")[-1]["features"]["usual"] == pytest.approx(1e6)
    assert partition.task.counts["released"] == 1


def test_a_task_that_is_restored_amid_it_goes_on_alike():
    """Cut before and after the command: all that follows is the same, byte for byte."""
    whole = led_astray(window=600.0)
    feed: list[tuple[int, dict[str, Any], bytes]] = [
        (COMMANDS, command("back", "set-watermark", watermark=at(2_460)), b"back")
    ]
    for n in range(41, 140):
        feed.append((EVENTS, order(f"e{n}", 60 * n), b"a"))
        feed.append((OUTCOMES, delivery(f"e{n}", 60 * n + 30), b"a"))
    for cut in (0, 1, 50):
        one, other = led_astray(window=600.0), whole.task.fresh()
        for number, row in enumerate(feed[:cut]):
            _say(one.task, number, *row)
        one.task.seal()
        take_parts(
            other, *pickle.loads(pickle.dumps((parts_of(one.task), one.task.ledger.entries)))
        )
        rest = list(enumerate(feed))[cut:]
        assert [_say(other, number, *row) for number, row in rest] == [
            _say(one.task, number, *row) for number, row in rest
        ]


def _say(task: Any, offset: int, index: int, fields: dict[str, Any], key: bytes) -> list[Any]:
    stamp = int((START + timedelta(days=1)).timestamp() * 1000)
    record = PlainRecord(INPUTS[index], 0, 1_000 + offset, stamp, key, orjson.dumps(fields))
    outputs: list[Any] = task.apply(task.read(index, record))
    return outputs
