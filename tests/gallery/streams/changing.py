"""Blocks whose true gain changes: shifts, waves, a cold start; and steady gains to be found."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from tests.gallery.streams.independent import EXAMPLES, equal
from tests.gallery.streams.stream import Blocks, Floats, Stream


def around(rng: np.random.Generator, runs: int, mean: Floats, spread: float) -> Blocks:
    """Return blocks whose mean gain is `mean`, one value a block, with this deviation of days."""
    expected = np.broadcast_to(EXAMPLES * mean, (runs, len(mean)))
    noise = EXAMPLES * spread * rng.normal(size=expected.shape)
    return equal(expected + noise, expected=expected)


def shift(
    rng: np.random.Generator, runs: int, length: int, before: float, after: float, at: float
) -> Blocks:
    """Return steady days whose gain jumps once, at that share of the length."""
    mean = np.where(np.arange(length) < at * length, before, after)
    return around(rng, runs, mean, 0.05)


def wave(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return a gain that swings once in ninety days around 0."""
    return around(rng, runs, np.sin(2.0 * math.pi * np.arange(length) / 90.0), 0.3)


def fading(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return a gain that falls from 1 to -1."""
    return around(rng, runs, np.linspace(1.0, -1.0, length), 0.3)


def cold_start(rng: np.random.Generator, runs: int, length: int, gain: float) -> Blocks:
    """Return one day at -20, and `gain` from then on: a model that had learnt nothing yet."""
    mean = np.where(np.arange(length) < 1, -20.0, gain)
    return around(rng, runs, mean, 0.3)


def two_percent(rng: np.random.Generator, runs: int, length: int, inflation: float) -> Blocks:
    """Return a gain of 0.30 on a cost of 15: 900 examples a day of deviation 10.

    `inflation` is by how much the variance of a day's mean exceeds that of independent examples.
    """
    spread = math.sqrt(100.0 / 900.0 * inflation)
    blocks = around(rng, runs, np.full(length, 0.30), spread)
    return Blocks(
        np.full(blocks.gain.shape, 900),
        18.0 * blocks.gain,
        blocks.missing,
        18.0 * blocks.expected,
        540.0,
        15.0,
    )


def clear(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return gains of 0.5 on a cost of 15 whose days have half of that as their deviation."""
    gain = 0.5 + 0.25 * rng.normal(size=(runs, length))
    return equal(EXAMPLES * gain, expected=0.5 * EXAMPLES)


STREAMS = [
    Stream(
        "gain falls at once", "changing", Blocks, partial(shift, before=1.0, after=-1.0, at=0.3)
    ),
    Stream(
        "loss turns to gain", "changing", Blocks, partial(shift, before=-1.0, after=1.0, at=0.6)
    ),
    Stream("gain doubles", "changing", Blocks, partial(shift, before=1.0, after=2.0, at=0.5)),
    Stream("wave of 90 days", "changing", Blocks, wave),
    Stream("gain fades", "changing", Blocks, fading),
    Stream("cold start, then equal", "changing", Blocks, partial(cold_start, gain=0.0)),
    Stream(
        "cold start, then a gain",
        "true gain",
        Blocks,
        partial(cold_start, gain=0.30),
        {"gain": 0.30, "days_most": 60},
    ),
    Stream(
        "a gain on nearly every day", "true gain", Blocks, clear, {"gain": 0.5, "days_most": 42}
    ),
    *(
        Stream(
            name,
            "true gain",
            Blocks,
            partial(two_percent, inflation=inflation),
            {"gain": 0.30, "days_most": days},
        )
        for name, inflation, days in (
            ("gain of 2 %", 1.0, 60),
            ("gain of 2 %, day effect", 5.0, 126),
        )
    ),
]
