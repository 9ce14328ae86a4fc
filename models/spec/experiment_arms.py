"""Which events are predicted in shadow and who is to answer which: by hash, so everywhere alike.

A hash needs no memory: any worker, after any restart, draws the same. Shares are laid side by side
on one line from 0 to 1, so arms are disjoint, and the holdout lies first, so it stays where it is
whatever experiment begins or ends:

    |holdout| trees |slow| champion ...                       |
    0                                                         1

Inside each arm, a second hash puts a unit into one of `GROUPS` groups; they are what an
experiment's evidence is counted by (`models.stats.ab_test`).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS, Malformed

GROUPS = 32
"""Groups of units in each arm."""
HOLDOUT = "holdout"
CHAMPION = "champion"


class Drawn(NamedTuple):
    """The arm that a unit is in, its group there, and the model that answers it.

    The arm is `holdout` (no model), `champion`, or the name of the challenger.
    """

    arm: str
    group: int
    model: str


class Assignment:
    """Draws for one use case; stateless."""

    def __init__(self, use_case: UseCase) -> None:
        self._name = use_case.name
        self._contest = use_case.contest

    def in_shadow(self, event_id: str) -> bool:
        """Return True if every model is to predict this event."""
        share = self._contest.shadow
        return share >= 1.0 or point(f"{self._name}/shadow", event_id) < share

    def drawn(self, event: Any, experiment: Mapping[str, float], champion: str) -> Drawn | None:
        """Return the event's arm; None without a holdout and an experiment.

        Raises `Malformed` where its unit cannot be told.
        """
        held = self._contest.holdout
        if not experiment and not held:
            return None
        unit = self._unit(event)
        position = point(self._name, unit)
        group = int(point(f"{self._name}/group", unit) * GROUPS)
        if position < held:
            return Drawn(HOLDOUT, group, "")
        edge = held
        for model, share in experiment.items():
            edge += share
            if position < edge:
                return Drawn(model, group, model)
        return Drawn(CHAMPION, group, champion)

    def _unit(self, event: Any) -> str:
        unit = self._contest.unit
        if unit is None:
            return str(event.event_id)
        try:
            return str(getattr(event, unit) if isinstance(unit, str) else unit(event))
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            raise Malformed(
                f"the experiment's unit of this event cannot be told: {error}"
            ) from error


def point(salt: str, unit: str) -> float:
    """Return a number in [0, 1) that is always the same for the pair.

    >>> point("parcels", "ann") == point("parcels", "ann") != point("parcels", "bob")
    True
    """
    text = f"{salt}\0{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=6).digest()) / 2**48
