"""Ids of events and outcomes that wait for them: bounded in number and in bytes."""

from __future__ import annotations

from models.inputs.decoder import PlainRecord
from models.relay.id_directory import IdDirectory, WaitingOutcome
from models.relay.record_mapper import MappedRecord


def held(n: int, size: int = 10) -> WaitingOutcome:
    """An outcome of an event that never came."""
    record = PlainRecord("bills", 0, n, 0, None, b"x" * size, ())
    return WaitingOutcome(record, MappedRecord("outcomes", None, b"{}", float(n), "nobody"))


def test_held_outcomes_are_bounded_in_number_and_in_bytes() -> None:
    """The oldest are given up, each once, and what is given up is deleted from `ids`."""
    directory = IdDirectory(1e9, 10, 5, 50_000)
    for n in range(8):
        directory.hold(held(n))
    given_up = directory.pass_to(8.0)
    assert [one.record.offset for one in given_up] == [0, 1, 2]
    directory.take_rows()
    directory.hold(held(9, 30_000))
    directory.hold(held(10, 30_000))
    given_up = directory.pass_to(10.0)
    assert [one.record.offset for one in given_up] == [3, 4, 5, 6, 7, 9]
    assert len([row for row in directory.take_rows() if row.value is None]) == 6
    waited = directory.note("nobody", b"k", 11.0)
    assert [one.record.offset for one in waited] == [10]


def test_a_hundred_thousand_outcomes_of_one_event_are_released_in_their_order() -> None:
    """One event may have as many as many have, and releasing them takes no time that grows."""
    count = 100_000
    directory = IdDirectory(1e9, 10, count)
    for n in range(count):
        directory.hold(held(n))
    waited = directory.note("nobody", b"k", 1.0)
    assert [one.record.offset for one in waited] == list(range(count))
    assert not directory.pass_to(2.0)
