"""Labelled predictions of champions and baselines that the circuit breaker is tried on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.gallery.streams.stream import Floats, Stream

LARGEST_LOG_LOSS = -math.log(1e-15)
RATES = (2, 12, 50, 300, 2_000, 5_000, 20_000)
BROKEN_AT = 10_000


@dataclass(frozen=True, slots=True)
class Answers:
    """What the breaker reads of each label; arrays of shape (runs, labels).

    Costs are those of the KPI, `loss` is the baseline's error. `label` and `baseline` are numbers;
    for classes `held` says whether the baseline's class was right, else it is None. `largest` is
    the width of the KPI's range. `true_costs`: champion's and baseline's by the label before it was
    corrupted, where it was.
    """

    champion_cost: Floats
    baseline_cost: Floats
    loss: Floats
    largest: float
    held: np.ndarray | None = None
    label: Floats | None = None
    baseline: Floats | None = None
    true_costs: tuple[Floats, Floats] | None = None


Share = Callable[[np.random.Generator, float, tuple[int, int]], Floats]


def log_loss(p: Floats, yes: np.ndarray) -> Floats:
    """Return the log loss, as it is scored."""
    p = np.clip(p, 1e-15, 1.0 - 1e-15)
    return np.where(yes, -np.log(p), -np.log1p(-p))


def brier(p: Floats, yes: np.ndarray) -> Floats:
    """Return the squared error of the probability."""
    return np.asarray((p - yes) ** 2)


def alarms(p: Floats, yes: np.ndarray) -> Floats:
    """Return 1 for an alarm (where p > 1/1,000), 1,000 for a miss."""
    return np.where(p > 1e-3, 1.0, 1_000.0 * yes)


COSTS: dict[str, tuple[Callable[[Floats, np.ndarray], Floats], float]] = {
    "log loss": (log_loss, LARGEST_LOG_LOSS),
    "Brier": (brier, 1.0),
    "1,000 a miss": (alarms, 1_000.0),
}
SHARES: dict[str, Share] = {
    "one probability": lambda rng, p, shape: np.full(shape, p),
    "exponential": lambda rng, p, shape: np.minimum(0.9, rng.exponential(p, shape)),
    "half known": lambda rng, p, shape: np.where(rng.random(shape) < p / 1.8, 0.9, p / 2.0),
}


def rare(
    one_in: int,
    shares: str,
    cost: str,
    broken: Callable[[Floats], Floats] | None,
    rng: np.random.Generator,
    runs: int,
    length: int,
) -> Answers:
    """Draw a calibrated champion of a rare class; the baseline always says no.

    `broken` is what it predicts from `BROKEN_AT` on.
    """
    shape = (runs, length)
    p = SHARES[shares](rng, 1.0 / one_in, shape)
    yes = rng.random(shape) < p
    predicted = p.copy()
    if broken is not None:
        predicted[:, BROKEN_AT:] = broken(p[:, BROKEN_AT:])
    function, largest = COSTS[cost]
    no = np.zeros(shape)
    return Answers(function(predicted, yes), function(no, yes), log_loss(no, yes), largest, ~yes)


def numbers(
    champion: Callable[[np.random.Generator, tuple[int, int]], Floats],
    error: Callable[[np.random.Generator, tuple[int, int]], Floats],
    rng: np.random.Generator,
    runs: int,
    length: int,
) -> Answers:
    """Draw labels of sd 20, which champion and baseline miss by what is drawn; cost: the error."""
    shape = (runs, length)
    label = rng.normal(0.0, 20.0, shape)
    errors, naive = champion(rng, shape), error(rng, shape)
    costs = np.minimum(abs(errors), 1_000.0), np.minimum(abs(naive), 1_000.0)
    return Answers(*costs, abs(naive), 1_000.0, None, label, label + naive)


def corrupted(
    corrupt: Callable[[Floats], Floats], rng: np.random.Generator, runs: int, length: int
) -> Answers:
    """Draw labels that are corrupted from `BROKEN_AT` on, and a champion that fits them at once.

    The baseline errs by 10 from the true label, of sd 20; the champion by 8 from the one that came.
    """
    shape = (runs, length)
    true = rng.normal(0.0, 20.0, shape)
    baseline = true + rng.normal(0.0, 10.0, shape)
    label = true.copy()
    label[:, BROKEN_AT:] = corrupt(true[:, BROKEN_AT:])
    return _learnt(true, label, baseline, label + rng.normal(0.0, 8.0, shape))


def turned(share: float, rng: np.random.Generator, runs: int, length: int) -> Answers:
    """Draw labels of which a `share` has its sign turned from `BROKEN_AT` on.

    Which are turned cannot be known, so the champion learns what labels are in the mean: the true
    ones, which it misses by 8, times 1 - 2·share.
    """
    shape = (runs, length)
    true = rng.normal(0.0, 20.0, shape)
    baseline = true + rng.normal(0.0, 10.0, shape)
    champion, label = true + rng.normal(0.0, 8.0, shape), true.copy()
    champion[:, BROKEN_AT:] *= 1.0 - 2.0 * share
    wrong = rng.random(shape) < share
    wrong[:, :BROKEN_AT] = False
    label[wrong] *= -1.0
    return _learnt(true, label, baseline, champion)


def _learnt(true: Floats, label: Floats, baseline: Floats, champion: Floats) -> Answers:
    naive = abs(baseline - label)
    costs = np.minimum(abs(champion - label), 1_000.0), np.minimum(naive, 1_000.0)
    by_truth = abs(champion - true), abs(baseline - true)
    return Answers(*costs, naive, 1_000.0, None, label, baseline, by_truth)


def constant(rng: np.random.Generator, runs: int, length: int) -> Answers:
    """Draw labels whose baseline is always 0, and a champion that knows 60 % of the variance."""
    shape = (runs, length)
    label = rng.normal(0.0, 20.0, shape)
    champion = 0.6 * label + rng.normal(0.0, 8.0, shape)
    costs = abs(champion - label), abs(label)
    return Answers(*costs, abs(label), 1_000.0, None, label, np.zeros(shape))


def perfect(rng: np.random.Generator, runs: int, length: int) -> Answers:
    """Draw a baseline that is always right, and a champion that errs once in 1,000 labels."""
    shape = (runs, length)
    label = rng.normal(0.0, 20.0, shape)
    cost = 5.0 * (rng.random(shape) < 1e-3)
    return Answers(cost, np.zeros(shape), np.zeros(shape), 1_000.0, None, label, label)


def asymmetric(rng: np.random.Generator, runs: int, length: int) -> Answers:
    """Draw costs of 19 to 1: the champion errs more and costs a quarter of the baseline."""
    shape = (runs, length)
    label = rng.normal(0.0, 1.0, shape)
    errors, naive = 1.5 + rng.normal(0.0, 0.05, shape), rng.normal(0.0, 0.5, shape)
    cost = [np.where(error < 0, -19.0 * error, error) for error in (errors, naive)]
    return Answers(cost[0], cost[1], abs(naive), 1_000.0, None, label, label + naive)


def _normal(sd: float) -> Callable[[np.random.Generator, tuple[int, int]], Floats]:
    return lambda rng, shape: rng.normal(0.0, sd, shape)


def _remembering(sd: float, rho: float) -> Callable[[np.random.Generator, tuple[int, int]], Floats]:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        from scipy.signal import lfilter

        wave = [sd * math.sqrt(1 - rho * rho)], [1.0, -rho]
        return np.asarray(lfilter(*wave, rng.normal(size=shape), axis=1))

    return draw


def _student(sd: float) -> Callable[[np.random.Generator, tuple[int, int]], Floats]:
    return lambda rng, shape: sd * rng.standard_t(2.0, shape)


def _breaking(
    after: Callable[[np.random.Generator, tuple[int, int]], Floats],
) -> Callable[[np.random.Generator, tuple[int, int]], Floats]:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        errors = rng.normal(0.0, 8.0, shape)
        errors[:, BROKEN_AT:] = after(rng, (shape[0], shape[1] - BROKEN_AT))
        return errors

    return draw


_HEALTHY = {
    "champion 20 % better, i.i.d.": (_normal(8.0), _normal(10.0)),
    "champion as good, i.i.d.": (_normal(10.0), _normal(10.0)),
    "champion 5 % better, AR(.9)": (_remembering(9.5, 0.9), _remembering(10.0, 0.9)),
    "champion 5 % better, t with 2 df": (_student(9.5), _student(10.0)),
}
_CORRUPTED: dict[str, Callable[[Floats], Floats]] = {
    "sign turned": lambda label: -label,
    "all 0": np.zeros_like,
    "x 60": lambda label: 60.0 * label,
    "/ 60": lambda label: label / 60.0,
    "/ 60 and rounded": lambda label: np.round(label / 60.0),
    "+ 300": lambda label: label + 300.0,
    "all 999": lambda label: np.full_like(label, 999.0),
    "of other events": lambda label: np.roll(label, 1, axis=1),
    "+ 10 %": lambda label: 1.1 * label,
}
_BROKEN = {
    "champion runs away": _breaking(lambda rng, shape: np.full(shape, 1e9)),
    "champion errs 3 times as much": _breaking(_normal(30.0)),
    "champion biased by 30": _breaking(lambda rng, shape: 30.0 + rng.normal(0.0, 8.0, shape)),
}
STREAMS = [
    *(
        Stream(
            f"1 in {one_in:,}, {shares}, {cost}",
            "rare classes",
            Answers,
            partial(rare, one_in, shares, cost, None),
        )
        for one_in in RATES
        for shares in SHARES
        for cost in COSTS
    ),
    *(
        Stream(name, "healthy champions", Answers, partial(numbers, *errors))
        for name, errors in _HEALTHY.items()
    ),
    Stream("constant baseline", "healthy champions", Answers, constant),
    Stream("perfect baseline", "healthy champions", Answers, perfect),
    Stream("costs of 19 to 1", "healthy champions", Answers, asymmetric),
    *(
        Stream(
            f"1 in {one_in:,}, then {name}, log loss",
            "broken champions",
            Answers,
            partial(rare, one_in, "exponential", "log loss", broken),
            {"broken_at": BROKEN_AT},
        )
        for one_in in RATES[1:]
        for name, broken in (
            ("certain of yes", lambda p: np.ones_like(p)),
            ("turned", lambda p: 1.0 - p),
        )
        if (one_in, name) != (12, "turned")  # costs no more than the baseline
    ),
    *(
        Stream(
            f"labels {name}",
            "corrupted labels",
            Answers,
            partial(corrupted, corrupt),
            {"corrupted_at": BROKEN_AT},
        )
        for name, corrupt in _CORRUPTED.items()
    ),
    *(
        Stream(
            f"labels of which {share:.0%} are turned",
            "corrupted labels",
            Answers,
            partial(turned, share),
            {"corrupted_at": BROKEN_AT, "labels_most": most},
        )
        for share, most in ((0.1, 500), (0.2, 500), (0.25, 3_000), (0.3, 1_500))
    ),
    *(
        Stream(
            name,
            "broken champions",
            Answers,
            partial(numbers, champion, _normal(10.0)),
            {"broken_at": BROKEN_AT},
        )
        for name, champion in _BROKEN.items()
    ),
]
