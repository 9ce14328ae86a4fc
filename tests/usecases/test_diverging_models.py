"""Models that do blow up on the flights: not one of their wild values leaves, and the rule acts."""

from __future__ import annotations

import pytest

from benchmarks.decisions.blow_ups import CASE, run


@pytest.mark.slow
def test_models_that_blow_up_are_never_served_and_are_retired_by_the_rule() -> None:
    """Every fourth flight of an airport in 80 days. Linear regression under squared loss says more
    than a million minutes, a Hoeffding adaptive tree with default leaves more than its limits:
    nothing outside the limits is served, nothing of either at all; the linear model is found worse,
    the tree, which would not be on average, said three values far beyond its limits: both are
    retired by the rule, and all of it is told on `lifecycle`.
    """
    told = run(80, 4)
    assert told.served.keys() == {"absolute", "baseline"}
    assert CASE.limits is not None
    assert CASE.limits[0] <= told.least < told.most <= CASE.limits[1]
    assert told.furthest["squared"] > 1e6
    assert told.furthest["leaves"] > CASE.limits[1]
    assert told.withheld["squared"] > 500
    acts = {(act.verb, act.model): act for act in told.acts}
    assert ("retire", "squared") in acts
    assert "far beyond its limits" in acts["retire", "leaves"].why
    assert not any(verb == "promote" for verb, _ in acts)
    changes = [(c["model"], c["to_state"], c["cause"], c["who"]) for c in told.changes]
    assert ("squared", "withheld", "safeguard", "riverrun") in changes
    assert ("leaves", "withheld", "safeguard", "riverrun") in changes
    assert ("squared", "retired", "rule", "decider") in changes
    assert ("leaves", "retired", "rule", "decider") in changes
