"""Which input's record is taken next.

The record of smallest time; on equal times outcomes before events (River's rule in `simulate_qa`:
what is known by a moment is learnt before the moment's question), commands and undecodable records
at once. Sources: KIP-695 (task idling), and the measured price of neglect: outcomes 2,000 events
behind raise the flights' error from 10.95 to 12.21 minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.topics import INPUTS

_EVENTS, _OUTCOMES, _COMMANDS, _HISTORY = range(len(INPUTS))
_RANK = (3, 2, 0, 1)
"""On equal times: commands, history, outcomes, events."""

ALIGNED = (_EVENTS, _OUTCOMES, _HISTORY)
"""The inputs that carry event time and are waited for; commands are taken as they come."""


def choose(times: Sequence[float | None]) -> int | None:
    """The input to take from, given the time of each input's first record; None if all are empty.

    >>> choose([10.0, 10.0, None, None])
    1
    >>> choose([10.0, None, None, None])
    0
    """
    best: int | None = None
    best_time = 0.0
    for index, time in enumerate(times):
        if time is None:
            continue
        if best is None or time < best_time or (time == best_time and _RANK[index] < _RANK[best]):
            best, best_time = index, time
    return best
