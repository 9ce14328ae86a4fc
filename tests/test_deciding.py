"""The decider: exact after any restart, whoever speaks first; it acts once, and when it may."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest
from one_partition import linear, use_case

from models.assignment import GROUPS
from models.deciding.assembly import Assembly, Block, seconds
from models.deciding.commands import order
from models.deciding.decider import Decided, Decider
from models.deciding.standings import standings
from models.durations import days, hours
from models.usecase import Contest, Kpi, Promotion, UseCase
from schemas.records import Evidence, Standing

DAY = days(1)
BEGIN = seconds("2020-01-01T00:00:00+00:00")


def case(mode: str = "manual", **changes: Any) -> UseCase:
    """Three models; the KPI is a cost."""
    promotion = {"after": 1_000} | changes.pop("promotion", {})
    plain: dict[str, Any] = {
        "models": {"linear": linear, "tree": linear, "slow": linear},
        "promotion": Promotion(mode, **promotion),  # type: ignore[arg-type]
        "kpi": Kpi(lambda _e, o, s: abs(s - o.took), unit="EUR", better="lower", range=(0, 100)),
        "window": DAY,
        "horizon": hours(6),
    }
    return use_case(**(plain | changes))


def moment(time: float | None) -> str | None:
    """As a record has it."""
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat()


def evidence(partition: int, day: int, **changes: Any) -> dict[str, Any]:
    """One partition's record of one day: costs a prediction of each model, and noise of the day."""
    given = {
        "n": 300, "cost": {"baseline": 12.0, "linear": 10.0, "tree": 10.0, "slow": 10.0},
        "served": None, "champion": "linear", "champion_since": None, "began": {}, "arms": {},
        "experiment_since": None, "missing": 3, "definition": "d1", "noise": 0.3, "mae": {},
        "withheld": {},
    } | changes  # fmt: skip
    n = given["n"]
    draw = random.Random(f"{partition} {day}")
    level = draw.gauss(0, 1.0)
    costs = {
        name: n * (cost + level + draw.gauss(0, given["noise"]))
        for name, cost in given["cost"].items()
    }
    served = given["served"] or given["champion"]
    start = BEGIN + day * DAY
    record = {
        "use_case": "parcels",
        "partition": partition,
        "block_start": moment(start),
        "block_s": DAY,
        "settled_before": moment(start + DAY),
        "segment": None,
        "slice": None,
        "predictions": n + given["missing"],
        "missing": given["missing"],
        "kpi_n": n,
        "kpi": {"served": costs[served], "baseline": costs["baseline"]},
        "paired_n": n,
        "paired": costs,
        "sums": {
            name: {"n": n, "abs": given["mae"].get(name, 1.0) * n, "sq": 0.0, "bias": 0.0}
            for name in costs
        },
        "arms": given["arms"],
        "withheld": given["withheld"],
        "champion": given["champion"],
        "champion_since": moment(given["champion_since"]),
        "experiment_since": moment(given["experiment_since"]),
        "began": {name: moment(time) for name, time in given["began"].items()},
        "definition": given["definition"],
        "step": day,
    }
    Evidence.model_validate(record)
    return record


def fold(mine: UseCase, records: Sequence[dict[str, Any]], partitions: int = 1) -> list[Decided]:
    """All blocks that these records give, decided."""
    assembly, decider = Assembly(partitions, mine.horizon), Decider(mine)
    found = []
    for record in records:
        assembly.take(record)
        found += [decider.take(block) for block in assembly.release()]
    return found


def said(mine: UseCase, records: Sequence[dict[str, Any]], partitions: int = 1) -> list[Any]:
    """All standings, block by block, as bytes."""
    assembly, decider = Assembly(partitions, mine.horizon), Decider(mine)
    found = []
    for record in records:
        assembly.take(record)
        blocks = assembly.release()
        found += [orjson.dumps(standings(decider, decider.take(block))) for block in blocks]
    return found


GAIN = {"baseline": 12.0, "linear": 10.0, "tree": 9.6, "slow": 10.0}


def test_a_better_model_is_recommended_and_nothing_is_done_by_hand() -> None:
    """Manual is the default: it says `promote tree`, with the figures, and sends nothing."""
    mine = case()
    assembly, decider = Assembly(1, mine.horizon), Decider(mine)
    rows: list[dict[str, Any]] = []
    for day in range(80):
        assembly.take(evidence(0, day, cost=GAIN))
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
    assert sum(alphas) < 0.025


