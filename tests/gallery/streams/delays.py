"""Event times and the delays of their labels, that the detector of label outages is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.gallery.streams.stream import Floats, Stream

DAY_S = 86_400.0
A_DAY = 300
NEVER = 0.02
STOPS_AT, STOPS_FOR = 60, 3


@dataclass(frozen=True, slots=True)
class Delays:
    """Sorted event times and arrivals of labels (inf: never), seconds; shape (runs, events)."""

    events: Floats
    arrivals: Floats


Delay = Callable[[np.random.Generator, Floats], Floats]


def hours(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays of 1 to 10 hours, mostly 3."""
    return 3_600.0 * np.clip(3.0 * np.exp(0.5 * rng.normal(size=events.shape)), 1.0, 10.0)


def remembering(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays whose logarithm is AR(.9) over events."""
    from scipy.signal import lfilter

    noise = rng.normal(size=events.shape)
    wave = lfilter([np.sqrt(0.19)], [1.0, -0.9], noise, axis=1)
    return 3_600.0 * np.clip(3.0 * np.exp(0.5 * wave), 1.0, 10.0)


def daily_wave(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays that are twice as long at night as at day."""
    return hours(rng, events) * (1.5 + 0.5 * np.sin(2 * np.pi * events / DAY_S))


def slow_week_ends(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays that are five times longer on two days of the week."""
    return hours(rng, events) * np.where(events // DAY_S % 7 >= 5, 5.0, 1.0)


def office_hours(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays to labels that are made from 9 to 17 on five days of the week."""
    due = events + hours(rng, events)
    for _ in range(5):
        hour, day = due % DAY_S / 3_600.0, np.floor(due / DAY_S)
        early, closed = hour < 9.0, (hour < 9.0) | (hour >= 17.0) | (day % 7 >= 5)
        opening = (day + ~early) * DAY_S + 9 * 3_600.0 + rng.uniform(0, 1_800, due.shape)
        due = np.where(closed, opening, due)
    return np.asarray(due - events)


def growing(rng: np.random.Generator, events: Floats) -> Floats:
    """Draw delays of 1 hour that become 6 hours at `STOPS_AT`."""
    return hours(rng, events) * np.where(events < STOPS_AT * DAY_S, 1 / 3, 2.0)


def drawn(
    delay: Delay, share: float | None, rng: np.random.Generator, runs: int, length: int
) -> Delays:
    """Draw `length` days; from `STOPS_AT` on only a `share` of labels comes for some days."""
    events = np.sort(rng.uniform(0.0, length * DAY_S, (runs, length * A_DAY)), axis=1)
    arrivals = events + delay(rng, events)
    arrivals[rng.random(events.shape) < NEVER] = np.inf
    if share is not None:
        start, end = STOPS_AT * DAY_S, (STOPS_AT + STOPS_FOR) * DAY_S
        lost = (arrivals >= start) & (arrivals < end) & (rng.random(events.shape) >= share)
        arrivals[lost] = np.inf
    return Delays(events, arrivals)


_STEADY: dict[str, tuple[Delay, float]] = {
    "labels after 1 to 10 hours": (hours, 2.0),
    "delays: AR(.9)": (remembering, 2.0),
    "delays: longer at night": (daily_wave, 2.0),
    "delays: 5 x at week-ends": (slow_week_ends, 4.0),
    "labels in office hours": (office_hours, 7.0),
}
STREAMS = [
    *(
        Stream(name, "label delays", Delays, partial(drawn, delay, None), {"age_max_days": age})
        for name, (delay, age) in _STEADY.items()
    ),
    Stream(
        "delays: from 1 to 6 hours",
        "label delays",
        Delays,
        partial(drawn, growing, None),
        {"age_max_days": 2.0, "grow_at": STOPS_AT},
    ),
    *(
        Stream(
            f"{share:.0%} of labels for 3 days, {name}",
            "label outages",
            Delays,
            partial(drawn, delay, share),
            {
                "age_max_days": age,
                "stops_at": STOPS_AT,
                "hours_most": 30 if delay is slow_week_ends else 12,
            },
        )
        for share in (0.0, 0.1, 0.3)
        for name, (delay, age) in list(_STEADY.items())[:4]
    ),
]
