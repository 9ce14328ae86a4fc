"""Blocks whose size varies, and blocks of which outcomes are missing."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.gallery.streams.independent import COST, equal
from tests.gallery.streams.stream import Blocks, Floats, Ints, Stream


def counts_100_times(rng: np.random.Generator, shape: tuple[int, int]) -> Ints:
    """Draw sizes from 10 to 1,000, evenly on a log scale."""
    return np.round(10.0 ** rng.uniform(1.0, 3.0, size=shape)).astype(np.int64)


def sums(rng: np.random.Generator, counts: Ints, day: Floats | float = 0.0) -> Floats:
    """Draw sums of standard normal gains, each raised by its block's `day`."""
    return np.sqrt(counts) * rng.normal(size=counts.shape) + counts * day


def varying(rng: np.random.Generator, runs: int, length: int, day: float = 0.0) -> Blocks:
    """Return blocks whose size varies 100 times, with a day effect of that deviation."""
    counts = counts_100_times(rng, (runs, length))
    return equal(sums(rng, counts, day * rng.normal(size=counts.shape)), labelled=counts)


def tied(rng: np.random.Generator, runs: int, length: int, sign: float) -> Blocks:
    """Return models equal in total, of which small blocks favour one and large ones the other.

    A block of 20 gains 1 (times `sign`) for each prediction, a block of 200 loses 0.1.
    """
    large = rng.uniform(size=(runs, length)) < 0.5
    counts = np.where(large, 200, 20)
    mean = sign * np.where(large, -0.1, 1.0)
    return equal(sums(rng, counts, mean), labelled=counts)


def growing(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return blocks that grow from 50 to 500 predictions."""
    counts = np.broadcast_to(np.linspace(50, 500, length).astype(np.int64), (runs, length))
    return equal(sums(rng, counts, 0.3 * rng.normal(size=counts.shape)), labelled=counts)


def week_ends(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return blocks of 100 predictions, and of 10 at each week end."""
    week = np.array([100] * 5 + [10] * 2)
    counts = np.broadcast_to(np.resize(week, length), (runs, length))
    return equal(sums(rng, counts, 0.3 * rng.normal(size=counts.shape)), labelled=counts)


def lonely(rng: np.random.Generator, runs: int, length: int) -> Blocks:
    """Return blocks of one to three predictions."""
    counts = rng.integers(1, 4, size=(runs, length))
    return equal(sums(rng, counts), labelled=counts)


def missing(
    rng: np.random.Generator, runs: int, length: int, chosen: bool, bound: float = 8.0
) -> Blocks:
    """Return blocks of 100 equal predictions of which 4 % have no outcome.

    The worst of the block's gains are missing where they are `chosen`, else any.
    """
    count, lost = 100, 4
    gain = np.empty((runs, length))
    for row in gain:
        each = np.clip(rng.normal(size=(length, count)), -bound, bound)
        if chosen:
            each = np.partition(each, lost, axis=1)
        row[:] = each[:, lost:].sum(1)
    shape = (runs, length)
    return Blocks(
        np.full(shape, count - lost),
        gain,
        np.full(shape, lost),
        np.zeros(shape),
        bound,
        COST,
    )


def delayed(rng: np.random.Generator, runs: int, length: int, bound: float = 8.0) -> Blocks:
    """Return blocks of 100 equal predictions whose outcomes come the later the worse they are.

    Of a delay of 12 hours in the median those beyond 48 hours, the horizon, never come: 3 %.
    """
    count = 100
    gain, labelled = np.empty((runs, length)), np.empty((runs, length), dtype=np.int64)
    for run in range(runs):
        each = np.clip(rng.normal(size=(length, count)), -bound, bound)
        hours = 12.0 * np.exp(0.4 * rng.normal(size=each.shape) - 0.6 * each)
        came = hours <= 48.0
        gain[run] = np.where(came, each, 0.0).sum(1)
        labelled[run] = came.sum(1)
    return Blocks(labelled, gain, count - labelled, np.zeros(gain.shape), bound, COST)


STREAMS = [
    Stream("sizes vary 100 times", "sizes", Blocks, varying),
    Stream("sizes vary 100 times, day effect", "sizes", Blocks, partial(varying, day=0.3)),
    Stream("small blocks gain", "sizes tied to gain", Blocks, partial(tied, sign=1.0)),
    Stream("large blocks gain", "sizes tied to gain", Blocks, partial(tied, sign=-1.0)),
    Stream("growing volume", "sizes", Blocks, growing),
    Stream("small week ends", "sizes", Blocks, week_ends),
    Stream("1 to 3 examples a block", "sizes", Blocks, lonely),
    Stream("4 % missing by chance", "missing outcomes", Blocks, partial(missing, chosen=False)),
    Stream("4 % missing by outcome", "missing outcomes", Blocks, partial(missing, chosen=True)),
    Stream("bad outcomes come late", "missing outcomes", Blocks, delayed),
]
