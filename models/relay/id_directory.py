"""Where events are, by their ids: how an outcome that knows only the id is given its event's key.

    event ──▶ its key is noted                  ──▶ outcomes that waited for it are relayed
    outcome ──▶ relayed under its event's key, or held until the event comes

Both are forgotten `memory_s` of event time after their own time, as a partition forgets ids. What
is noted and held is written beside what is relayed, on the compacted topic `ids`, in the same
transaction: a recovery reads it back (`restore`), whatever has become of the sources.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from models.inputs.decoder import PlainRecord
from models.outputs.output_records import Output, Tombstone
from models.pending.expiry_queue import ExpiryQueue
from models.relay.record_mapper import MappedRecord

EVENT, OUTCOME = b"event/", b"outcome/"
"""What the keys of `ids` begin with."""


def origin_text(topic: str, partition: int, offset: int) -> str:
    """Return where a record was relayed from, as headers and the keys of `ids` have it.

    >>> origin_text("orders", 0, 17)
    'orders/0/17'
    """
    return f"{topic}/{partition}/{offset}"


class WaitingOutcome(NamedTuple):
    """An outcome that waits for its event: the record of the source, and what it became."""

    record: PlainRecord
    mapped: MappedRecord

    @property
    def origin(self) -> str:
        """Return where the record is: topic/partition/offset."""
        return origin_text(self.record.topic, self.record.partition, self.record.offset)

    @property
    def size(self) -> int:
        """Return the room that it takes, in bytes."""
        record = self.record
        return len(record.value or b"") + len(record.key or b"") + len(self.mapped.value) + 200


class IdDirectory:
    """The ids of relayed events, and outcomes without one. Memory: at most `limit` ids of about 500
    bytes, and `held_limit` outcomes of `held_bytes` together; beyond, the oldest go first.
    """

    def __init__(
        self, memory_s: float, limit: int, held_limit: int, held_bytes: int = 1 << 40
    ) -> None:
        self._memory_s = memory_s
        self._limit = limit
        self._held_limit, self._held_bytes = held_limit, held_bytes
        self._bytes = 0
        self._rows: list[Output | Tombstone] = []
        self._known: dict[str, tuple[bytes, float]] = {}
        self._expiry = ExpiryQueue(lambda id: self._known[id][1] if id in self._known else None)
        # By origin, the first that came first; and the origins of each event's.
        self._held: dict[str, WaitingOutcome] = {}
        self._of_event: dict[str, dict[str, None]] = {}
        self._held_from = float("inf")  # no outcome that is held is older

    def note(self, event_id: str, key: bytes, time: float) -> list[WaitingOutcome]:
        """Note an event's key; returns the outcomes that waited for it, no longer held.

        An id that is known keeps the key that it came with first.
        """
        if event_id not in self._known:
            self._know(event_id, key, time)
            value = {"event_id": event_id, "key": key.decode(), "time_s": time, "outcome": None}
            self._write(EVENT + event_id.encode(), orjson.dumps(value))
        return [self._release(origin) for origin in list(self._of_event.get(event_id, ()))]

    def key_of(self, event_id: str) -> bytes | None:
        """Return the key of an event; None if it is not known."""
        known = self._known.get(event_id)
        return None if known is None else known[0]

    def hold(self, held: WaitingOutcome) -> None:
        """Hold an outcome whose event has not come."""
        self._put(held)
        record, mapped = held
        value = {
            "event_id": mapped.event_id,
            "key": None,
            "time_s": mapped.time,
            "outcome": {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp_ms": record.timestamp,
                "key_base64": None if record.key is None else b64encode(record.key).decode(),
                "value_base64": b64encode(record.value or b"").decode(),
                "headers": [[n, b64encode(value).decode()] for n, value in record.headers],
            },
        }
        self._write(OUTCOME + held.origin.encode(), orjson.dumps(value))

    def pass_to(self, now: float) -> list[WaitingOutcome]:
        """Forget what is older than the memory, or more than there is room for; returns the
        outcomes that are given up.
        """
        before = now - self._memory_s
        while self._expiry.first[0] < before or len(self._known) > self._limit:
            _, event_id = self._expiry.pop()
            if self._known.pop(event_id, None) is not None:
                self._write(EVENT + event_id.encode(), None)
        given_up = []
        if self._held_from < before:
            overdue = [origin for origin, held in self._held.items() if held.mapped.time < before]
            given_up += [self._release(origin) for origin in overdue]
            times = (held.mapped.time for held in self._held.values())
            self._held_from = min(times, default=float("inf"))
        while len(self._held) > self._held_limit or self._bytes > self._held_bytes:
            given_up.append(self._release(next(iter(self._held))))
        return given_up

    def take_rows(self) -> list[Output | Tombstone]:
        """Return what `ids` has not been told yet."""
        rows, self._rows = self._rows, []
        return rows

    def restore(self, rows: Mapping[bytes, bytes]) -> Iterator[PlainRecord]:
        """Take over what `ids` holds; yields the records of held outcomes, to be mapped again and
        given to `held_again`.
        """
        for value in rows.values():
            row = orjson.loads(value)
            if row["outcome"] is None:
                self._know(row["event_id"], row["key"].encode(), row["time_s"])
            else:
                yield _record(row["outcome"])

    def held_again(self, record: PlainRecord, mapped: Iterable[MappedRecord]) -> None:
        """Hold an outcome that `restore` gave."""
        for each in mapped:
            if each.key is None:
                self._put(WaitingOutcome(record, each))

    def _know(self, event_id: str, key: bytes, time: float) -> None:
        self._known[event_id] = key, time
        self._expiry.add(time, event_id)

    def _put(self, held: WaitingOutcome) -> None:
        self._held[held.origin] = held
        self._bytes += held.size
        self._held_from = min(self._held_from, held.mapped.time)
        self._of_event.setdefault(held.mapped.event_id, {})[held.origin] = None

    def _release(self, origin: str) -> WaitingOutcome:
        held = self._held.pop(origin)
        self._bytes -= held.size
        origins = self._of_event[held.mapped.event_id]
        del origins[origin]
        if not origins:
            del self._of_event[held.mapped.event_id]
        self._write(OUTCOME + origin.encode(), None)
        return held

    def _write(self, key: bytes, value: bytes | None) -> None:
        row = Tombstone("ids", key, 0) if value is None else Output("ids", key, value, (), 0)
        self._rows.append(row)


def _record(row: Mapping[str, Any]) -> PlainRecord:
    return PlainRecord(
        row["topic"],
        row["partition"],
        row["offset"],
        row["timestamp_ms"],
        None if row["key_base64"] is None else b64decode(row["key_base64"]),
        b64decode(row["value_base64"]),
        tuple((name, b64decode(value)) for name, value in row["headers"]),
    )
