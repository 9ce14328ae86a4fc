"""The decider: exact after any restart, whoever speaks first; it acts once, and when it may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from models.promotion.block_merger import BlockMerger
from models.promotion.decider import Decider
from models.promotion.decider_command import order
from models.promotion.standings import standings
from models.spec.use_case import Contest, Segments
from schemas.records import Standing
from tests.support.closed_blocks import BEGIN, DAY, GAIN, case, evidence, fold, standings_by_block
from tests.support.one_partition import linear


def test_a_better_model_is_recommended_and_nothing_is_done_by_hand() -> None:
    """Manual is the default: it says `promote tree`, with the figures, and sends nothing."""
    use_case = case(contest=Contest(missing="by chance"))
    assembly, decider = BlockMerger(1, use_case.horizon), Decider(use_case)
    rows: list[dict[str, Any]] = []
    for day in range(80):
        assembly.take(evidence(0, day, cost=GAIN, missing=3))
        for block in assembly.release():
            decided = decider.take(block)
            assert decided.wish is None
            rows = standings(decider, decided)
            for row in rows:
                Standing.model_validate(row)
    by_model = {(row["question"], row["model"]): row for row in rows}
    tree = by_model["shadow", "tree"]
    assert tree["verdict"] == "better"
    assert tree["recommendation"] == "promote tree"
    assert 0 < tree["lower"] < 0.4 < tree["upper"]
    assert tree["worst_lower"] < tree["lower"]
    assert by_model["shadow", "slow"]["verdict"] == "undecided"
    assert by_model["worth", "served"]["recommendation"].startswith("worth it")
    assert tree["blocks"] == 79 or tree["blocks"] == 80
    alphas = [row["alpha"] for row in rows if row["question"] == "shadow"]
    assert sum(alphas) < 0.05
    assert tree["not_promised"] is None


def test_a_rule_promotes_once_and_compares_anew_when_the_other_answers() -> None:
    """One command under one id; after it, comparisons are against the new champion."""
    use_case = case("automatic")
    records = [evidence(0, day, cost=GAIN) for day in range(80)]
    decided = fold(use_case, records)
    wishes = [d.wish for d in decided if d.wish is not None]
    assert [(w.verb, w.model) for w in wishes] == [("promote", "tree")]
    at = next(number for number, d in enumerate(decided) if d.wish is not None)
    command = order(use_case, decided[at], wishes[0])
    assert command.who == "decider"
    assert command.evidence is not None
    assert command.evidence["lower"] > 0

    since = BEGIN + (at + 1.5) * DAY
    after = [
        evidence(0, day, cost=GAIN, champion="tree", champion_since=since)
        for day in range(at + 1, at + 60)
    ]
    rows = [orjson.loads(row) for row in standings_by_block(use_case, records[: at + 1] + after)][
        at + 1 :
    ]
    assert [r["model"] for r in rows[0]] == ["served"]  # half of that day was another's
    against = {(r["model"], r["against"], r["blocks"]) for r in rows[1][1:]}
    assert against == {("linear", "tree", 1), ("slow", "tree", 1)}
    later = fold(use_case, records[: at + 1] + after)[at + 1 :]
    assert {(d.wish.verb, d.wish.model) for d in later if d.wish} <= {
        ("retire", "linear"),
        ("retire", "slow"),
    }


@pytest.mark.parametrize(
    ("promotion", "changes", "words"),
    [
        ({"after": 10**6}, {}, "of 1000000 examples"),
        ({"guard": "mae"}, {"mae": {"tree": 1.2}}, "its mae is 1.2, linear's 1"),
        ({"margin": 0.2}, {}, "keep linear: tree is not better by the margin"),
    ],
)
def test_what_is_asked_for_a_promotion_is_asked(
    promotion: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    """Enough examples, a guard metric that does not fall, a margin: each alone holds it back."""
    use_case = case("automatic", promotion=promotion)
    plain = {"baseline": 12.0, "linear": 10.0, "tree": 9.0}
    use_case = replace(use_case, models={"linear": linear, "tree": linear})
    assembly, decider = BlockMerger(1, use_case.horizon), Decider(use_case)
    row: dict[str, Any] = {}
    for day in range(90):
        assembly.take(evidence(0, day, cost=plain, **changes))
        for block in assembly.release():
            decided = decider.take(block)
            assert decided.wish is None or decided.wish.verb != "promote"
            row = standings(decider, decided)[-1]
    assert words in row["recommendation"]


def test_what_is_worse_is_retired_by_the_rule() -> None:
    """And only recommended for it by hand."""
    cost = GAIN | {"tree": 10.0, "slow": 10.6}
    records = [evidence(0, day, cost=cost) for day in range(80)]
    wishes = [d.wish for d in fold(case("automatic"), records) if d.wish is not None]
    assert [(w.verb, w.model) for w in wishes] == [("retire", "slow")]
    rows = orjson.loads(standings_by_block(case(), records)[-1])
    assert rows[-1]["recommendation"] == "retire or reset slow: linear is better"


def test_what_runs_away_is_not_promoted_and_is_retired_however_good_it_is() -> None:
    """One value in twenty after the warm-up retires it; a bound that is touched does not."""
    use_case = case("automatic")
    touched = [evidence(0, d, cost=GAIN, withheld={"tree": 10 * (d % 2)}) for d in range(80)]
    assert [d.wish.verb for d in fold(use_case, touched) if d.wish] == ["promote"]
    often = [evidence(0, d, cost=GAIN, withheld={"tree": 20}) for d in range(80)]
    wishes = [d.wish for d in fold(use_case, often) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("retire", "tree")]
    by_hand = orjson.loads(standings_by_block(case(), often)[-1])[1]
    assert by_hand["recommendation"].startswith("wait:")
    cold = [evidence(0, d, cost=GAIN, withheld={"tree": 300 * (d < 6)}) for d in range(80)]
    assert [d.wish.verb for d in fold(use_case, cold) if d.wish] == ["promote"]


def test_what_blows_up_is_retired_at_its_third_wild_value_however_few_its_examples() -> None:
    """Three after the warm-up, by default; two do nothing, nor do those of the warm-up."""
    use_case = case("automatic", promotion={"after": 10**6})

    def wishes(rare: Any, *at: int) -> list[tuple[str, str]]:
        diverged = [{"tree": int(d in at)} for d in range(40)]
        records = [
            evidence(0, d, cost=GAIN, withheld=diverged[d], diverged=diverged[d]) for d in range(40)
        ]
        return [(w.verb, w.model) for d in fold(rare, records) if (w := d.wish) is not None]

    assert wishes(use_case, 10, 20, 30) == [("retire", "tree")]
    assert wishes(use_case, 10, 20) == []
    assert wishes(use_case, 0, 1, 2, 3) == []
    strict = case("automatic", promotion={"after": 10**6, "max_diverged": 1})
    assert wishes(strict, 10) == [("retire", "tree")]
    records = [evidence(0, d, withheld={"tree": 1}, diverged={"tree": 1}) for d in range(20)]
    row = orjson.loads(standings_by_block(case(), records)[-1])[1]
    assert "far beyond its limits" in row["recommendation"]


def test_equal_models_are_left_alone() -> None:
    """A year of days: no command."""
    assert not [d for d in fold(case("automatic"), [evidence(0, d) for d in range(365)]) if d.wish]


def test_a_fresh_model_begins_its_comparison_anew_and_a_definition_alone_does_not() -> None:
    """Whatever the old one had gained; each beginning spends of the one budget. What a definition
    changed says when the models began.
    """
    use_case = case()
    records = [evidence(0, day, cost=GAIN) for day in range(30)]
    began = BEGIN + 30.5 * DAY
    records += [evidence(0, d, cost=GAIN, began={"tree": began}) for d in range(30, 40)]
    records += [
        evidence(0, d, cost=GAIN, began={"tree": began}, definition="d2") for d in range(40, 45)
    ]
    other = {"tree": BEGIN + 45 * DAY, "slow": BEGIN + 45 * DAY, "linear": BEGIN + 45 * DAY}
    records += [evidence(0, d, cost=GAIN, began=other, definition="d3") for d in range(45, 48)]
    rows = [orjson.loads(row) for row in standings_by_block(use_case, records)]

    def seen(number: int) -> dict[str, int]:
        return {r["model"]: r["blocks"] for r in rows[number][1:]}

    assert seen(29) == {"tree": 30, "slow": 30}
    assert seen(30) == {"slow": 31}
    assert seen(39) == {"tree": 9, "slow": 40}
    assert seen(44) == {"tree": 14, "slow": 45}
    assert seen(47) == {"tree": 3, "slow": 3}


def test_a_rule_waits_for_the_rare_losses_that_were_declared() -> None:
    """A gain on each of 80 days is promoted, unless a loss once in 40 days is to be ruled out."""
    records = [evidence(0, day, cost=GAIN | {"tree": 8.0}) for day in range(80)]
    assert [d.wish.verb for d in fold(case("automatic"), records) if d.wish] == ["promote"]
    use_case = case("automatic", contest=Contest(rare_losses=40))
    assert not [d for d in fold(use_case, records) if d.wish]
    last = next(
        row
        for row in orjson.loads(standings_by_block(use_case, records)[-1])
        if row["model"] == "tree"
    )
    assert last["verdict"] == "better"
    assert last["not_promised"].startswith("a loss that comes once in 40 blocks")
    assert "once in 8 blocks" in last["assumes"]
    assert "decide by hand whether to promote tree" in last["recommendation"]


@pytest.mark.parametrize(("assumed", "promoted"), [("unknown", False), ("by chance", True)])
def test_a_rule_leaves_to_a_person_what_missing_outcomes_could_undo(
    assumed: Any, promoted: bool
) -> None:
    """1 % missing of a range of 100 outweighs a gain of 0.4, unless it is missing by chance."""
    use_case = case("automatic", contest=Contest(missing=assumed))
    records = [evidence(0, day, cost=GAIN, missing=3) for day in range(80)]
    assert any(decided.wish for decided in fold(use_case, records)) is promoted
    last = [
        row
        for row in orjson.loads(standings_by_block(use_case, records)[-1])
        if row["model"] == "tree"
    ]
    if not promoted:
        assert last[0]["verdict"] == "better"
        assert last[0]["not_promised"].startswith("1.0% of the outcomes are missing")
        assert last[0]["recommendation"].startswith("decide by hand whether to promote tree")


def test_what_ended_before_it_could_err_costs_no_error_budget() -> None:
    """The champion changes on days 10 and 20: the third comparison has the first one's share."""
    use_case = case(segments=None)
    champions = ["linear"] * 10 + ["tree"] * 10 + ["linear"] * 10
    records = [
        evidence(0, day, cost=GAIN, champion=champion) for day, champion in enumerate(champions)
    ]
    rows = [orjson.loads(text) for text in standings_by_block(use_case, records)]

    def shares(row: list[dict[str, Any]]) -> list[float]:
        return sorted(r["alpha"] for r in row if r["question"] == "shadow")

    assert shares(rows[-1]) == shares(rows[5])
    assert max(shares(rows[-1])) == pytest.approx(0.05 * 6 / 3.14159265**2)


def test_segments_have_half_of_the_error_budget_where_there_are_any() -> None:
    """The first challenger of a use case with segments has half the share of one without."""
    plain, split = Decider(case(segments=None)), Decider(case(segments=Segments("depot")))
    assert split.budget.total == plain.budget.total / 2
