"""A waiting prediction as one string of bytes, which decodes to exactly what was encoded.

    state and who answered (1 byte) | event time (8) | length of the event (4) | the rest

The rest is written by `marshal`. The event's length is that of its record: it is what a prediction
counts for in the bounds, whatever the size of its packed form.

`marshal` keeps Python's own numbers, text and dictionaries to the bit (NaN, infinity, -0.0, whole
numbers of any size), and nothing else: a prediction that it would not restore exactly is not
packed. Features that are fields of the event are left out, since the event gives them.
"""

from __future__ import annotations

import marshal
import struct
from typing import Any, NamedTuple

from models.features.featurizer import Vector
from models.metrics.issued_predictions import IssuedPredictions
from models.spec.experiment_arms import Drawn
from models.spec.use_case import UseCase
from schemas.events import Column

KeptFeatures = Vector | tuple[Any, ...]
"""Features: all by name, or packed: only the values of those that are no field of the event."""
Settled = bytes
"""An id whose outcome is known: event time, digests of event and outcome (`settled`)."""

ANSWERERS = ("champion", "challenger", "pooled", "baseline", "holdout")
SETTLED, WAITING, EXPIRED = range(3)
_STATES = 4
_HEAD = struct.Struct("<BdI")
_FORMAT = 4
"""The version of `marshal`'s format. The same Python reads it: a snapshot names its version."""


class PendingPrediction(NamedTuple):
    """One prediction without its outcome."""

    time: float
    event: bytes
    x: KeptFeatures
    predictions: IssuedPredictions
    expired: bool
    silent: bool
    trace: bytes | None


_BY, _DRAWN = map(IssuedPredictions._fields.index, ("by", "drawn"))


class Codec:
    """Packs the waiting predictions of one use case; stateless."""

    def __init__(self, use_case: UseCase) -> None:
        columns = {
            name: feature.name
            for name, feature in use_case.features.items()
            if isinstance(feature, Column)
        }
        self._computed = [name for name in use_case.features if name not in columns]
        self._column_fields = [*columns.values()]
        indices = {name: index for index, name in enumerate((*columns, *self._computed))}
        self._indices = [(name, indices[name]) for name in use_case.features]
        self._numbers = use_case.kind == "regression"

    def packed(
        self, waiting: PendingPrediction, *, whole: bool = False
    ) -> PendingPrediction | bytes:
        """Return a prediction as bytes, or unchanged if packing would lose information.

        `whole` keeps all features, where this definition would not compute them from the event.
        """
        predictions, x = waiting.predictions, waiting.x
        if not whole and isinstance(x, dict):
            x = tuple([x.get(name) for name in self._computed])
        drawn = predictions.drawn
        # `marshal` knows plain tuples only; who was served is in the head.
        fields: list[Any] = [*predictions]
        fields[_DRAWN] = None if drawn is None else tuple(drawn)
        del fields[_BY]
        rest = (tuple(fields), x, waiting.silent, waiting.trace, waiting.event)
        try:
            tail = marshal.dumps(rest, _FORMAT)
            by = ANSWERERS.index(predictions.by)
            state = (EXPIRED if waiting.expired else WAITING) + _STATES * by
        except ValueError:
            return waiting
        # Numbers are Python's own floats; classes and arms are what the author and River named.
        if not (self._numbers and drawn is None) and marshal.loads(tail) != rest:
            return waiting
        return _HEAD.pack(state, waiting.time, len(waiting.event)) + tail

    def opened(self, entry: bytes) -> PendingPrediction:
        """Return the unpacked prediction, with features in the form that `features` expects."""
        state, time, _ = _HEAD.unpack_from(entry)
        packed, x, silent, trace, event = marshal.loads(entry[_HEAD.size :])
        fields: list[Any] = [*packed]
        fields.insert(_BY, ANSWERERS[state // _STATES])
        fields[_DRAWN] = None if fields[_DRAWN] is None else Drawn(*fields[_DRAWN])
        predictions = IssuedPredictions._make(fields)
        expired = state % _STATES == EXPIRED
        return PendingPrediction(time, event, x, predictions, expired, silent, trace)

    def features(self, event: Any, x: KeptFeatures) -> Vector:
        """Return all features of an event, in their order, as they were predicted from."""
        if isinstance(x, dict):
            return x
        values = [*[getattr(event, field) for field in self._column_fields], *x]
        return {
            name: value for name, index in self._indices if (value := values[index]) is not None
        }


def settled(time: float, event: bytes, outcome: bytes) -> Settled:
    """Return an id's last state: its event time and the digests (8 bytes each) of event and
    outcomes. The digests distinguish a repetition from a contradiction without keeping either
    record.
    """
    return _HEAD.pack(SETTLED, time, 0) + event + outcome


def digests(entry: Settled) -> tuple[bytes, bytes]:
    """Return the event's digest, and the outcome's: of a folded label those of all, joined."""
    return entry[_HEAD.size : _HEAD.size + 8], entry[_HEAD.size + 8 :]


def state_of(entry: PendingPrediction | bytes) -> int:
    """Return `WAITING` for its outcome, `EXPIRED` without one, or `SETTLED`."""
    if isinstance(entry, bytes):
        return entry[0] % _STATES
    return EXPIRED if entry.expired else WAITING


def time_of(entry: PendingPrediction | bytes) -> float:
    """Return the time of its event, seconds UTC."""
    if isinstance(entry, bytes):
        time: float = _HEAD.unpack_from(entry)[1]
        return time
    return entry.time


def bytes_of(entry: PendingPrediction | bytes) -> int:
    """Return the length of the event that is kept with it; 0 of one that is settled."""
    if isinstance(entry, bytes):
        length: int = _HEAD.unpack_from(entry)[2]
        return length
    return len(entry.event)


def as_expired(entry: bytes) -> bytes:
    """Return the same packed prediction, its horizon passed."""
    return bytes([entry[0] - WAITING + EXPIRED]) + entry[1:]
