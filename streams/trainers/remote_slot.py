"""A slot whose River object is a trainer's. It counts what was sent, and asks for what it is asked.

away      the trainer has the object; learnt examples go to it
at rest   nobody has it: its pickle is here, for the next trainer or for a snapshot
in place  it is here, as in any slot: it was asked something that cannot wait
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from models.attribution.contributions import Seen
from models.serving.model_slot import ModelSlot, Result
from models.spec.problem_types import Kind, Predicted
from streams.snapshots.model_transfer import pickled
from streams.trainers.trainer_link import StateLost, TrainerLink

Names = Callable[[], AbstractContextManager[None]]


class RemoteSlot(ModelSlot):
    """In the place of a global model's slot, of a running learner only."""

    __slots__ = ("_is_here", "_names", "_state", "_ticket", "key", "link")

    def __init__(self, slot: ModelSlot, key: int, link: TrainerLink, names: Names) -> None:
        self.name = slot.name
        self.segment = slot.segment
        self.trained_on = slot.trained_on
        self.faults = slot.faults
        self.last_fault = slot.last_fault
        self.changed = slot.changed
        self.key = key
        self.link: TrainerLink | None = link
        self._model = self._fast = None
        self._is_here = False
        self._names = names
        self._ticket: int | None = None
        self._state: bytes | None = state_of(slot, names)
        link.put(key, self._state)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise AssertionError("a slot that a trainer has is pickled by the trainer")

    @property
    def is_away(self) -> bool:
        """True while a trainer has the model."""
        return self.link is not None

    @property
    def model(self) -> Any:
        """River's own object, fetched from the trainer: from now on it is in place."""
        self._come_home()
        return super().model

    @model.setter
    def model(self, model: Any) -> None:
        """Refuse: another model is another slot."""
        raise AssertionError("a model is not replaced under its trainer")

    def learn(self, x: dict[str, Any], y: Any, weight: float | None) -> None:
        """Send one example to the trainer, taking for granted that the model does not raise."""
        link = self.link
        if link is None or not link.is_live:
            self._come_home()
            self._state = None
            super().learn(x, y, weight)
            return
        self._state = self._ticket = None
        self.changed = True
        link.learn(self.key, x, y, weight)
        self.trained_on += 1

    def ask(self, kind: Kind, x: dict[str, Any]) -> Predicted | None:
        """Return what the model says of `x`, in place."""
        self._come_home()
        self._state = None  # it may draw random numbers
        return super().ask(kind, x)

    def seen(self, x: dict[str, Any]) -> Seen:
        """Return `x` as it reaches the last step of the model."""
        self._come_home()
        return super().seen(x)

    def of_model(self, function: Callable[[Any], Result]) -> Result:
        """Return what `function` makes of the model, where it is; waits for the trainer."""
        if self.link is None:
            return function(self.model)
        result: Result = self.link.result(self.link.ask("call", self.key, function))
        return result

    def is_at_hand(self) -> bool:
        """Return whether its pickle is here; if not, the trainer is asked for it once."""
        if self.link is None or self._state is not None:
            return True
        with contextlib.suppress(StateLost):  # as the next batch will tell
            if self.link.has(self._asked(self.link)):
                return bool(self.pickled())
        self.link.is_wanted = True
        return False

    def request(self) -> None:
        """Ask the trainer for its pickle as it is now."""
        if self.link is not None and self._state is None:
            self._asked(self.link)

    def _asked(self, link: TrainerLink) -> int:
        if self._ticket is None:
            self._ticket = link.ask("state", self.key)
        return self._ticket

    def pickled(self) -> bytes:
        """Return the slot as a pickle."""
        if self._state is None and self.link is not None:
            self._state, self._ticket = self.link.result(self._asked(self.link)), None
        elif self._state is None:
            self._state = state_of(self, self._names)
        return self._state

    def rest(self) -> None:
        """Take the model from the trainer, as its pickle."""
        if self.link is not None:
            self.pickled()
            self.link.drop(self.key)
            self.link = None

    def _come_home(self) -> None:
        if self._is_here:
            return
        state = self.pickled()
        with self._names():
            slot = pickle.loads(state)
        self._model, self._fast, self._is_here = slot._model, slot._fast, True
        if self.link is not None:
            self.link.drop(self.key)
            self.link = None


def state_of(slot: ModelSlot, names: Names) -> bytes:
    """Return a slot as a pickle, as a snapshot has it."""
    if isinstance(slot, RemoteSlot):
        if not slot._is_here:
            return slot.pickled()
        plain = ModelSlot(slot.name, slot.segment, slot.model)
        plain.trained_on, plain.changed = slot.trained_on, slot.changed
        plain.faults, plain.last_fault = slot.faults, slot.last_fault
        slot = plain
    with names():
        return pickled(slot)
