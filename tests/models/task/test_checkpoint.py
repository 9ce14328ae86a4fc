"""A task follows its journal, and goes on wherever it was cut."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model

from models.inputs.decoder import EVENTS, OUTCOMES
from models.task.checkpoint import parts_of, take_parts
from schemas.topics import INPUTS
from tests.support.one_partition import delivery, order, use_case
from tests.support.task_runs import (
    CALM,
    CASES,
    FEW,
    NO_JUMPS,
    Inputs,
    Run,
    given_record,
    inputs,
    timeless,
)


@pytest.mark.parametrize("case", ["calm", "hasty"])
@given(given_=inputs(), batch=st.integers(1, 9), gap=st.sampled_from((1, 2, 7)))
@FEW
def test_the_journal_read_back_gives_the_order_and_the_order_gives_the_outputs(
    case: str, given_: Inputs, batch: int, gap: int
):
    """Entries are dense; runs name every record once, in the order applied, over gaps in offsets;
    a fresh task that follows them says the same, byte for byte.
    """
    task, entries = Run(CASES[case], gap=gap), []
    for start in range(0, len(given_.order), batch):
        task.give(given_.order[start : start + batch])
        entries.append(orjson.loads(task.task.seal() or b""))
        assert task.task.seal() is None
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    assert entries[-1]["step"] == len(given_.order)
    on_topic = [sorted(o for i, o in task.applied if i == index) for index in range(len(INPUTS))]
    read_back = []
    for entry in entries:
        for index, first, count, following in entry["runs"]:
            begin = on_topic[index].index(first)
            offsets = on_topic[index][begin : begin + count]
            assert following == offsets[-1] + 1
            read_back += [(index, offset) for offset in offsets]
    assert read_back == task.applied
    assert entries[-1]["next"] == [
        max((o + 1 for i, o in task.applied if i == index), default=-1)
        for index in range(len(INPUTS))
    ]
    by_place = dict(zip(task.applied, given_.order, strict=True))
    copy = Run(CASES[case], gap=gap)
    for entry in entries:
        copy.give([by_place[pair] for pair in read_back[copy.task.step : entry["step"]]])
        assert orjson.loads(copy.task.seal() or b"") == entry
    assert copy.outputs == task.outputs


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs(), share=st.floats(0, 1))
@FEW
def test_a_task_cut_anywhere_and_restored_goes_on_as_if_it_had_not_been(
    case: str, given_: Inputs, share: float
):
    """Its parts, pickled and put into a fresh task: all that follows is the same, byte for byte."""
    cut = round(share * len(given_.order))
    whole = Run(CASES[case])
    whole.give(given_.order[:cut])
    whole.task.seal()
    parts, ids = pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    restored = Run(CASES[case])
    take_parts(restored.task, parts, ids)
    restored.offsets = list(whole.offsets)
    rest = given_.order[cut:]
    assert restored.give(rest) == whole.give(rest)
    assert restored.task.seal() == whole.task.seal()
    assert restored.task.counts == whole.task.counts
    # A restart does not know what was reported, so it reports all open windows again.
    whole.task.metrics.touch()
    restored.task.metrics.touch()
    assert restored.task.report() == whole.task.report()


def test_a_model_that_could_not_be_explained_once_is_not_explained_after_a_restart_either():
    """What was given up is part of the state, else a restart would change later predictions."""

    class Shy(linear_model.LinearRegression):
        """A model that cannot be taken apart until it has learnt three times."""

        @property
        def weights(self) -> Any:
            """Its weights."""
            if self.learnt < 3:
                raise RuntimeError
            return super().weights

        learnt = 0

        def learn_one(self, *args: Any, **more: Any) -> None:
            """One more."""
            self.learnt += 1
            super().learn_one(*args, **more)

    case = use_case(
        **NO_JUMPS,
        models={"shy": Shy},
        champion="shy",
        warmup=0,
        segments=None,
        features=CALM.event.fields("weight"),
    )
    records = [
        record
        for n in range(8)
        for record in (
            given_record(EVENTS, ("a", order(f"e{n}", n * 10))),
            given_record(OUTCOMES, ("a", delivery(f"e{n}", n * 10 + 5))),
        )
    ]
    whole = Run(case)
    whole.give(records[:10])
    parts, ids = deepcopy((parts_of(whole.task), whole.task.ledger.entries))
    restored = Run(case)
    take_parts(restored.task, parts, ids)
    restored.offsets = list(whole.offsets)
    assert timeless(restored.give(records[10:])) == timeless(whole.give(records[10:]))