def test_a_rule_promotes_once_and_compares_anew_when_the_other_answers() -> None:
    """One command under one id; after it, comparisons are against the new champion."""
    mine = case("automatic")
    records = [evidence(0, day, cost=GAIN) for day in range(80)]
    decided = fold(mine, records)
    wishes = [d.wish for d in decided if d.wish is not None]
    assert [(w.verb, w.model) for w in wishes] == [("promote", "tree")]
    at = next(number for number, d in enumerate(decided) if d.wish is not None)
    command = order(mine, decided[at], wishes[0])
    assert command.who == "decider"
    assert command.evidence is not None
    assert command.evidence["lower"] > 0

    since = BEGIN + (at + 1.5) * DAY
    after = [
        evidence(0, day, cost=GAIN, champion="tree", champion_since=since)
        for day in range(at + 1, at + 60)
    ]
    rows = [orjson.loads(row) for row in said(mine, records[: at + 1] + after)][at + 1 :]
    assert [r["model"] for r in rows[0]] == ["served"]  # half of that day was another's
    against = {(r["model"], r["against"], r["blocks"]) for r in rows[1][1:]}
    assert against == {("linear", "tree", 1), ("slow", "tree", 1)}
    later = fold(mine, records[: at + 1] + after)[at + 1 :]
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
    mine = case("automatic", promotion=promotion)
    plain = {"baseline": 12.0, "linear": 10.0, "tree": 9.0}
    mine = replace(mine, models={"linear": linear, "tree": linear})
    assembly, decider = Assembly(1, mine.horizon), Decider(mine)
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
    rows = orjson.loads(said(case(), records)[-1])
    assert rows[-1]["recommendation"] == "retire or reset slow: linear is better"


def test_what_runs_away_is_not_promoted_and_is_retired_however_good_it_is() -> None:
    """One value in twenty after the warm-up retires it; a bound that is touched does not."""
    mine = case("automatic")
    touched = [evidence(0, d, cost=GAIN, withheld={"tree": 10 * (d % 2)}) for d in range(80)]
    assert [d.wish.verb for d in fold(mine, touched) if d.wish] == ["promote"]
    often = [evidence(0, d, cost=GAIN, withheld={"tree": 20}) for d in range(80)]
    wishes = [d.wish for d in fold(mine, often) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("retire", "tree")]
    by_hand = orjson.loads(said(case(), often)[-1])[1]
    assert by_hand["recommendation"].startswith("wait:")
    cold = [evidence(0, d, cost=GAIN, withheld={"tree": 300 * (d < 6)}) for d in range(80)]
    assert [d.wish.verb for d in fold(mine, cold) if d.wish] == ["promote"]


def test_equal_models_are_left_alone() -> None:
    """A year of days: no command."""
    assert not [d for d in fold(case("automatic"), [evidence(0, d) for d in range(365)]) if d.wish]


# Whoever speaks first, and whoever does not.


