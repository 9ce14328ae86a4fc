"""Versions of shared models: how a state travels from the learner to the partitions.

Each version is whole: nothing depends on the one before, so a partition needs only the newest, and
none that another has overtaken is ever read. The record's value is derived again to the byte by a
fold of the learner; the state, whose pickle need not come out the same, is in its headers.

    encoding  b"linear" (models/training/linear_state.py) or b"pickle"
    state     the bytes

Whoever runs this on Kafka wraps both ways (`Pack`, `Unpack`) to sign pickles and to keep large ones
elsewhere; what is here serves backtests.
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from models.serving.model_slot import ModelSlot
from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import UseCase
from models.training import linear_state
from schemas.headers import Headers

ENCODING, STATE = "encoding", "state"
LINEAR, PICKLE = b"linear", b"pickle"


class VersionRef(NamedTuple):
    """A version that a partition has taken: which it is, and the headers that hold its state.

    `number` and `offset` are the record's. `headers` are None where a snapshot left them out.
    """

    name: str
    definition: str
    generation: int
    trained_on: int
    number: int
    offset: int
    headers: Headers | None


Pack = Callable[[ModelSlot, bytes], Headers]
"""(model, label) → the headers that hold its state as it is now."""

Unpack = Callable[[VersionRef, bytes], ModelSlot]
"""(version, label) → a slot with its model, which nobody changes and many may ask."""


def label_of_version(use_case: str, version: VersionRef) -> bytes:
    """Return what a seal is over besides the state."""
    counts = str(version.generation), str(version.trained_on)
    return "\0".join((use_case, version.definition, version.name, *counts)).encode()


def plain_pack(slot: ModelSlot, _label: bytes) -> Headers:
    """Return a model's state, unsigned."""
    model = slot.model
    numbers = linear_state.packed(model)
    if numbers is not None:
        return ((ENCODING, LINEAR), (STATE, numbers))
    return ((ENCODING, PICKLE), (STATE, pickle.dumps(model, pickle.HIGHEST_PROTOCOL)))


class PlainUnpack:
    """Reads what `plain_pack` wrote, once for all partitions of a process.

    Memory: the newest `COPIES_MAX` versions.
    """

    COPIES_MAX = 8

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        self._copies: OrderedDict[bytes, ModelSlot] = OrderedDict()

    def __call__(self, version: VersionRef, label: bytes) -> ModelSlot:
        """Return the version's model in a slot."""
        headers = dict(version.headers or ())
        state = headers[STATE]
        key = blake2b(label + state, digest_size=16).digest()
        slot = self._copies.get(key)
        if slot is None:
            model = self._model(version.name, headers[ENCODING], state)
            slot = self._copies[key] = ModelSlot(version.name, None, model)
            if len(self._copies) > self.COPIES_MAX * len(self._use_case.models):
                self._copies.popitem(last=False)
        return slot

    def _model(self, name: str, encoding: bytes, state: bytes) -> Any:
        if encoding == LINEAR:
            return linear_state.filled(self._use_case.models[name](), state)
        return pickle.loads(state)


class VersionSlot(ModelSlot):
    """A partition's copy of a shared model: it answers and never learns.

    The state is read at the first question, so of versions that came meanwhile only the newest is.
    """

    __slots__ = ("_label", "_unpack", "version")

    def __init__(self, version: VersionRef, label: bytes, unpack: Unpack) -> None:
        self.name = version.name
        self.segment = None
        self.version = version
        self.trained_on = version.trained_on
        self.faults = 0
        self.last_fault = ""
        self.changed = False
        self._label = label
        self._unpack: Unpack | None = unpack
        self._model = self._fast = None

    @property
    def model(self) -> Any:
        """Return River's own object, as of this version."""
        self._open()
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        """Refuse: a version stays what was published."""
        raise AssertionError("a partition's copy of a shared model is not replaced")

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelSlot:
        slot = ModelSlot(self.name, None, copy.deepcopy(self.model, memo))
        slot.trained_on = self.trained_on
        return slot

    def _open(self) -> None:
        if self._unpack is not None:
            copy = self._unpack(self.version, self._label)
            self._model, self._fast, self._unpack = copy._model, copy._fast, None

    def seen(self, x: dict[str, Any]) -> Any:
        """Return `x` as it reaches the last step of the model."""
        self._open()
        return super().seen(x)

    def ask(self, kind: Kind, x: dict[str, Any]) -> Predicted | None:
        """Return the model's prediction for `x`, as any slot does."""
        self._open()
        prediction = super().ask(kind, x)
        self.changed = False
        return prediction

    def learn(self, x: dict[str, Any], y: Any, weight: float | None) -> None:
        """Raise: the learner\'s model learns, never a copy."""
        raise AssertionError("a partition's copy of a shared model does not learn")
