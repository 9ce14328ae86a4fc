"""The life of a model: along the table, told on `lifecycle`, the same for whoever commands it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.spec.model_lifecycle import BEGIN, TABLE, diagram, following
from models.spec.use_case import Contest
from schemas.errors import Refused
from tests.support.one_partition import Partition, letters, use_case

DOCS = Path(__file__).parents[3] / "docs"


def living(warmup: Any = 2, **contest: Any) -> Partition:
    """A partition whose models have their warm-up behind them."""
    case = use_case(
        segments=None,
        features={"weight": lambda e: e.weight},
        contest=Contest(**contest),
        warmup=warmup,
        breaker=False,
    )
    partition = Partition(case)
    for step in range(20):
        partition.event(f"w{step}", step)
        partition.outcome(f"w{step}", step + 0.5, took=6.0 + step % 3)
    return partition


def path(partition: Partition, model: str) -> list[tuple[str | None, str]]:
    """What `lifecycle` told of a model."""
    return [
        (value["from_state"], value["to_state"])
        for value in partition.of("lifecycle")
        if value["model"] == model
    ]


def test_the_docs_show_the_table() -> None:
    """The diagram is drawn from it, to the letter."""
    assert f"```mermaid\n{diagram()}\n```" in (DOCS / "how-to/OPERATIONS.md").read_text()


def test_every_state_can_be_reached_and_left() -> None:
    """The table has no dead end and no island."""
    states = {t.after for t in TABLE}
    assert {t.before for t in TABLE} - {BEGIN} == states


def test_a_model_goes_through_its_life_along_the_table() -> None:
    """Candidate, shadow, experiment, champion, shadow, retired, candidate: each step is told, and
    each is one of the table's.
    """
    partition = living()
    for number, (verb, fields) in enumerate(
        [
            ("experiment", {"model": "tree", "share": 0.3}),
            ("experiment", {"model": "tree", "share": 0.5}),
            ("drain", {"model": "tree"}),
            ("experiment", {"model": "tree", "share": 0.5}),
            ("promote", {"model": "tree"}),
            ("rollback", {}),
            ("retire", {"model": "tree"}),
            ("reset", {"model": "tree"}),
        ]
    ):
        assert letters(partition.command(f"c{number}", verb, **fields)) == []
    assert path(partition, "tree") == [
        (None, "candidate"),
        ("candidate", "shadow"),
        ("shadow", "experiment"),
        ("experiment", "experiment"),
        ("experiment", "shadow"),
        ("shadow", "experiment"),
        ("experiment", "champion"),
        ("champion", "shadow"),
        ("shadow", "retired"),
        ("retired", "candidate"),
    ]
    known = {(None if t.before == BEGIN else t.before, t.after) for t in TABLE}
    assert {*path(partition, "tree"), *path(partition, "linear")} <= known
    assert partition.task.router.experiment == {}


@pytest.mark.parametrize(
    ("verb", "fields", "words"),
    [
        ("retire", {"model": "linear"}, "linear is champion"),
        ("experiment", {"model": "linear", "share": 0.1}, "linear is champion"),
        ("experiment", {"model": "tree"}, "share above 0"),
        ("experiment", {"model": "tree", "share": 0.95}, "take 0.1 of the units"),
        ("drain", {"model": "tree"}, "experiment"),
        ("reset", {"model": "oak"}, "there are: linear, tree"),
        ("rollback", {}, "no earlier champion"),
        ("promote", {"model": "linear"}, "champion already"),
    ],
)
def test_what_is_not_along_it_changes_nothing(verb: str, fields: dict[str, Any], words: str):
    """And its dead letter says what would be possible."""
    partition = living(holdout=0.1)
    router = partition.task.router
    before = (router.champion, dict(router.experiment), dict(router.retired), router.since)
    outputs = partition.command("c", verb, **fields)
    assert words in letters(outputs)[0]["error"]
    assert (router.champion, router.experiment, router.retired, router.since) == before


def test_who_is_retired_neither_predicts_nor_learns() -> None:
    """Nor is it in the evidence; once reset, it begins as a fresh model."""
    partition = living()
    learnt = partition.task.router.pooled["tree"].trained_on
    partition.command("c1", "retire", model="tree")
    partition.event("a", 30)
    partition.outcome("a", 31)
    assert partition.of("predictions")[-1]["shadows"]["tree"] is None
    assert partition.task.router.pooled["tree"].trained_on == learnt == 20
    cell = next(iter(partition.task.metrics.cells.values()))
    assert cell.scores["linear"][0] == cell.scores["tree"][0] + 1
    partition.command("c2", "reset", model="tree")
    assert partition.task.router.pooled["tree"].trained_on == 0
    assert partition.task.router.began["tree"] == partition.task.watermark.time
    partition.event("b", 40)
    partition.outcome("b", 41)
    assert partition.task.router.pooled["tree"].trained_on == 1


def test_a_warm_up_by_model_is_told_as_one_for_all_is() -> None:
    """A challenger with a warm-up of its own comes into shadow when it has learnt that much."""
    partition = living({"tree": 7})
    assert path(partition, "tree") == [(None, "candidate"), ("candidate", "shadow")]
    (told,) = [v for v in partition.of("lifecycle") if v["to_state"] == "shadow"]
    assert "7 examples" in told["why"]


def test_a_champion_that_is_reset_is_answered_for_until_it_is_warm() -> None:
    """It keeps its place; the baseline answers until it has learnt its warm-up."""
    partition = living()
    partition.command("c1", "reset", model="linear")
    for step in range(30, 34):
        partition.event(f"e{step}", step)
        partition.outcome(f"e{step}", step + 0.5)
    by = [value["served_by"] for value in partition.of("predictions")][-4:]
    assert by == ["baseline", "baseline", "champion", "champion"]


def test_commands_may_come_before_all_events() -> None:
    """There is no time yet; the evidence that follows has none of theirs."""
    case = use_case(
        segments=None, features={"weight": lambda e: e.weight}, max_jump=1e9,
        contest=Contest(experiment={"tree": 0.5}),
    )  # fmt: skip
    partition = Partition(case)
    for number, (verb, model) in enumerate(
        [("reset", "tree"), ("reset", "linear"), ("promote", "tree"), ("retire", "linear")]
    ):
        assert letters(partition.command(f"c{number}", verb, model=model)) == []
    for step in range(3):
        partition.event(f"e{step}", step)
        partition.outcome(f"e{step}", step + 0.5)
    partition.event("later", 20_000)
    value = partition.of("evidence")[0]
    assert (value["began"], value["champion_since"]) == ({}, None)
    assert (value["champion"], value["kpi_n"]) == ("tree", 3)


def test_a_step_that_the_table_lacks_says_where_it_would_be_possible() -> None:
    """In words, for the dead letter."""
    with pytest.raises(Refused, match="trees is champion, and retire is for a model that is"):
        following("champion", "retire", "trees")
