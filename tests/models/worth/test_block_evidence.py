"""What a partition says of each closed block: complete, once, and the same after any restart."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from models.spec.experiment_arms import point
from models.spec.use_case import Contest, Segments, UseCase
from models.task.checkpoint import parts_of, take_parts
from models.task.partition_task import PartitionTask
from models.values.durations import hours, minutes
from tests.support.one_partition import RECORDS, Partition, use_case

WINDOW = minutes(30)


def case(**changes: Any) -> UseCase:
    """The small use case, with time that may jump."""
    return use_case(**({"max_jump": hours(100), "slices": {"items": "items"}} | changes))


def whole(partition: Partition) -> list[dict[str, Any]]:
    """The records of the whole partition."""
    return [
        value
        for value in partition.of("evidence")
        if value["segment"] is None and value["slice"] is None
    ]


def filled(partition: Partition, blocks: int = 3, each: int = 6) -> Partition:
    """Events through some blocks; all but the last of each have an outcome."""
    for number in range(blocks * each):
        second = number * WINDOW / each
        event_id = f"e{number}"
        partition.event(event_id, second, items=1 + number % 2)
        if number % each != each - 1:
            partition.outcome(event_id, second + 60, took=4.0 + number % 5)
    return partition


def test_a_block_is_said_once_it_can_no_longer_change() -> None:
    """Not a second before its horizon has passed, even if all its labels are there; then once."""
    partition = filled(Partition(case()))
    end = WINDOW + hours(1)
    partition.event("almost", end - 1)
    assert whole(partition) == []
    partition.event("there", end)
    assert [value["block_start"][:16] for value in whole(partition)] == ["2020-01-01T00:00"]
    partition.event("on", end + 1)
    assert len(whole(partition)) == 1


def test_the_sums_are_those_of_the_examples() -> None:
    """Counts, KPI and paired KPI of a block are what its predictions and examples add up to."""
    partition = filled(Partition(case()))
    partition.event("later", hours(3))
    first = whole(partition)[0]
    examples = [e for e in partition.of("examples") if e["event_time"] < "2020-01-01T00:30"]
    assert first["predictions"] == 6
    assert first["missing"] == 1
    assert first["kpi_n"] == first["paired_n"] == len(examples) == 5
    assert first["kpi"]["served"] == pytest.approx(sum(e["kpi"] for e in examples))
    cost = {
        name: sum(abs(e["shadows"][name] - e["label"]) for e in examples)
        for name in ("linear", "tree")
    }
    cost["baseline"] = sum(abs(e["baseline"] - e["label"]) for e in examples)
    assert first["paired"] == pytest.approx(cost)
    assert first["sums"]["tree"]["abs"] == pytest.approx(cost["tree"])
    assert first["settled_before"] == "2020-01-01T02:00:00+00:00"


def test_segments_and_slices_add_up_to_the_whole() -> None:
    """Each block has a record for every segment and slice; slices of one kind add up."""
    partition = filled(Partition(case()))
    partition.event("later", hours(3))
    for value in whole(partition):
        parts = [
            other
            for other in partition.of("evidence")
            if other["block_start"] == value["block_start"] and other["slice"] is not None
        ]
        assert sum(part["kpi_n"] for part in parts) == value["kpi_n"]
        total = sum(part["kpi"]["served"] for part in parts)
        assert total == pytest.approx(value["kpi"]["served"])
    for value in partition.of("evidence"):
        RECORDS["evidence"].model_validate(value)


def test_only_a_share_is_predicted_by_challengers_and_it_is_the_same_everywhere() -> None:
    """The events outside are answered by the champion alone, yet every model learns from all."""
    use_case = case(contest=Contest(shadow=0.4), segments=None, breaker=False)
    partition = filled(Partition(use_case), blocks=20)
    partition.event("later", hours(20))
    inside = {
        p["event_id"]
        for p in partition.of("predictions")
        if point("parcels/shadow", p["event_id"]) < 0.4
    }
    learnt_on = [
        p["event_id"] for p in partition.of("predictions") if p["shadows"]["tree"] is not None
    ]
    # The tree has something to say from its first example on.
    assert set(learnt_on) <= inside
    assert len(inside) - len(learnt_on) <= 1
    assert all(p["shadows"]["linear"] is not None for p in partition.of("predictions"))
    slots = partition.task.router.pooled
    assert slots["tree"].trained_on == slots["linear"].trained_on == 100
    labelled = [e for e in partition.of("examples") if e["event_id"] in inside]
    assert sum(value["paired_n"] for value in whole(partition)) == len(labelled)
    assert sum(value["kpi_n"] for value in whole(partition)) == 100
    for value in whole(partition):
        if value["paired_n"]:
            assert value["sums"]["tree"]["n"] == value["sums"]["linear"]["n"] == value["paired_n"]


def test_history_is_no_evidence() -> None:
    """What was backfilled was never answered, so it proves nothing."""
    partition = Partition(case())
    for number in range(10):
        event = {"event_id": f"h{number}", "event_time": f"2020-01-01T00:0{number}:00Z"}
        partition.history("event", event | {"shop": "a", "weight": 1.0})
        outcome = {"event_id": f"h{number}", "outcome_time": f"2020-01-01T00:0{number}:30Z"}
        partition.history("outcome", outcome | {"took": 3.0})
    partition.event("now", hours(5))
    partition.event("later", hours(9))
    assert [value["predictions"] for value in whole(partition)] == [1]


def test_a_change_of_champion_is_said_with_its_time() -> None:
    """So that whoever compares can begin again."""
    partition = filled(Partition(case()))
    partition.command("c1", "promote", model="tree")
    partition.event("later", hours(9))
    value = whole(partition)[-1]
    assert value["champion"] == "tree"
    assert value["champion_since"] == "2020-01-01T01:25:00+00:00"


@pytest.mark.parametrize("cut", [5, 20, 33])
def test_a_restored_task_says_the_same(cut: int) -> None:
    """Cut anywhere, saved and restored, it goes on to the same records."""
    use_case = case(contest=Contest(shadow=0.5), segments=Segments("items", limit=2))
    plain, other = Partition(use_case), Partition(use_case)
    for number in range(60):
        if number == cut:
            parts = pickle.loads(pickle.dumps(parts_of(other.task)))
            ids = copy.deepcopy(other.task.ledger.entries)
            fresh = PartitionTask(use_case, partition=0, partitions=1, definition="d1")
            take_parts(fresh, parts, ids)
            other.task = fresh
        for partition in (plain, other):
            partition.event(f"e{number}", number * 300.0, items=number % 3)
            partition.outcome(f"e{number}", number * 300.0 + 100, took=3.0 + number % 4)
    assert plain.of("evidence") == other.of("evidence")
    assert len(plain.of("evidence")) > 10


def test_the_share_is_drawn_by_the_use_case() -> None:
    """Two use cases draw apart, so that one's shadow says nothing of another's."""
    ids = [f"e{number}" for number in range(2_000)]
    parcels = {i for i in ids if point("parcels/shadow", i) < 0.3}
    letters = {i for i in ids if point("letters/shadow", i) < 0.3}
    assert 500 < len(parcels) < 700
    assert 100 < len(parcels & letters) < 260
