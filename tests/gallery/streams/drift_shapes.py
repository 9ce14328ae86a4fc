"""Days of features: changes of every shape after 10 to 120 calm days, and days without change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.gallery.streams.stream import Floats, Ints, Stream

A_DAY = 400
CALM = (10, 30, 60, 120)
AFTER = 8


@dataclass(frozen=True, slots=True)
class Days:
    """Values of one watched column by day: shape (runs, days, events), NaN for a missing one.

    `kind` is the detector's; `events` (runs, days) of the values of a day are used.
    """

    kind: str
    values: Floats
    events: Ints


Change = Callable[[np.random.Generator, Floats], Floats]


def _half(new: float) -> Change:
    return lambda rng, values: np.where(rng.random(values.shape) < 0.5, new, values)


def _constant(new: float) -> Change:
    return lambda rng, values: np.full_like(values, new)


# Name: (what the days are drawn from, the change).
SHAPES: dict[str, tuple[str, Change]] = {
    "gone": ("number", _constant(np.nan)),
    "half of the values missing": ("number", _half(np.nan)),
    "stuck at a usual value": ("number", _constant(0.25)),
    "stuck at an unusual value": ("number", _constant(9.0)),
    "one constant for another": ("constant", _constant(2.0)),
    "x 1,000, positive": ("positive", lambda rng, values: 1_000.0 * values),
    "x 1,000, around 0": ("number", lambda rng, values: 1_000.0 * values),
    "sign turned": ("positive", lambda rng, values: -values),
    "only a new category": ("category", _constant(9.0)),
    "half a new category": ("category", _half(9.0)),
    "one of four categories": ("category", _constant(0.0)),
    "mean + 0.5 sd": ("number", lambda rng, values: values + 0.5),
    "spread x 1.5": ("number", lambda rng, values: 1.5 * values),
    "error + 50 %": ("error", lambda rng, values: 1.5 * values),
}
NUMBERS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "number": lambda rng, shape: rng.normal(size=shape),
    "positive": lambda rng, shape: np.exp(3.0 + 0.5 * rng.normal(size=shape)),
    "constant": lambda rng, shape: np.ones(shape),
    "category": lambda rng, shape: rng.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=shape).astype(float),
    "error": lambda rng, shape: np.abs(rng.normal(size=shape)),
}
WEEKS = {
    "flat week": (1.0,) * 7,
    "quiet week-ends": (1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.15),
    "falling all week": (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
}


def kind_of(values: str) -> str:
    """Return the detector's kind of these values."""
    return values if values in ("category", "error") else "numeric"


def shape_after(name: str, calm: int, rng: np.random.Generator, runs: int, length: int) -> Days:
    """Draw `calm` days and `AFTER` days of a shape; `length` is not used."""
    drawn_from, change = SHAPES[name]
    values = NUMBERS[drawn_from](rng, (runs, calm + AFTER, A_DAY))
    values[:, calm:] = change(rng, values[:, calm:])
    return Days(kind_of(drawn_from), values, np.full(values.shape[:2], A_DAY))


def quarter_of(
    week: tuple[float, ...], calm: int, rng: np.random.Generator, runs: int, length: int
) -> Days:
    """Draw weekly patterns of the number of events; a quarter is left after `calm` days."""
    days = calm + AFTER
    level = np.array([week[day % 7] for day in range(days)]) * A_DAY
    level[calm:] *= 0.25
    events = np.minimum(rng.poisson(np.broadcast_to(level, (runs, days))), 2 * A_DAY)
    return Days("volume", np.zeros((runs, days, 1)), events)


def exchangeable(name: str, rng: np.random.Generator, runs: int, length: int) -> Days:
    """Draw days that differ, but in no order."""
    shape, events = (runs, length), np.full((runs, length), A_DAY)
    level = np.zeros(shape)
    if name == "each day a level (sd 0.5)":
        level = rng.normal(0.0, 0.5, shape)
    elif name == "each day a level (Cauchy)":
        level = np.clip(rng.standard_cauchy(shape), -50.0, 50.0)
    elif name == "40 to 400 events a day":
        events = (400 * 10 ** rng.uniform(-1.0, 0.0, shape)).astype(np.int64)
    elif name == "one day in fifteen a storm":
        level = 4.0 * (rng.random(shape) < 1 / 15)
    elif name == "a tenth of the traffic from midway on":
        events[:, length // 2 :] //= 10
    elif name == "one day in forty without a value":
        level = np.where(rng.random(shape) < 1 / 40, np.nan, 0.0)
    values = rng.normal(size=(*shape, A_DAY)) + level[:, :, None]
    return Days("numeric", values, events)


def weekly(week: tuple[float, ...], rng: np.random.Generator, runs: int, length: int) -> Days:
    """Draw numbers of events with a weekly pattern and nothing else."""
    level = np.array([week[day % 7] for day in range(length)]) * A_DAY
    return Days("volume", np.zeros((runs, length, 1)), rng.poisson(level, (runs, length)))


EXCHANGEABLE = (
    "i.i.d. days",
    "each day a level (sd 0.5)",
    "each day a level (Cauchy)",
    "40 to 400 events a day",
    "one day in fifteen a storm",
    "a tenth of the traffic from midway on",
    "one day in forty without a value",
)
STREAMS = [
    *(
        Stream(
            f"{name}, after {calm} days",
            "drift shapes",
            Days,
            partial(shape_after, name, calm),
            {"change_at": calm},
        )
        for name in SHAPES
        for calm in CALM
    ),
    *(
        Stream(
            f"a quarter of the events, {name}, after {calm} days",
            "drift shapes",
            Days,
            partial(quarter_of, week, calm),
            {"change_at": calm},
        )
        for name, week in WEEKS.items()
        for calm in CALM
    ),
    *(Stream(name, "days alike", Days, partial(exchangeable, name)) for name in EXCHANGEABLE),
    *(
        Stream(f"events of a {name}", "days alike", Days, partial(weekly, week))
        for name, week in WEEKS.items()
    ),
]