def shuffled(records: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The records in another order that keeps each partition's own."""
    draw = random.Random(seed)
    queues: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        queues.setdefault(record["partition"], []).append(record)
    found = []
    while queues:
        partition = draw.choice(sorted(queues))
        found.append(queues[partition].pop(0))
        if not queues[partition]:
            del queues[partition]
    return found


def test_the_order_in_which_partitions_speak_changes_nothing() -> None:
    """Nor do repetitions: the standings are the same to the last byte."""
    mine = case("automatic")
    records = [evidence(p, day, cost=GAIN) for day in range(50) for p in range(3)]
    plain = said(mine, records, 3)
    assert len(plain) == 50
    for seed in range(5):
        mixed = shuffled(records, seed)
        twice = [record for record in mixed for _ in range(1 + (record["step"] % 2))]
        assert said(mine, twice, 3) == plain


def test_a_restart_anywhere_goes_on_as_if_there_had_been_none() -> None:
    """With nothing but the evidence and the blocks that were said, at every cut, even where a
    partition had been passed over and came back in the meantime.
    """
    mine = case("automatic")
    records = [evidence(p, day, cost=GAIN) for day in range(40) for p in range(2)]
    # The third speaks of its first days late: it had been passed over by then.
    late = [evidence(2, day, cost=GAIN | {"tree": 8.0}) for day in range(36)]
    records = records[:60] + late + records[60:]

    def run(upto: int, known: dict[float, tuple[int, ...]]) -> tuple[list[bytes], Any]:
        assembly, decider = Assembly(3, mine.horizon, recorded=dict(known)), Decider(mine)
        words, made = [], dict(known)
        taken = iter(range(len(records) + 1))
        start = len(known) and upto
        for record in records[:start]:
            assembly.take(record)
        for number in taken:
            for block in assembly.release(idle={2} if number + start < 60 else set()):
                decided = decider.take(block)
                word = orjson.dumps(standings(decider, decided))
                words.append(word)
                made[block.start] = block.partitions
            if number + start >= len(records):
                break
            assembly.take(records[number + start])
        return words, made

    whole, made = run(0, {})
    assert set(made.values()) >= {(0, 1), (0, 1, 2)}
    for cut in (1, 30, 55, 75, 97, len(records)):
        part: dict[float, tuple[int, ...]] = {}
        assembly = Assembly(3, mine.horizon)
        for number, record in enumerate(records[:cut]):
            assembly.take(record)
            for block in assembly.release(idle={2} if number + 1 < 60 else set()):
                part[block.start] = block.partitions
        if part:
            again, _ = run(cut, part)
            assert again == whole


def test_only_an_idle_partition_far_behind_is_passed_over() -> None:
    """A slow one is waited for; one that never had an event is not, after a horizon and a week."""
    mine = case()
    assembly = Assembly(2, mine.horizon)
    for day in range(9):
        assembly.take(evidence(0, day))
    assert assembly.laggards == [1]
    assert assembly.release() == []
    blocks = assembly.release(idle=[1])
    assert [block.partitions for block in blocks] == [(0,)] * 9
    early = Assembly(2, mine.horizon)
    for day in range(6):
        early.take(evidence(0, day))
    assert early.laggards == []
    assert early.release(idle=[1]) == []


def test_a_fresh_model_or_another_definition_begins_its_comparison_anew() -> None:
    """Whatever the old one had gained; and each beginning spends of the one budget."""
    mine = case()
    records = [evidence(0, day, cost=GAIN) for day in range(30)]
    began = BEGIN + 30.5 * DAY
    records += [evidence(0, d, cost=GAIN, began={"tree": began}) for d in range(30, 40)]
    records += [
        evidence(0, d, cost=GAIN, began={"tree": began}, definition="d2") for d in range(40, 45)
    ]
    rows = [orjson.loads(row) for row in said(mine, records)]

    def seen(number: int) -> dict[str, int]:
        return {r["model"]: r["blocks"] for r in rows[number][1:]}

    assert seen(29) == {"tree": 30, "slow": 30}
    assert seen(30) == {"slow": 31}
    assert seen(39) == {"tree": 9, "slow": 40}
    assert seen(44) == {"tree": 5, "slow": 5}


# Where answers act on outcomes.


def arms(day: int, gain: float) -> dict[str, Any]:
    """A champion's and a challenger's arm of one day."""
    draw = random.Random(day)
    made = {}
    for name, less, n in (("champion", 0.0, 20), ("tree", gain, 5), ("holdout", -2.0, 5)):
        groups = [(n, n * (10.0 - less + draw.gauss(0, 0.5))) for _ in range(GROUPS)]
        total = n * GROUPS
        made[name] = {
            "predictions": total + 1, "n": total, "kpi": sum(kpi for _, kpi in groups),
            "sums": {"n": total, "abs": total * 1.0, "sq": 0.0, "bias": 0.0}, "groups": groups,
        }  # fmt: skip
    return made


def test_where_answers_act_on_outcomes_only_an_experiment_decides() -> None:
    """A shadow that looks better promotes nothing; an experiment's winner is promoted."""
    mine = case("automatic", contest=Contest(acts_on_outcome=True))
    shadow = [evidence(0, day, cost=GAIN) for day in range(100)]
    assert not [d for d in fold(mine, shadow) if d.wish]
    rows = orjson.loads(said(mine, shadow)[-1])
    assert "indicative only" in rows[1]["recommendation"]
    tried = [evidence(0, day, arms=arms(day, 0.4)) for day in range(60)]
    wishes = [d.wish for d in fold(mine, tried) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("promote", "tree")]
    worse = [evidence(0, day, arms=arms(day, -0.4)) for day in range(60)]
    wishes = [d.wish for d in fold(mine, worse) if d.wish]
    assert [(w.verb, w.model) for w in wishes] == [("drain", "tree")]


def test_an_experiment_whose_shares_change_begins_anew() -> None:
    """The arms before and after are not one experiment."""
    mine = case(contest=Contest(acts_on_outcome=True))
    records = [evidence(0, day, arms=arms(day, 0.4)) for day in range(20)]
    since = BEGIN + 20.5 * DAY
    records += [
        evidence(0, day, arms=arms(day, 0.4), experiment_since=since) for day in range(20, 30)
    ]
    last = fold(mine, records)[-1].contenders
    assert {(c.question, c.contest.seen) for c in last if c.model == "tree"} == {
        ("shadow", 30),
        ("experiment", 9),
    }


def test_the_holdout_is_never_used_to_choose() -> None:
    """Its outcomes change no verdict about models."""
    mine = case(contest=Contest(acts_on_outcome=True))
    records = [evidence(0, day, arms=arms(day, 0.4)) for day in range(30)]
    plain = orjson.loads(said(mine, records)[-1])
    for record in records:
        record["arms"]["holdout"]["kpi"] *= 5
        record["arms"]["holdout"]["groups"] = [(n, 5 * k) for n, k in
                                               record["arms"]["holdout"]["groups"]]  # fmt: skip
    other = orjson.loads(said(mine, records)[-1])
    assert [r for r in other if r["question"] != "worth"] == [
        r for r in plain if r["question"] != "worth"
    ]


def test_blocks_of_no_partition_are_harmless() -> None:
    """A block whose every partition was passed over says nothing new."""
    decider = Decider(case())
    number = count()
    assert decider.take(Block(float(next(number)), [], ())).wish is None
