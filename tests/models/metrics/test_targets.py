import pytest

from models.metrics.targets import judged
from models.values.durations import minutes
from tests.support.one_partition import use_case

SUMS = {"n": 1_000.0, "abs": 11_000.0, "sq": 250_000.0, "bias": 0.0}


def test_targets_are_met_or_missed_on_the_side_that_is_better_for_each():
    """The metric and the KPI by their own direction, freshness by its age; in declared order."""
    case = use_case(targets={"mae": 11.5, "rmse": 15.0, "kpi": 40.0, "freshness": minutes(30)})
    judgements = judged(case, SUMS, kpi_sum=41_000.0, kpi_n=1_000, freshness_s=1_000.4)
    assert [(held.name, held.met) for held in judgements] == [
        ("mae", True),
        ("rmse", False),
        ("kpi", case.kpi.better == "higher"),
        ("freshness", True),
    ]
    assert judgements[0].value == pytest.approx(11.0)
    assert str(judgements[0]) == "mae at most 11.5, met: 11"
    assert str(judgements[3]) == "freshness at most 30 minutes, met: 1000 seconds"


def test_a_target_is_not_judged_on_too_few_labels():
    """Ninety-nine labels say nothing yet; nor does a freshness that nobody told."""
    case = use_case(targets={"mae": 11.5, "freshness": minutes(30)})
    judgements = judged(case, SUMS | {"n": 99.0})
    assert [held.met for held in judgements] == [None, None]
    assert "not known yet" in str(judgements[0])
    assert judged(use_case(), SUMS) == []
