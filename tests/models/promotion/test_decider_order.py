"""The decider hears partitions in any order, restarts, and waits for nobody who is idle."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from models.promotion.block_merger import BlockMerger
from models.promotion.decider import Decider
from models.promotion.standings import standings
from tests.support.closed_blocks import GAIN, case, evidence, standings_by_block

pytestmark = pytest.mark.slow


def shuffled(records: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The records in another order that keeps each partition's own."""
    draw = random.Random(seed)
    queues: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        queues.setdefault(record["partition"], []).append(record)
    orders = []
    while queues:
        partition = draw.choice(sorted(queues))
        orders.append(queues[partition].pop(0))
        if not queues[partition]:
            del queues[partition]
    return orders


def test_the_order_in_which_partitions_speak_changes_nothing() -> None:
    """Nor do repetitions: the standings are the same to the last byte."""
    use_case = case("automatic")
    records = [evidence(p, day, cost=GAIN) for day in range(50) for p in range(3)]
    plain = standings_by_block(use_case, records, 3)
    assert len(plain) == 50
    for seed in range(5):
        mixed = shuffled(records, seed)
        twice = [record for record in mixed for _ in range(1 + (record["step"] % 2))]
        assert standings_by_block(use_case, twice, 3) == plain


def test_a_restart_anywhere_goes_on_as_if_there_had_been_none() -> None:
    """With nothing but the evidence and the blocks that were said, at every cut, even where a
    partition had been passed over and came back in the meantime.
    """
    use_case = case("automatic")
    records = [evidence(p, day, cost=GAIN) for day in range(40) for p in range(2)]
    # The third speaks of its first days late: it had been passed over by then.
    late = [evidence(2, day, cost=GAIN | {"tree": 8.0}) for day in range(36)]
    records = records[:60] + late + records[60:]

    def run(upto: int, known: dict[float, tuple[int, ...]]) -> tuple[list[bytes], Any]:
        assembly, decider = (
            BlockMerger(3, use_case.horizon, recorded=dict(known)),
            Decider(use_case),
        )
        words, arrived = [], dict(known)
        taken = iter(range(len(records) + 1))
        start = len(known) and upto
        for record in records[:start]:
            assembly.take(record)
        for number in taken:
            for block in assembly.release(idle={2} if number + start < 60 else set()):
                decided = decider.take(block)
                word = orjson.dumps(standings(decider, decided))
                words.append(word)
                arrived[block.start] = block.partitions
            if number + start >= len(records):
                break
            assembly.take(records[number + start])
        return words, arrived

    whole, written = run(0, {})
    assert set(written.values()) >= {(0, 1), (0, 1, 2)}
    for cut in (1, 30, 55, 75, 97, len(records)):
        part: dict[float, tuple[int, ...]] = {}
        assembly = BlockMerger(3, use_case.horizon)
        for number, record in enumerate(records[:cut]):
            assembly.take(record)
            for block in assembly.release(idle={2} if number + 1 < 60 else set()):
                part[block.start] = block.partitions
        if part:
            again, _ = run(cut, part)
            assert again == whole


def test_only_an_idle_partition_far_behind_is_passed_over() -> None:
    """A slow one is waited for; one that says nothing more is not, after a horizon and a week."""
    use_case = case()
    assembly = BlockMerger(2, use_case.horizon)
    assembly.take(evidence(1, 0))
    for day in range(10):
        assembly.take(evidence(0, day))
    assert assembly.laggards == [1]
    assert [block.partitions for block in assembly.release()] == [(0, 1)]
    assert [block.partitions for block in assembly.release(idle=[1])] == [(0,)] * 9
    early = BlockMerger(2, use_case.horizon)
    early.take(evidence(1, 0))
    for day in range(6):
        early.take(evidence(0, day))
    assert early.laggards == []
    assert [block.partitions for block in early.release(idle=[1])] == [(0, 1)]
    assert early.release(idle=[1]) == []


def test_a_partition_that_never_had_a_record_is_not_waited_for() -> None:
    """Few keys do not reach all partitions; a first record of one comes in with later blocks."""
    use_case = case()
    assembly = BlockMerger(2, use_case.horizon)
    assembly.take(evidence(0, 0))
    assert assembly.unheard == [1]
    assert assembly.release() == []
    assert [block.partitions for block in assembly.release(idle=[1])] == [(0,)]
    assembly.take(evidence(0, 1))
    assembly.take(evidence(1, 1))
    assert assembly.unheard == []
    assert [block.partitions for block in assembly.release(idle=[1])] == [(0, 1)]
