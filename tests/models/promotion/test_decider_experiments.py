"""Where answers act on outcomes: experiments and the holdout, as the decider takes them."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import orjson

from models.promotion.block_merger import MergedBlock
from models.promotion.decider import Decider
from models.spec.experiment_arms import GROUPS
from models.spec.use_case import Contest
from tests.support.closed_blocks import BEGIN, DAY, GAIN, case, evidence, fold, standings_by_block


def arms(day: int, gain: float) -> dict[str, Any]:
    """A champion's and a challenger's arm of one day."""
    draw = random.Random(day)
    by_arm = {}
    for name, less, n in (("champion", 0.0, 20), ("tree", gain, 5), ("holdout", -2.0, 5)):
        groups = [(n, n * (10.0 - less + draw.gauss(0, 0.5))) for _ in range(GROUPS)]
        total = n * GROUPS
        by_arm[name] = {
            "predictions": total + 1, "n": total, "kpi": sum(kpi for _, kpi in groups),
            "sums": {"n": total, "abs": total * 1.0, "sq": 0.0, "bias": 0.0}, "groups": groups,
        }  # fmt: skip
    return by_arm


def test_where_answers_act_on_outcomes_only_an_experiment_decides() -> None:
    """A shadow that looks better promotes nothing; an experiment's winner is promoted."""
    use_case = case("automatic", contest=Contest(acts_on_outcome=True))
    shadow = [evidence(0, day, cost=GAIN) for day in range(100)]
    assert not [d for d in fold(use_case, shadow) if d.wish]
    rows = orjson.loads(standings_by_block(use_case, shadow)[-1])
    assert "indicative only" in rows[1]["recommendation"]
    tried = [evidence(0, day, arms=arms(day, 0.4)) for day in range(60)]
    wishes = [d.wish for d in fold(use_case, tried) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("promote", "tree")]
    worse = [evidence(0, day, arms=arms(day, -0.4)) for day in range(60)]
    wishes = [d.wish for d in fold(use_case, worse) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("drain", "tree")]


def test_an_experiment_whose_shares_change_begins_anew() -> None:
    """The arms before and after are not one experiment."""
    use_case = case(contest=Contest(acts_on_outcome=True))
    records = [evidence(0, day, arms=arms(day, 0.4)) for day in range(20)]
    since = BEGIN + 20.5 * DAY
    records += [
        evidence(0, day, arms=arms(day, 0.4), experiment_since=since) for day in range(20, 30)
    ]
    last = fold(use_case, records)[-1].contenders
    assert {(c.question, c.contest.seen) for c in last if c.model == "tree"} == {
        ("shadow", 30),
        ("experiment", 9),
    }


def test_the_holdout_is_never_used_to_choose() -> None:
    """Its outcomes change no verdict about models."""
    use_case = case(contest=Contest(acts_on_outcome=True))
    records = [evidence(0, day, arms=arms(day, 0.4)) for day in range(30)]
    plain = orjson.loads(standings_by_block(use_case, records)[-1])
    for record in records:
        record["arms"]["holdout"]["kpi"] *= 5
        record["arms"]["holdout"]["groups"] = [(n, 5 * k) for n, k in
                                               record["arms"]["holdout"]["groups"]]  # fmt: skip
    other = orjson.loads(standings_by_block(use_case, records)[-1])
    assert [r for r in other if r["question"] != "worth"] == [
        r for r in plain if r["question"] != "worth"
    ]


def test_blocks_of_no_partition_are_harmless() -> None:
    """A block whose every partition was passed over says nothing new."""
    decider = Decider(case())
    number = count()
    assert decider.take(MergedBlock(float(next(number)), [], ())).wish is None
