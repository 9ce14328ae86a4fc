"""What each feature added to one prediction of any model, by sampling.

Shapley values by permutation sampling (Castro, Gómez & Tejada 2009; Štrumbelj & Kononenko 2014,
KAIS 41(3)): beginning at the features of another, earlier example, the features of this one are put
in one after the other, in random order, and each is given what the prediction moved by. Averaged
over many others and orders. For each round the moves add up exactly, so

    reference (mean prediction of the others) + all contributions = prediction, to rounding.

The seed makes it repeatable. Each value is a mean over `rounds`: its standard error is given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

ROUNDS = 200


class Sampled(NamedTuple):
    """`reference` plus all `contributions` is `prediction`; `errors` are standard errors."""

    prediction: float
    reference: float
    contributions: dict[str, float]
    errors: dict[str, float]


def sampled(
    predict: Callable[[dict[str, Any]], float],
    x: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    *,
    seed: str,
) -> Sampled | None:
    """Return the contributions of `x`, the largest first.

    None without `others`, or where any number is not finite.

    `predict` must not learn; it is called `ROUNDS` · (features + 1) times.

    >>> others = [{"a": k % 3, "b": k % 5} for k in range(15)]
    >>> shapley = sampled(lambda x: 2.0 * x["a"] + x["b"], {"a": 1, "b": 4}, others, seed="e1")
    >>> round(shapley.reference + sum(shapley.contributions.values()), 9), shapley.prediction
    (6.0, 6.0)
    >>> list(shapley.contributions)
    ['b', 'a']
    """
    if not others:
        return None
    draw, names = random.Random(seed), sorted(x)
    moves: dict[str, list[float]] = {name: [] for name in names}
    start, prediction = 0.0, predict(dict(x))
    for _ in range(ROUNDS):
        now = {k: v for k, v in draw.choice(others).items() if k in moves}
        before = predict(dict(now))
        start += before / ROUNDS
        draw.shuffle(names)
        for name in names:
            now[name] = x[name]
            after = predict(dict(now))
            moves[name].append(after - before)
            before = after
    # `math.fsum` raises where they are not finite.
    wild = not all(math.isfinite(value) for moved in moves.values() for value in moved)
    if wild:
        return None
    means = {name: math.fsum(moved) / ROUNDS for name, moved in moves.items()}
    if not all(map(math.isfinite, (prediction, start, *means.values()))):
        return None
    order = sorted(means, key=lambda name: (-abs(means[name]), name))
    errors = {name: _error(moves[name], means[name]) for name in order}
    if not all(map(math.isfinite, errors.values())):
        return None
    return Sampled(prediction, start, {name: means[name] for name in order}, errors)


def _error(moved: Sequence[float], mean: float) -> float:
    # A product, since a power raises where it is not finite; there is one move at least.
    spread = sum((value - mean) * (value - mean) for value in moved)
    return math.sqrt(spread / max(1, len(moved) - 1) / len(moved))
