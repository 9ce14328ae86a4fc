"""Outcomes of recorded data, held until their event is there.

Live, an outcome may come before its event: its Kafka key takes it to the right partition, where it
is held. A recorded outcome has no Kafka key; its event has. So one that comes before its event, or
in the same second, follows right after it, which teaches the models the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models.inputs.decoder import validated
from models.inputs.json_bytes import encoded
from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS
from schemas.personal_data import wire_name

Row = tuple[str, Mapping[str, Any]]


class RecordedOrder:
    """Recorded rows of a use case in their order. `unmatched`: outcomes without event, at the end.

    Memory: the ids of all events, and the outcomes that are held.
    """

    def __init__(self, use_case: UseCase) -> None:
        self.unmatched = 0
        self._models = {"event": use_case.event, "outcome": use_case.outcome}
        self._names = {
            kind: wire_name("event_id", model.model_fields["event_id"])
            for kind, model in self._models.items()
        }

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, each outcome after its event; one without a known id as it comes."""
        events: set[str] = set()
        held: dict[str, list[Row]] = {}
        for row in rows:
            event_id = self._id(*row)
            if event_id is None:
                yield row
            elif row[0] == "event":
                events.add(event_id)
                yield row
                yield from held.pop(event_id, ())
            elif event_id in events:
                yield row
            else:
                held.setdefault(event_id, []).append(row)
        self.unmatched = sum(map(len, held.values()))

    def _id(self, kind: str, fields: Mapping[str, Any]) -> str | None:
        """Return the id; None if there is none, which the task then refuses in words."""
        if kind not in self._names or not isinstance(fields, Mapping):
            return None
        event_id = fields.get(self._names[kind])
        if event_id is not None:
            return str(event_id)
        try:  # a validator of the author's may know where it is
            body: Any = validated(self._models[kind], encoded(fields))
        except AUTHORS_FAULTS:
            return None
        return str(body.event_id)
