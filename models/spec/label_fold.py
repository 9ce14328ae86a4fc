"""A label that several outcomes of one event make together, and when it counts as known.

An event's outcomes are told apart by an id of their own. Of two with the same id the later one (by
`outcome_time`) is a correction and stands in the place of the earlier. What is folded are the
outcomes that happened up to `until` after the event, in the order of the time at which each first
happened, ties by id: so neither the order in which they come nor repetitions change the label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from models.values.bounded_text import CHARACTERS_MAX
from schemas.errors import Malformed

FOLDS = ("first", "last", "sum", "count", "max", "mean")


class FoldedOutcome(NamedTuple):
    """All outcomes of an event as one: what KPI, weight and windows are given for the outcome.

    `outcomes` are in the order of the fold; `outcome_time` is that of the latest, or the end of
    the fold where there is none.
    """

    event_id: str
    outcome_time: datetime
    outcomes: tuple[Any, ...]
    label: Any

    @property
    def model_fields_set(self) -> Collection[str]:
        """Return the fields that came on a topic; none for the default of a passed horizon."""
        return self.outcomes[0].model_fields_set if self.outcomes else ("label",)


@dataclass(frozen=True, slots=True)
class LabelFold:
    """A label made of several outcomes.

    `how` is "first", "last", "sum", "count", "max" or "mean" of `value(event, outcome)`, where None
    is left out; "count" without `value` counts all, with it those for which it is true. Or `how` is
    a function of (event, outcomes) that returns the label, None for none yet. `until`: seconds
    after the event at which the label counts as known; corrections are taken until the horizon.
    `id`: the field that tells an event's outcomes apart; `limit`: how many one event may have.

    >>> class Paid:
    ...     amount = 2.0
    >>> LabelFold("sum", lambda e, o: o.amount, until=60).fold(None, (Paid, Paid))
    4.0
    """

    how: str | Callable[[Any, Sequence[Any]], Any]
    value: Callable[[Any, Any], Any] | None = None
    until: float = field(kw_only=True)
    id: str = "outcome_id"
    limit: int = 1_000

    def __call__(self, event: Any, outcome: Any) -> Any:
        """Return the label, as any use case's `label` does."""
        if isinstance(outcome, FoldedOutcome):
            return outcome.label
        return self.fold(event, (outcome,))

    def fold(self, event: Any, outcomes: Sequence[Any]) -> Any:
        """Return the label of these outcomes in their order; None if there is none."""
        how, value = self.how, self.value
        if callable(how):
            return how(event, outcomes)
        if how == "count":
            return len(outcomes) if value is None else sum(bool(value(event, o)) for o in outcomes)
        assert value is not None
        values = [v for o in outcomes if (v := value(event, o)) is not None]
        if how == "sum":
            return math.fsum(values)
        if not values:
            return None
        if how in ("first", "last"):
            return values[0 if how == "first" else -1]
        return max(values) if how == "max" else math.fsum(values) / len(values)

    def id_of(self, outcome: Any) -> str:
        """Return the id that tells the event's outcomes apart; raise `Malformed` if it has none."""
        value = getattr(outcome, self.id)
        text = "" if value is None else str(value)
        if not 0 < len(text) <= CHARACTERS_MAX:
            actual = "none" if not text else f"one of {len(text)} characters"
            raise Malformed(
                f"an outcome of a folded label needs a {self.id} of 1 to {CHARACTERS_MAX} "
                f"characters, and this one has {actual}."
            )
        return text

    def joined(
        self, event: Any, outcomes: Sequence[Any], end: datetime | None = None
    ) -> FoldedOutcome | None:
        """Return the outcomes as one, or None if they make no label; `end` is the fold's."""
        label = self.fold(event, outcomes)
        if label is None:
            return None
        times = [outcome.outcome_time for outcome in outcomes]
        time = max(times) if times else end
        assert time is not None
        return FoldedOutcome(event.event_id, time, tuple(outcomes), label)

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """Return the author's functions in it."""
        return [f for f in (self.how, self.value) if callable(f)]


def label_functions(label: Any) -> list[Callable[..., Any]]:
    """Return the author's functions in a use case's `label`, a function or a fold."""
    return label.functions if isinstance(label, LabelFold) else [label]
