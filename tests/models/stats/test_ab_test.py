import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student_t

from models.stats.ab_test import AbTest

GROUPS = 32


def events_of(rng, blocks):
    """(arm, group, KPI) of units whose habits stay: 1 to 40 events a group and block."""
    habits = rng.normal(0.0, 3.0, (2, GROUPS))
    return [
        [
            (arm, group, 50.0 - 2.0 * arm + habits[arm, group] + rng.normal(0.0, 8.0))
            for arm in (0, 1)
            for group in range(GROUPS)
            for _ in range(rng.integers(1, 41))
        ]
        for _ in range(blocks)
    ]


def sums_of(events, arm):
    """Return the events of each group of an arm, and their KPI."""
    rows = [[0, 0.0] for _ in range(GROUPS)]
    for of, group, kpi in events:
        if of == arm:
            rows[group][0] += 1
            rows[group][1] += kpi
    return [(n, kpi) for n, kpi in rows]


@pytest.mark.parametrize("seed", range(3))
def test_the_variance_is_that_of_statsmodels_by_cluster(seed):
    """Both arms' means with standard errors clustered by group, events of any number."""
    blocks = events_of(np.random.default_rng(seed), 20)
    contest = AbTest(alpha=0.05, bound=100.0, lower=True)
    for events in blocks:
        contest.update(sums_of(events, 1), sums_of(events, 0))
    variance, means = 0.0, []
    for arm in (0, 1):
        rows = [(group, kpi) for events in blocks for of, group, kpi in events if of == arm]
        groups, kpis = (np.array(column) for column in zip(*rows, strict=True))
        fitted = sm.OLS(kpis, np.ones(len(kpis))).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
        )
        variance += float(fitted.bse[0] ** 2) * GROUPS / (GROUPS - 1)
        means.append(float(fitted.params[0]))
    assert contest._variance == pytest.approx(variance, rel=1e-9)
    assert contest.mean == pytest.approx(means[0] - means[1], rel=1e-9)


def test_the_bound_is_robbins_mixture_integrated_by_scipy():
    """At the bound the likelihood ratio, mixed over N(0, tau²) differences, is 1/alpha.

    The bound is Student's t of 31 degrees, which scipy turns back into a normal deviate.
    """
    contest = AbTest(alpha=0.05, bound=1e6, lower=True)
    for events in events_of(np.random.default_rng(5), 25):
        contest.update(sums_of(events, 1), sums_of(events, 0))
    variance, tau2 = contest._variance, contest.scale
    lower, upper = contest.interval
    deviate = student_t.sf((upper - lower) / 2.0 / math.sqrt(variance), GROUPS - 1)
    z = float(norm.isf(deviate))
    distance = z * math.sqrt(variance)

    def mixed(difference):
        density = math.exp(-difference * difference / 2.0 / tau2) / math.sqrt(2.0 * math.pi * tau2)
        exponent = (difference * distance - difference * difference / 2.0) / variance
        return math.exp(exponent) * density

    wealth, _ = quad(mixed, -30.0, 30.0, points=[distance * tau2 / (tau2 + variance)], limit=200)
    assert wealth == pytest.approx(1.0 / contest.alpha, rel=0.1)


@pytest.mark.parametrize("bound", [50.0, 100_000.0, 10_000_000.0])
def test_a_wide_range_of_the_kpi_hides_no_difference(bound):
    """The least deviation is relative to the champion's cost, whatever a KPI could cost at most."""
    contest = AbTest(alpha=0.05, bound=bound, lower=True)
    rng = np.random.default_rng(1)
    for _ in range(30):
        champion, challenger = rng.normal(50.0, 5.0, (2, 32))
        contest.update(
            [(10, kpi - 5.0) for kpi in challenger.tolist()],
            [(10, kpi) for kpi in champion.tolist()],
        )
    assert contest.verdict == "better"
