"""Records that are set aside, in the core: their place, their letter, and what is remembered."""

from __future__ import annotations

import pickle
from typing import Annotated, Any

import orjson
import pytest

from models.inputs.decoder import EVENTS, PlainRecord
from models.inputs.skipped_records import BY_RULE_MAX, BY_RULE_STEPS, Skip, Skips
from models.task.checkpoint import parts_of, take_parts
from schemas.errors import Malformed
from schemas.personal_data import Personal
from schemas.records import JournalEntry
from streams.partition.skip_requests import failure_of, wishes
from tests.support.one_partition import (
    Delivery,
    Order,
    Partition,
    at,
    dump,
    letters,
    order,
    use_case,
)


def record(offset: int, value: dict[str, Any]) -> PlainRecord:
    """An event of shop a."""
    return PlainRecord("parcels.events", 0, offset, 0, b"a", orjson.dumps(value))


SKIP = Skip(EVENTS, 1, "ann", "a broken scale", "skip-1", "ZeroDivisionError: x", "Traceback …")


def test_it_takes_its_place_and_leaves_as_a_dead_letter() -> None:
    """No prediction; a dead letter with the failure, a lifecycle record, and its journal entry."""
    feed = Partition()
    feed.event("e0", 0)
    outputs = feed.task.set_aside(EVENTS, record(1, order("e1", 60)), SKIP)
    values = {output.kind: orjson.loads(output.value) for output in outputs}
    letter, told = values["dead-letter"], values["lifecycle"]
    assert set(values) == {"dead-letter", "lifecycle"}
    assert (letter["error_class"], letter["offset"]) == ("skipped", 1)
    assert letter["error"] == (
        "set aside by ann, since it could not be applied: a broken scale. ZeroDivisionError: x"
    )
    assert letter["traceback"] == "Traceback …"
    assert (told["to_state"], told["cause"], told["command_id"]) == (
        "skipped",
        "operator",
        "skip-1",
    )
    sealed = feed.task.seal()
    assert sealed is not None
    entry = JournalEntry.model_validate_json(sealed)
    assert entry.skipped is not None
    assert entry.skipped[0].model_dump() == SKIP._asdict()
    assert (entry.step, entry.next[EVENTS]) == (2, 2)
    assert feed.task.counts["skipped"] == 1


def test_a_command_is_remembered_until_its_record_comes_and_after() -> None:
    """Over a snapshot, too; what was applied or set aside before is refused."""
    feed = Partition()
    feed.event("e0", 0)
    asked = {"input": "events", "offset": 4}
    assert feed.command("c1", "skip", record=asked) == []
    parts = pickle.loads(pickle.dumps(parts_of(feed.task)))
    again = Partition()
    take_parts(again.task, parts, {})
    assert again.task.wanted == feed.task.wanted
    assert again.task.wanted[EVENTS, 4].who == "ann"
    feed.task.set_aside(EVENTS, record(4, order("e4", 60)), feed.task.wanted[EVENTS, 4])
    assert feed.task.wanted == {}
    outputs = feed.command("c2", "skip", record=asked)
    assert "was set aside at step 3" in letters(outputs)[0]["error"]
    outputs = feed.command("c3", "skip", record={"input": "events", "offset": 0})
    assert "has been applied" in letters(outputs)[0]["error"]
    outputs = feed.command("c4", "skip")
    assert "names no record" in letters(outputs)[0]["error"]


def test_a_command_that_comes_after_what_it_asked_for_is_quiet() -> None:
    """Its record was set aside when the command was looked for beside the order of the inputs."""
    feed = Partition()
    wish = Skip(EVENTS, 0, "ann", "a test", "c1")
    feed.task.set_aside(EVENTS, record(0, order("e0", 0)), wish)
    assert feed.command("c1", "skip", record={"input": "events", "offset": 0}) == []


def test_the_rule_does_not_set_everything_aside() -> None:
    """Ten in a thousand steps: then it is the state that is at fault, and a person decides."""
    skips = Skips()
    for n in range(BY_RULE_MAX):
        assert skips.rule_may(100 + n)
        skips.did(Skip(EVENTS, n, "rule", "failed"), 100 + n)
    assert not skips.rule_may(200)
    assert skips.rule_may(110 + BY_RULE_STEPS)
    skips.want(Skip(EVENTS, 50, "ann", "broken", "c"), 20)
    with pytest.raises(Malformed, match="has been applied"):
        skips.want(Skip(EVENTS, 19, "ann", "broken", "c"), 20)


def test_wishes_are_read_past_whatever_is_on_the_topic() -> None:
    """Junk, other commands and a `skip` of nothing are left alone."""
    asked = {"command_id": "c", "who": "ann", "why": "w", "time": at(0)}
    values = [
        b"{nonsense",
        None,
        orjson.dumps(asked | {"verb": "freeze"}),
        orjson.dumps(asked | {"verb": "skip"}),
        orjson.dumps(asked | {"verb": "skip", "record": {"input": "moon", "offset": 1}}),
        orjson.dumps(asked | {"verb": "skip", "record": {"input": "outcomes", "offset": 1}}),
    ]
    positions = wishes(PlainRecord("c", 0, n, 0, None, value) for n, value in enumerate(values))
    assert list(positions) == [(1, 1)]


class Secret(Order):
    """With a name that is personal."""

    name: Annotated[str, Personal] = ""


def test_personal_data_is_in_no_trace() -> None:
    """What an exception says may quote it: type and place are enough."""

    def fails(name: str = "Maria Schmidt") -> None:
        raise ValueError(f"cannot use {name}")

    assert Partition(use_case(event=Secret, outcome=Delivery)).task.masking
    try:
        fails()
    except ValueError as error:
        shown, masked = (failure_of(0, 1, error, masked=masked) for masked in (False, True))
    assert "Maria" in str(shown.error)
    assert "Maria" not in repr(masked)
    assert "in fails" in str(masked.traceback)


def test_a_state_that_set_records_aside_is_cut_and_restored() -> None:
    """What is remembered is in the snapshot."""
    feed = Partition()
    feed.event("e0", 0)
    feed.task.set_aside(EVENTS, record(1, order("e1", 60)), SKIP)
    feed.task.seal()
    parts = pickle.loads(pickle.dumps(parts_of(feed.task)))
    again = Partition()
    take_parts(again.task, parts, dict(feed.task.ledger.entries))
    assert dump(again.task) == dump(feed.task)
    assert again.task.skips.done == feed.task.skips.done
