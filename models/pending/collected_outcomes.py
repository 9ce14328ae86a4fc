"""Outcomes of events whose label is a fold: collected from the first of them to the horizon.

    pending ──until──▶ labelled ──horizon──▶ (the ledger alone knows the id)
       └─ no label yet ─▶ unlabelled ──first label / horizon──▶

The state depends on which versions of which outcomes have come, and on nothing else: of each
outcome are kept the version of latest time (ties: larger digest) and the earliest time of all.
Memory: a time for each event that waits, and the records of its outcomes; both as long as the event
waits in the ledger, so within its bounds; at most `LabelFold.limit` outcomes an event, and
`waiting_bytes` of all together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from models.inputs.decoder import DecodedRecord
from models.pending.early_outcomes import OVERHEAD_BYTES
from models.pending.expiry_queue import ExpiryQueue


class CollectedOutcome(NamedTuple):
    """One outcome: when its first version happened, the record and digest of its newest."""

    first: float
    taken: DecodedRecord
    digest: bytes

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return len(self.taken.record.value or b"") + OVERHEAD_BYTES

    def with_version(self, other: CollectedOutcome) -> CollectedOutcome:
        """Return the outcome with one more version; the same object if that changes nothing."""
        newest = max(self, other, key=lambda one: (one.taken.time, one.digest))
        first = min(self.first, other.first)
        if newest is self and first == self.first:
            return self
        return CollectedOutcome(first, newest.taken, newest.digest)


Collection = Mapping[str, CollectedOutcome]
"""An event's outcomes by their ids."""
NOTHING: Collection = {}


class CollectedOutcomes:
    """The outcomes of one partition's waiting events. `until`: seconds after the event.

    Call order for an event: `expect`, `put`*, `due` gives it once, `put`*, `forget`.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        # Events whose label is not due yet, with their times.
        self.pending: dict[str, float] = {}
        self.outcomes: dict[str, dict[str, CollectedOutcome]] = {}
        self.bytes = 0
        # Events that had a label: how often it was corrected.
        self.revisions: dict[str, int] = {}
        # Events whose label is not plausible now, and the outcomes of those that were released.
        self.withheld: set[str] = set()
        self.released: dict[str, bytes] = {}
        self._queue = ExpiryQueue(self.pending.get)

    def expect(self, event_id: str, time: float) -> None:
        """Add an event that waits."""
        self.pending[event_id] = time
        self._queue.add(time, event_id)

    def of(self, event_id: str) -> Collection:
        """Return the outcomes of an event that have come."""
        return self.outcomes.get(event_id, NOTHING)

    def put(self, event_id: str, outcome_id: str, outcome: CollectedOutcome) -> None:
        """Keep an outcome, in the place of the one with the same id."""
        of = self.outcomes.setdefault(event_id, {})
        if outcome_id in of:
            self.bytes -= of[outcome_id].size
        self.bytes += outcome.size
        of[outcome_id] = outcome

    def due(self, now: float) -> Iterator[str]:
        """Yield the events whose label is due at `now`, the oldest first; each once."""
        before = now - self.until
        while self._queue.first[0] < before:
            time, event_id = self._queue.pop()
            if self.pending.get(event_id) == time:
                del self.pending[event_id]
                yield event_id

    def take(self, event_id: str) -> bool:
        """Make an event's label due now; return False if it was before."""
        return self.pending.pop(event_id, None) is not None

    def is_labelled(self, event_id: str) -> bool:
        """Return whether a label of the event is counted now."""
        return event_id in self.revisions and event_id not in self.withheld

    def release(self, event_id: str) -> None:
        """Release the label that the event's outcomes make now."""
        self.released[event_id] = together(self.of(event_id).values())

    def is_released(self, event_id: str) -> bool:
        """Return whether the label that the outcomes make now was released."""
        released = self.released.get(event_id)
        return released is not None and released == together(self.of(event_id).values())

    def forget(self, event_id: str) -> list[CollectedOutcome]:
        """Remove an event and return its outcomes."""
        self.pending.pop(event_id, None)
        self.revisions.pop(event_id, None)
        self.withheld.discard(event_id)
        self.released.pop(event_id, None)
        outcomes = list(self.outcomes.pop(event_id, NOTHING).values())
        self.bytes -= sum(one.size for one in outcomes)
        return outcomes

    def restore(
        self,
        pending: dict[str, float],
        outcomes: dict[str, dict[str, CollectedOutcome]],
        revisions: dict[str, int],
        doubts: tuple[Iterable[str], dict[str, bytes]],
    ) -> None:
        """Restore the saved state; `doubts`: the labels that are withheld, and those released."""
        self.pending, self.outcomes, self.revisions = pending, outcomes, revisions
        self.bytes = sum(one.size for of in outcomes.values() for one in of.values())
        self.withheld, self.released = set(doubts[0]), dict(doubts[1])
        self._queue = ExpiryQueue(self.pending.get)
        for event_id, time in pending.items():
            self._queue.add(time, event_id)


def together(outcomes: Iterable[CollectedOutcome]) -> bytes:
    """Return the digests of outcomes as one, whatever their order."""
    return b"".join(sorted(one.digest for one in outcomes))


def folded(collection: Collection, end: float) -> list[CollectedOutcome]:
    """Return the outcomes that first happened by `end`, in the order of the fold."""
    inside = [(one.first, name, one) for name, one in collection.items() if one.first <= end]
    inside.sort(key=lambda entry: entry[:2])
    return [one for _, _, one in inside]
