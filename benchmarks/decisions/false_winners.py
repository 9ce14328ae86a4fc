"""How often two equal models get a winner, and how long a true difference takes to be found.

    python -P -m benchmarks.decisions.false_winners            # about a minute

Each run is 250 blocks of 50 paired differences of mean 0, looked at after every block. Next to
the comparison stands the t-test over single examples on the same runs, read once at the end (as it
is meant) and after every block (as it is used).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.stats.confidence_sequence import Comparison

Array = NDArray[np.float64]
EXAMPLES = 50
BOUND = 200.0


class Counts(NamedTuple):
    """Runs with a winner, of each way to look."""

    comparison: int
    strict: int
    t_at_end: int
    t_each_block: int
    blocks_median: float


def iid(rng: np.random.Generator, runs: int, blocks: int) -> Array:
    """Normal differences."""
    return rng.normal(size=(runs, blocks, EXAMPLES))


def _truncated_mean() -> float:
    """Mean of exp(1.5 z) cut at BOUND, z standard normal: what makes the skewed gains fair."""
    cut = math.log(BOUND)
    below = math.exp(1.125) * _normal((cut - 2.25) / 1.5)
    return below + BOUND * (1.0 - _normal(cut / 1.5))


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def skewed(sign: float) -> Callable[[np.random.Generator, int, int], Array]:
    """Costs with a long tail (lognormal, skewness 33): rare large gains (+1) or losses (-1)."""

    fair = _truncated_mean()

    def stream(rng: np.random.Generator, runs: int, blocks: int) -> Array:
        x = np.exp(1.5 * rng.normal(size=(runs, blocks, EXAMPLES)))
        return sign * (np.minimum(x, BOUND) - fair)

    return stream


def day_effect(rng: np.random.Generator, runs: int, blocks: int) -> Array:
    """Each day pushes all its examples one way: variance inflation of day means about 5."""
    x = rng.normal(size=(runs, blocks, EXAMPLES))
    return x + 0.28 * rng.normal(size=(runs, blocks, 1))


def ar_examples(rho: float) -> Callable[[np.random.Generator, int, int], Array]:
    """Each example remembers the one before it, across days."""

    def stream(rng: np.random.Generator, runs: int, blocks: int) -> Array:
        x = rng.normal(size=(runs, blocks * EXAMPLES))
        for i in range(1, x.shape[1]):
            x[:, i] = rho * x[:, i - 1] + math.sqrt(1 - rho * rho) * x[:, i]
        return x.reshape(runs, blocks, EXAMPLES)

    return stream


def ar_days(rho: float) -> Callable[[np.random.Generator, int, int], Array]:
    """A day effect that remembers the day before: what blocks alone do not remove."""

    def stream(rng: np.random.Generator, runs: int, blocks: int) -> Array:
        day = rng.normal(size=(runs, blocks))
        for i in range(1, blocks):
            day[:, i] = rho * day[:, i - 1] + math.sqrt(1 - rho * rho) * day[:, i]
        return rng.normal(size=(runs, blocks, EXAMPLES)) + 0.6 * day[:, :, None]

    return stream


PROMISED: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "i.i.d.": iid,
    "rare large gains": skewed(+1.0),
    "rare large losses": skewed(-1.0),
    "common day effect": day_effect,
    "AR(.9) over examples": ar_examples(0.9),
    "day effect AR(.3)": ar_days(0.3),
    "day effect AR(.6)": ar_days(0.6),
}
NOT_PROMISED = {"day effect AR(.9)": ar_days(0.9)}


def count(
    stream: Callable[[np.random.Generator, int, int], Array],
    runs: int = 1_000,
    blocks: int = 250,
    seed: int = 1,
    gain: float = 0.0,
    groups: tuple[int, ...] = (1, 7),
) -> Counts:
    """Simulate `runs` runs and count winners among them; `gain` is added to each difference."""
    rng = np.random.default_rng(seed)
    sums, squares = np.empty((runs, blocks)), np.empty((runs, blocks))
    for at in range(0, runs, 100):
        x = stream(rng, 100, blocks) + gain
        sums[at : at + 100], squares[at : at + 100] = x.sum(2), (x * x).sum(2)
    winners, strict, when = 0, 0, []
    for run in sums.tolist():
        c = Comparison(alpha=0.05, bound=BOUND, groups=groups)
        won = won_strictly = None
        for block, total in enumerate(run, 1):
            c.update(EXAMPLES, total)
            if won is None and c.verdict == "better":
                won = block
            if won_strictly is None and c.strict_verdict == "better":
                won_strictly = block
        strict += won_strictly is not None
        if won is not None:
            winners += 1
            when.append(won)
    n = EXAMPLES * np.arange(1, blocks + 1)
    mean = sums.cumsum(1) / n
    t = mean / np.sqrt(np.maximum(squares.cumsum(1) / n - mean**2, 1e-12) / n)
    looked = (t > 1.96).any(1).sum()
    median = float(np.median(when)) if when else math.nan
    return Counts(winners, strict, int((t[:, -1] > 1.96).sum()), int(looked), median)


def main() -> None:
    """Print both tables."""
    print("Equal models, 1,000 runs of 250 days: runs in which the challenger was declared better")
    print(
        f"{'':24s}{'riverrun':>10s}{'(1,7,28)':>10s}{'strict':>8s}{'t, end':>8s}{'t, looked':>11s}"
    )
    for name, stream in (PROMISED | NOT_PROMISED).items():
        a, b = count(stream), count(stream, groups=(1, 7, 28))
        note = "  not promised by the default" if name in NOT_PROMISED else ""
        print(
            f"{name:24s}{a.comparison:10d}{b.comparison:10d}{a.strict:8d}"
            f"{a.t_at_end:10d}{a.t_each_block:13d}{note}"
        )
    print("\nA true gain of 2 % of a cost of 15 (0.30) per example, 900 examples a day, 200 runs")
    print(f"{'':44s}{'found':>7s}{'days, median':>14s}")
    for text, sd, effect in (
        ("examples' sd 10, independent", 10.0, 0.0),
        ("examples' sd 10, day variance inflation 5", 10.0, 2.0),
        ("examples' sd 20, day variance inflation 5", 20.0, 2.0),
    ):
        # A day's mean of 900 examples, given with the 50-example shape of the streams above.
        day = math.sqrt(sd * sd / 900 * (1 + 2 * effect))

        def stream(rng: np.random.Generator, runs: int, blocks: int, day: float = day) -> Array:
            return np.broadcast_to(
                day * rng.normal(size=(runs, blocks, 1)), (runs, blocks, EXAMPLES)
            )

        c = count(stream, runs=200, blocks=730, gain=0.30)
        print(f"{text:44s}{c.comparison:4d}/200{c.blocks_median:14.0f}")


if __name__ == "__main__":
    main()
