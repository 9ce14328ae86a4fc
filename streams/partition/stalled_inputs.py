"""Inputs whose reader has lost its place are found, so that they are sought again."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import RiverrunError
from streams.partition.intake import Intake


class Stalled(RiverrunError):
    """A partition that does not move although it should; the worker exits, others take over."""


class Watchdog:
    """Notices an input whose reader has lost its place: fetched elsewhere than expected, idle.

    Not lag: trailing control records keep that above zero for ever.
    """

    def __init__(self, intake: Intake, *, stall_s: float) -> None:
        self.intake = intake
        self.stall_s = stall_s
        self._off_since: dict[int, tuple[int, float]] = {}
        self._mended: set[int] = set()

    def look(self, fetched: Mapping[int, int | None], now: float) -> str | None:
        """Mark as lost what has stalled; says which input has stalled again after a seek."""
        for i, position in fetched.items():
            inbox = self.intake.inboxes[i]
            if inbox.records or position == inbox.expected or i in self.intake.lost:
                self._off_since.pop(i, None)
                if position == inbox.expected:
                    self._mended.discard(i)
                continue
            # A batch on its way makes them differ too, but not for long with nothing coming in.
            expected, since = self._off_since.setdefault(i, (inbox.expected, now))
            if expected != inbox.expected:
                del self._off_since[i]
            elif now - since > self.stall_s:
                del self._off_since[i]
                if i in self._mended:
                    return f"{self.intake.tps[i]} is fetched at {position}, {expected} is next"
                self._mended.add(i)
                self.intake.lost.add(i)
        return None
