"""The segment of an event, and all groups that its figures are counted in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.metrics.windowed_metrics import Group
from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS, Malformed

NAME_MAX = 200
WHOLE: list[Group] = [(None, None)]


class Grouping:
    """The declared segments and slices of a use case; stateless."""

    def __init__(self, use_case: UseCase) -> None:
        self._segments = use_case.segments
        self._slices = use_case.slices

    def segment(self, event: Any) -> str | None:
        """Return the segment's name, or None if the use case declares no segments."""
        return None if self._segments is None else _name(self._segments.by, event)

    def groups(self, event: Any, segment: str | None) -> list[Group]:
        """Return the whole partition, the segment, and each declared slice as `name=value`."""
        if segment is None and not self._slices:
            return WHOLE
        groups = [*WHOLE]
        if segment is not None:
            groups.append((segment, None))
        for name, by in self._slices.items():
            groups.append((None, f"{name}={_name(by, event)}"))
        return groups


def _name(by: str | Callable[[Any], str], event: Any) -> str:
    try:
        name = str(getattr(event, by) if isinstance(by, str) else by(event))
        name.encode()  # half a surrogate pair is no text
        return name[:NAME_MAX]
    except AUTHORS_FAULTS as error:  # on data that it does not expect
        raise Malformed(f"no segment or slice can be told of this event: {error}") from error
