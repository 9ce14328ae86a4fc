"""Metrics that need additional sums, which are kept only where such a metric is declared.

All are mergeable: partitions, windows and segments add up.

- `mape`: the mean of |error| / |label|, over labels other than 0; 0.1 is 10 %.
- `pinball(q)`: the mean of q · (label - prediction) where that is positive, else of
  (1 - q) · (prediction - label): smallest for the quantile q of the label (Koenker and Bassett
  1978, Regression Quantiles).
- `auc`: the chance that a true example has a larger probability than a false one (ties count half),
  from counts in 66 bins of the odds: four for each factor of 2 from 2^-8 to 2^8, and one at each
  end. Pairs in one bin count half, so the error is at most half the share of pairs that share a
  bin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PINBALL = re.compile(r"pinball\((0?\.\d{1,9})\)")

_POWERS = 8
BINS = 4 * 2 * _POWERS + 2
_TRUE = tuple(f"auc_true_{bin:02}" for bin in range(BINS))
_FALSE = tuple(f"auc_false_{bin:02}" for bin in range(BINS))
AUC = (*_TRUE, *_FALSE)
"""The names of the counts that the AUC is made of."""

Losses = Callable[[Any, Any], tuple[float, ...]]
"""(label, prediction) → what one scored prediction adds to the sums."""


def quantile_of(metric: str) -> float | None:
    """Return q of `pinball(q)`; None for any other metric.

    >>> quantile_of("pinball(0.9)"), quantile_of("pinball(1.5)"), quantile_of("mae")
    (0.9, None, None)
    """
    match = PINBALL.fullmatch(metric)
    q = 0.0 if match is None else float(match[1])
    return q if 0.0 < q < 1.0 else None


def sums_for(metrics: Iterable[str]) -> tuple[tuple[str, ...], tuple[Losses, ...]]:
    """Return the names of the further sums that these metrics need, and what adds to them."""
    names: list[str] = []
    losses: list[Losses] = []
    for metric in dict.fromkeys(metrics):
        q = quantile_of(metric)
        if q is not None:
            names.append(metric)
            losses.append(_pinball(q))
        elif metric == "mape":
            names += ("ape", "ape_n")
            losses.append(_percentage)
        elif metric == "auc":
            names += AUC
            losses.append(_bins)
    return tuple(names), tuple(losses)


def value_of(metric: str, n: float, sums: Mapping[str, float]) -> float | None:
    """Return the value of such a metric; None where its sums have nothing to divide by."""
    if metric == "mape":
        return sums["ape"] / sums["ape_n"] if sums.get("ape_n") else None
    if metric == "auc":
        return _auc(sums)
    return sums[metric] / n if metric in sums else None


def bin_of(p: float) -> int:
    """Return the bin of a probability: 0 to 65, larger for a larger one.

    >>> bin_of(0.0), bin_of(0.5), bin_of(1.0)
    (0, 33, 65)
    """
    if not 0.0 < p < 1.0:
        return BINS - 1 if p >= 1.0 else 0
    mantissa, exponent = math.frexp(p / (1.0 - p))
    bin = 1 + 4 * (exponent - 1 + _POWERS) + int((mantissa - 0.5) * 8.0)
    return min(max(bin, 0), BINS - 1)


def _pinball(q: float) -> Losses:
    def losses(label: float, prediction: float) -> tuple[float, ...]:
        below = label - prediction
        return (q * below if below >= 0.0 else (q - 1.0) * below,)

    return losses


def _percentage(label: float, prediction: float) -> tuple[float, ...]:
    if not label:
        return 0.0, 0.0
    return min(abs(prediction - label) / abs(label), 1e200), 1.0


def _bins(label: bool, prediction: tuple[Any, Mapping[Any, float]]) -> tuple[float, ...]:
    counts = [0.0] * (2 * BINS)
    counts[bin_of(prediction[1].get(True, 0.0)) + (0 if label else BINS)] = 1.0
    return tuple(counts)


def _auc(sums: Mapping[str, float]) -> float | None:
    if _TRUE[0] not in sums:
        return None
    above = true = false = 0.0
    for true_name, false_name in zip(_TRUE, _FALSE, strict=True):
        above += sums[true_name] * (false + sums[false_name] / 2.0)
        true += sums[true_name]
        false += sums[false_name]
    return above / (true * false) if true and false else None
