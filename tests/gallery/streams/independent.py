"""Blocks without memory: normal, heavy-tailed, skewed, sparse and tiny gains of equal models."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from tests.gallery.streams.stream import Blocks, Floats, Stream

EXAMPLES = 50
BOUND = 200.0
COST = 15.0
WIDE = 20_000.0
"""A range of the KPI that holds losses twenty thousand times as large as the usual ones."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def equal(
    gain: Floats,
    *,
    labelled: int | np.ndarray = EXAMPLES,
    bound: float = BOUND,
    cost: float = COST,
    expected: Floats | float = 0.0,
) -> Blocks:
    """Return blocks with these sums of gains, whose expectation is `expected`: 0 by default."""
    counts = np.broadcast_to(np.asarray(labelled, dtype=np.int64), gain.shape)
    truth = np.broadcast_to(np.asarray(expected, dtype=float), gain.shape)
    return Blocks(counts, gain, np.zeros(gain.shape, dtype=np.int64), truth, bound, cost)


def examples(draw: Draw, count: int = EXAMPLES, bound: float = BOUND) -> Callable[..., Blocks]:
    """Return a generator of blocks of `count` independent gains, which `draw` draws with mean 0."""

    def generate(rng: np.random.Generator, runs: int, length: int) -> Blocks:
        gain = np.empty((runs, length))
        for row in gain:
            row[:] = draw(rng, (length, count)).sum(1)
        return equal(gain, labelled=count, bound=bound)

    return generate


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw standard normal gains."""
    return rng.normal(size=shape)


def student(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw gains of Student's t with three degrees of freedom, cut at the range."""
    return np.clip(rng.standard_t(3.0, size=shape), -BOUND, BOUND)


def lognormal(sign: float) -> Draw:
    """Return rare large gains (+1) or losses (-1): lognormal of skewness 33, cut at the range."""
    cut = math.log(BOUND)
    mean = math.exp(1.125) * _normal_cdf((cut - 2.25) / 1.5)
    mean += BOUND * (1.0 - _normal_cdf(cut / 1.5))

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return sign * (np.minimum(np.exp(1.5 * rng.normal(size=shape)), BOUND) - mean)

    return draw


def pareto(sign: float, index: float = 1.6, bound: float = BOUND, true: float = 0.0) -> Draw:
    """Return Pareto gains (+1) or losses (-1) from 1 up, cut at the range, of mean `true`."""
    mean = index / (index - 1.0) - bound ** (1.0 - index) / (index - 1.0) - sign * true

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        values = rng.uniform(size=shape) ** (-1.0 / index)
        return sign * (np.minimum(values, bound) - mean)

    return draw


def sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw gains that are 0 in 99 of 100 examples, else normal with a deviation of 10."""
    return np.where(rng.uniform(size=shape) < 0.01, 10.0 * rng.normal(size=shape), 0.0)


def asymmetric(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw the difference of two forecasts' costs where a minute early costs 19 times one late."""
    label = rng.normal(size=shape)
    return _pinball(label - 1.6 - 0.3 * rng.normal(size=shape)) - _pinball(
        label - 1.6 - 0.3 * rng.normal(size=shape)
    )


def rare_class(odds: int) -> Draw:
    """Return differences of log loss of two models equally far off, of a class 1 in `odds`."""
    share = 1.0 / odds

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        label = rng.uniform(size=shape) < share
        first, second = share * np.exp(0.3 * rng.normal(size=(2, *shape)))
        return _log_loss(first, label) - _log_loss(second, label)

    return draw


def disaster(
    once_in: int, spread: float, rng: np.random.Generator, runs: int, length: int
) -> Blocks:
    """Return small gains, of a `spread` by block, whose sum one block in `once_in` takes back."""
    lost = rng.uniform(size=(runs, length)) < 1 / once_in
    mean = np.where(lost, -0.1 * (once_in - 1), 0.1) + spread * rng.normal(size=(runs, length))
    return equal(EXAMPLES * mean)


def tiny(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return a constant gain of 1e-12: models that differ by rounding are equal."""
    noise = 1e-13 * rng.normal(size=(runs, length))
    return equal(EXAMPLES * (1e-12 + noise))


def identical(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return gains of 0: the same model twice, or a baseline that is always right."""
    return equal(np.zeros((runs, length)))


def _pinball(error: Floats) -> Floats:
    return np.where(error > 0.0, error, -19.0 * error)


def _log_loss(probability: Floats, label: Floats) -> Floats:
    p = np.clip(probability, 1e-9, 1.0 - 1e-9)
    return -np.where(label, np.log(p), np.log1p(-p))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


STREAMS = [
    Stream("independent", "independent", Blocks, examples(normal)),
    Stream("5 examples a block", "independent", Blocks, examples(normal, 5)),
    Stream("Student t, 3 degrees", "heavy tails", Blocks, examples(student)),
    Stream("Pareto 1.6, large gains", "heavy tails", Blocks, examples(pareto(+1.0))),
    Stream("Pareto 1.6, large losses", "heavy tails", Blocks, examples(pareto(-1.0))),
    *(
        Stream(
            f"Pareto {index:g}, losses of up to {WIDE:,.0f}",
            "heavy tails",
            Blocks,
            examples(pareto(-1.0, index, WIDE), bound=WIDE),
        )
        for index in (1.1, 1.3)
    ),
    Stream("rare large gains", "skew", Blocks, examples(lognormal(+1.0))),
    Stream("rare large losses", "skew", Blocks, examples(lognormal(-1.0))),
    Stream("5 skewed losses a block", "skew", Blocks, examples(lognormal(-1.0), 5)),
    Stream("5 skewed gains a block", "skew", Blocks, examples(lognormal(+1.0), 5)),
    Stream("gains in 1 of 100 examples", "skew", Blocks, examples(sparse)),
    *(
        Stream(
            f"a disaster in {once_in} blocks" + (", calm" if spread < 0.1 else ""),
            "skew",
            Blocks,
            partial(disaster, once_in, spread),
            {"loss_once_in": once_in},
        )
        for once_in in (10, 20, 40)
        for spread in (0.05, 0.15)
    ),
    Stream("costs 19 to 1", "costs", Blocks, examples(asymmetric)),
    Stream("class 1 in 20", "rare classes", Blocks, examples(rare_class(20))),
    Stream("class 1 in 1,000", "rare classes", Blocks, examples(rare_class(1_000))),
    Stream("class 1 in 20,000", "rare classes", Blocks, examples(rare_class(20_000))),
    Stream("rounding differences", "degenerate", Blocks, tiny),
    Stream("identical models", "degenerate", Blocks, identical),
]
