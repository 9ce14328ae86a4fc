"""A source: the mapping from the records of a foreign topic to events and outcomes of the use case.

    orders.v2 ── format ──▶ r ── event(r) ──▶ an Order on <use case>.events, keyed and partitioned

It is part of the use case, and so of its definition. The topic belongs to others: it may have any
number of partitions, any key or none, and any partitioner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.formats.json_format import Json
from models.formats.payload import Format

Mapper = Callable[[Any], Any] | Mapping[str, Any]
"""From a decoded value to a record: the record, its fields, or None if it is none.

A dictionary names for each field where it is in the value, or gives a function of the value.
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One foreign topic. At least one of `event` and `outcome` is declared.

    `event` and `outcome` make a record of a decoded value; `key` gives the use case's key of an
    outcome, which is needed only where the outcome has no field of that name. Where outcomes know
    only their event's id, `by="event_id"`: each is given the key of its event, whichever comes
    first.
    """

    topic: str
    format: Format = field(default_factory=Json)
    event: Mapper | None = None
    outcome: Mapper | None = None
    key: Callable[[Any], Any] | str | None = None
    by: str = "key"

    @property
    def by_id(self) -> bool:
        """Return whether outcomes are given the key of the event whose id they name."""
        return self.by == "event_id"
