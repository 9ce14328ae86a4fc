"""A slot: one River model of one segment. Only the slot calls River.

A model that raises is not a reason to stop: it has nothing to say, that is counted, and the
baseline answers for it. Deterministic, since the same record raises the same again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from models.attribution.contributions import Seen, inputs
from models.fastpath import fused
from models.serving.river_models import settled
from models.spec.problem_types import Kind, Predicted
from schemas.errors import AUTHORS_FAULTS

UNSTEADY = (RecursionError, MemoryError)
"""What a model may not be excused for: when it comes depends on the caller and the machine, so
that a fold would learn something else. Workers, backtests and proofs recurse deeply instead
(`streams.config.process_env.recurse_deeply`; River's search-tree splitters go one call deeper a
value).
"""

Result = TypeVar("Result")


class ModelSlot:
    """A model by its name, what it has learnt and how often it failed."""

    __slots__ = (
        "_fast", "_model", "changed", "faults", "last_fault", "name", "segment", "trained_on"
    )  # fmt: skip

    def __init__(self, name: str, segment: str | None, model: Any) -> None:
        self.name = name
        self.segment = segment
        self.model = settled(model)
        self.trained_on = 0
        self.faults = 0
        self.last_fault = ""
        self.changed = True

    def __getstate__(self) -> dict[str, Any]:
        """Return what a snapshot keeps: River's own object, and never the faster step beside it."""
        state = {
            name: getattr(self, name) for name in self.__slots__ if name not in ("_fast", "_model")
        }
        return {**state, "model": self.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def model(self) -> Any:
        """River's own object, with all that was learnt."""
        if self._fast is not None:
            self._fast.flush()
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        """Put another River object in its place."""
        self._model = model
        self._fast = fused(model)

    def of_model(self, function: Callable[[Any], Result]) -> Result:
        """Return what `function`, named at the top of a module, makes of the model."""
        return function(self.model)

    def is_at_hand(self) -> bool:
        """Return whether a snapshot can have the slot at once; else it is there soon."""
        return True

    def pickled(self) -> bytes | None:
        """Return the slot as a pickle where another process has made one; None: it is here."""
        return None

    def seen(self, x: dict[str, Any]) -> Seen:
        """Return `x` as it reaches the last step of the model as it answers now."""
        seen = None if self._fast is None else self._fast.seen(x)
        return inputs(self.model, x) if seen is None else seen

    def ask(self, kind: Kind, x: dict[str, Any]) -> Predicted | None:
        """Return its prediction for `x`; None where it makes none or raised. Nobody changes
        `x` afterwards: what was made of it may be used again when it is learnt.
        """
        self.changed = True  # some estimators draw random numbers, or cache, to say something
        try:
            return kind.ask(self._fast or self._model, x)
        except UNSTEADY:
            raise
        except (
            AUTHORS_FAULTS
        ) as error:  # whatever an estimator raises is its own fault, not the loop's
            self._fault(error)
            return None

    def learn(self, x: dict[str, Any], y: Any, weight: float | None) -> None:
        """Learn one example; `weight` only if the use case declares weights."""
        self.changed = True
        try:
            model = self._fast or self._model
            if weight is None:
                model.learn_one(x, y)
            else:
                model.learn_one(x, y, w=weight)
        except UNSTEADY:
            raise
        except AUTHORS_FAULTS as error:  # as above
            self._fault(error)
            return
        self.trained_on += 1

    def _fault(self, error: BaseException) -> None:
        self.faults += 1
        self.last_fault = f"{type(error).__name__}: {error}"
        self.changed = True
