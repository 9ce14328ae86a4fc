"""Streams of predictions and labels that prediction intervals are tried on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.gallery.streams.stream import Floats, Ints, Stream


@dataclass(frozen=True, slots=True)
class Residuals:
    """Label minus prediction, and the segment of each; arrays of shape (runs, labels).

    A label comes once `late` further predictions were made.
    """

    residual: Floats
    segment: Ints | None = None
    late: int = 0


Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def of(draw: Draw, late: int = 0) -> Callable[[np.random.Generator, int, int], Residuals]:
    """Return a generator of unsegmented residuals."""

    def generate(rng: np.random.Generator, runs: int, length: int) -> Residuals:
        return Residuals(draw(rng, (runs, length)), late=late)

    return generate


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw standard normal residuals."""
    return rng.normal(size=shape)


def remembering(rho: float, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw AR(1) residuals."""
    from scipy.signal import lfilter

    wave = lfilter([math.sqrt(1 - rho * rho)], [1.0, -rho], rng.normal(size=shape), axis=1)
    return np.asarray(wave)


def garch(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw residuals whose variance follows GARCH(1, 1) with persistence 0.98."""
    noise, out = rng.normal(size=shape), np.empty(shape)
    variance = np.ones(shape[0])
    for t in range(shape[1]):
        out[:, t] = np.sqrt(variance) * noise[:, t]
        variance = 0.02 + 0.1 * out[:, t] ** 2 + 0.88 * variance
    return out


def zeros(share: float, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw residuals of which a `share` is exactly 0, the others exponential."""
    return np.where(rng.random(shape) < share, 0.0, rng.exponential(10.0, shape))


def exact_start(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Draw 500 exact predictions, then normal residuals."""
    return np.where(np.arange(shape[1]) < 500, 0.0, rng.normal(0.0, 2.0, shape))


def scaled(
    scale: Callable[[Floats], Floats], rng: np.random.Generator, shape: tuple[int, int]
) -> Floats:
    """Draw normal residuals times a scale over time (0 to 1)."""
    return rng.normal(size=shape) * scale(np.linspace(0.0, 1.0, shape[1]))


def moved(
    level: Callable[[Floats], Floats], rng: np.random.Generator, shape: tuple[int, int]
) -> Floats:
    """Draw normal residuals plus a level over time (0 to 1)."""
    return rng.normal(size=shape) + level(np.linspace(0.0, 1.0, shape[1]))


def segmented(
    count: int, rng: np.random.Generator, runs: int, length: int, late: int = 0
) -> Residuals:
    """Draw residuals of segments whose spreads range over a factor of 50."""
    segment = rng.integers(0, count, size=(runs, length))
    spread = np.exp(math.log(50.0) * segment / max(1, count - 1))
    return Residuals(rng.normal(size=(runs, length)) * spread, segment, late)


def _waves(t: Floats) -> Floats:
    return np.exp(1.2 * np.sin(40.0 * math.pi * t))


_DRAWS: dict[str, Draw] = {
    "residuals: i.i.d.": normal,
    "residuals: Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "residuals: Pareto 1.2": lambda rng, shape: rng.pareto(1.2, shape),
    "residuals: lognormal": lambda rng, shape: rng.lognormal(0.0, 2.0, shape),
    "residuals: AR(.9)": partial(remembering, 0.9),
    "residuals: AR(.99)": partial(remembering, 0.99),
    "residuals: GARCH": garch,
    "residuals: daily wave of the spread": partial(scaled, _waves),
    "residuals: daily wave of the level": partial(
        moved, lambda t: 2.0 * np.sin(40.0 * math.pi * t)
    ),
    "residuals: spread grows 1,000 x": partial(scaled, lambda t: np.exp(math.log(1_000.0) * t)),
    "residuals: spread falls 1,000 x": partial(scaled, lambda t: np.exp(-math.log(1_000.0) * t)),
    "residuals: trend": partial(moved, lambda t: 5.0 * t),
    "residuals: storms of 8 x": partial(scaled, lambda t: np.where((t * 50) % 17 < 1, 8.0, 1.0)),
    "residuals: 500 exact at the start": exact_start,
    "residuals: constant bias": lambda rng, shape: 3.0 + 0.001 * rng.normal(size=shape),
    **{
        f"residuals: {share:.0%} exactly 0": partial(zeros, share)
        for share in (0.3, 0.7, 0.9, 0.95, 0.99)
    },
}
_ABRUPT: dict[str, Draw] = {
    "residuals: level + 3 sd at once": partial(moved, lambda t: 3.0 * (t > 0.5)),
    "residuals: spread x 5 at once": partial(scaled, lambda t: np.where(t > 0.5, 5.0, 1.0)),
    "residuals: spread / 5 at once": partial(scaled, lambda t: np.where(t > 0.5, 0.2, 1.0)),
    "residuals: level + 5 sd and back": partial(moved, lambda t: 5.0 * (abs(t - 0.5) < 0.17)),
}
LATE = 1_000
STREAMS = [
    *(
        Stream(f"{name}, {LATE:,} late", "late labels", Residuals, of(draw, LATE), {"late": LATE})
        for name, draw in (_DRAWS | _ABRUPT).items()
    ),
    *(
        Stream(
            f"residuals: {count} segments, {LATE:,} late",
            "late labels",
            Residuals,
            partial(segmented, count, late=LATE),
            {"late": LATE},
        )
        for count in (2, 50)
    ),
    *(Stream(name, "residuals", Residuals, of(draw)) for name, draw in _DRAWS.items()),
    Stream("residuals: 2 segments", "residuals", Residuals, partial(segmented, 2)),
    Stream("residuals: 50 segments", "residuals", Residuals, partial(segmented, 50)),
    *(
        Stream(name, "abrupt residuals", Residuals, of(draw), {"abrupt": True})
        for name, draw in _ABRUPT.items()
    ),
]
