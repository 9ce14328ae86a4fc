"""Blocks that hang together: days, weeks, autoregression, long memory, regimes, storms, growth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.signal import fftconvolve, lfilter

from tests.gallery.streams.independent import EXAMPLES, equal
from tests.gallery.streams.stream import Blocks, Floats, Stream

DAY_SHARE = 0.6
"""Standard deviation of a day's effect where an example's own is 1."""


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> Floats:
    """Return rows of a stationary AR(1) of variance 1."""
    noise = math.sqrt(1.0 - rho * rho) * rng.normal(size=shape)
    noise[..., 0] = rng.normal(size=shape[:-1])
    return np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=-1))


def fractional(rng: np.random.Generator, shape: tuple[int, ...], d: float) -> Floats:
    """Return rows of ARFIMA(0, d, 0) of variance 1 (Hosking 1981): memory that never ends."""
    past = 2_000
    k = np.arange(1, past)
    weights = np.concatenate([[1.0], np.cumprod((k - 1 + d) / k)])
    weights /= math.sqrt(float((weights**2).sum()))
    noise = rng.normal(size=(*shape[:-1], shape[-1] + past - 1))
    return np.asarray(fftconvolve(noise, weights[None, :], mode="valid", axes=-1))


def with_days(
    day: Callable[[np.random.Generator, tuple[int, int]], Floats],
) -> Callable[..., Blocks]:
    """Return a generator of blocks whose examples share `day`, a level of mean 0 for each block."""

    def generate(rng: np.random.Generator, runs: int, length: int) -> Blocks:
        own = math.sqrt(EXAMPLES) * rng.normal(size=(runs, length))
        return equal(own + EXAMPLES * DAY_SHARE * day(rng, (runs, length)))

    return generate


def ar_examples(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return blocks whose examples each keep nine tenths of the one before, across days."""
    gain = np.empty((runs, length))
    for row in gain:
        row[:] = autoregressive(rng, (length * EXAMPLES,), 0.9).reshape(length, -1).sum(1)
    return equal(gain)


def independent_days(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw a level for each day."""
    return rng.normal(size=shape)


def weekly(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return levels that the weekday alone decides; over a week their mean is 0."""
    levels = rng.normal(size=(shape[0], 7))
    levels -= levels.mean(1, keepdims=True)
    return 2.0 * np.tile(levels, (1, shape[1] // 7 + 1))[:, : shape[1]]


def regimes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return levels of +1 or -1 that last ten days on average."""
    switches = rng.uniform(size=shape) < 0.1
    first = rng.integers(0, 2, size=(shape[0], 1))
    return 1.0 - 2.0 * ((first + switches.cumsum(1)) % 2)


def storms(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return calm days and, one day in fifteen on average, three days of ten times the spread."""
    begins = rng.uniform(size=(runs, length + 2)) < 1 / 45
    stormy = begins[:, 2:] | begins[:, 1:-1] | begins[:, :-2]
    scale = np.where(stormy, 10.0, 1.0)
    return equal(math.sqrt(EXAMPLES) * scale * rng.normal(size=(runs, length)))


def garch(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return days whose variance follows the squares of the days before: GARCH(1, 1)."""
    gain, variance = np.empty((runs, length)), np.ones(runs)
    for at in range(length):
        gain[:, at] = np.sqrt(variance) * rng.normal(size=runs)
        variance = 0.05 + 0.25 * gain[:, at] ** 2 + 0.7 * variance
    return equal(EXAMPLES * np.clip(gain, -50.0, 50.0))


def scaled(rng: np.random.Generator, runs: int, length: int, last: float) -> Blocks:
    """Return days whose spread moves evenly from 1 to `last`."""
    scale = np.linspace(1.0, last, length)
    return equal(math.sqrt(EXAMPLES) * scale * rng.normal(size=(runs, length)))


STREAMS = [
    Stream("common day effect", "day effects", Blocks, with_days(independent_days)),
    Stream("weekday effect", "day effects", Blocks, with_days(weekly)),
    Stream("AR(.9) over examples", "autoregression", Blocks, ar_examples),
    *(
        Stream(
            f"day effect AR({rho:g})".replace("0.", "."),
            "autoregression",
            Blocks,
            with_days(partial(autoregressive, rho=rho)),
            {"rho": rho, "months": rho > 0.9},
        )
        for rho in (0.3, 0.6, 0.8, 0.9, 0.95)
    ),
    *(
        Stream(
            f"long memory, d = {d:g}".replace("0.", "."),
            "long memory",
            Blocks,
            with_days(partial(fractional, d=d)),
            {"d": d, "months": True},
        )
        for d in (0.2, 0.3, 0.4)
    ),
    Stream("regimes of 10 days", "regimes", Blocks, with_days(regimes)),
    Stream("storms", "variance", Blocks, storms),
    Stream("GARCH", "variance", Blocks, garch),
    Stream("growing variance", "variance", Blocks, partial(scaled, last=10.0)),
    Stream("shrinking variance", "variance", Blocks, partial(scaled, last=0.1)),
]
