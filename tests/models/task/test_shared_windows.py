"""Windows over the records of all partitions: one order, the same floats, nothing of the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import PlainRecord
from models.replay.backtest import Backtest, run
from models.replay.state_migration import carry, carry_learner
from models.spec.use_case import Freshness, UseCase
from models.task.learner_task import LearnerTask
from models.validation import mistakes
from schemas import records
from tests.models.task.test_shared_learning import EACH, SHARED, SHOPS, TURNS, flow_of
from tests.support.task_runs import CASES, FEW, NO_JUMPS, Inputs, inputs

WINDOWS = {
    "everybody": over_events(by=(), last=3_600).count(),
    "heavy": over_outcomes(by="weight", half_life=7_200).mean(
        lambda _e, outcome, _x: outcome.took, empty=7.0
    ),
    "spread": over_outcomes(by=(), last=7_200).quantile(lambda _e, o, _x: o.took, 0.5, empty=7.0),
    "latest": over_outcomes(by=("weight", "everybody")).latest(lambda _e, o, _x: o.took),
}
SHARING = {
    name: replace(case, features={**case.features, **WINDOWS}) for name, case in SHARED.items()
}
STRAIGHT = replace(SHARING["calm"], plausible=None, label_on_timeout=None, **NO_JUMPS)


def recorded(count: int = 160, seed: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Orders a minute apart from several shops, each delivered between 4 and 60 minutes later."""
    random, start = Random(seed), datetime(2024, 3, 1, tzinfo=UTC)
    rows = []
    for n in range(count):
        # Shops open one after another, so that partitions begin late.
        shop, sent = random.choice(SHOPS[: 1 + n // 20]), start + timedelta(minutes=n)
        took = random.choice((4.0, 9.0, 60.0))
        event = {"event_id": str(n), "event_time": sent, "shop": shop, "weight": float(n % 3)}
        event["colour"] = "red"
        done = sent + timedelta(minutes=took)
        outcome = {"event_id": str(n), "outcome_time": done, "shop": shop, "took": took}
        rows += [(sent, 1, n, "event", event), (done, 0, n, "outcome", outcome)]
    for *_, kind, fields in sorted(rows, key=lambda row: row[:3]):
        yield kind, fields


def features(case: UseCase, partitions: int) -> dict[str, dict[str, Any]]:
    """What the models saw of each event."""
    seen = {}
    backtest = Backtest(case, partitions, "d")
    for kind, fields in recorded():
        for output in backtest.feed(kind, fields):
            assert output.kind != "dead-letter", output.value
            if output.kind == "features":
                row = orjson.loads(output.value)
                seen[row["event_id"]] = row["features"]
    return seen


def test_released_after_each_record_they_are_what_one_partition_would_count():
    """A window over everybody has the floats of one that is local, on any number of partitions."""
    shared = {name: window for name, window in WINDOWS.items() if name != "latest"}
    case = replace(STRAIGHT, features=shared, freshness=EACH)
    # The same windows in a use case whose key is the same of all records: they are local.
    own = {name: replace(window, by=("colour", *window.by)) for name, window in shared.items()}
    alone = replace(STRAIGHT, learning="partition", key="colour", features=own)
    expected = features(alone, 1)
    assert len(expected) == 160
    for partitions in (1, 4, 16):
        assert features(case, partitions) == expected


@pytest.mark.parametrize("partitions", [4, 16])
def test_with_a_delay_too_they_do_not_depend_on_the_number_of_partitions(partitions: int):
    """Batches are cut by records and event time, wherever the records are."""
    case = replace(STRAIGHT, freshness=Freshness(share=0.1, windows=600.0))
    assert features(case, partitions) == features(case, 1)
    assert features(case, 1) != features(replace(case, freshness=EACH), 1)


@given(drawn=inputs(SHOPS), turns=TURNS)
@FEW
def test_every_journal_gives_all_again(drawn: Inputs, turns: list[int]):
    """Whoever is ahead, a fold of each journal says the same to the byte."""
    flow = flow_of(SHARING["hasty"], drawn)
    flow.run(turns)
    for number, task in flow.tasks.items():
        again = flow.folded(number, lambda task, taken: task.apply(taken))
        assert [o[:3] for o in again] == [o[:3] for o in flow.outputs[number]]
        task.report()
    for row in flow.of("window-entries"):
        records.WindowEntries.model_validate(row)
    for row in flow.of("models"):
        records.ModelUpdate.model_validate(row)
    ids = [dict(o.headers)["ce_id"] for n in flow.tasks for o in flow.outputs[n]
           if o.kind == "window-entries"]  # fmt: skip
    assert len(ids) == len(set(ids))


@given(drawn=inputs(SHOPS), turns=TURNS, share=st.floats(0, 1), seed=st.integers(0, 99))
@FEW
def test_no_feature_holds_what_came_after_its_event(
    drawn: Inputs, turns: list[int], share: float, seed: int
):
    """All outcomes after a moment are other ones: no feature up to it has another value. A late
    event is as of its partition's watermark.

    Partitions run ahead of each other by any number of records, and so does the learner.
    """
    outcomes = [(orjson.loads(one.value), one) for one in drawn.outcomes if one.value != b"garbage"]
    times = sorted(row["outcome_time"] for row, _ in outcomes)
    moment = times[min(int(share * len(times)), len(times) - 1)] if times else ""
    random = Random(seed)
    later = [
        one
        if row["outcome_time"] <= moment
        else one._replace(value=orjson.dumps(row | {"took": random.choice((4.0, 9.0, 12.0))}))
        for row, one in outcomes
    ]
    seen = []
    for these in ([one for _, one in outcomes], later):
        flow = flow_of(STRAIGHT, drawn._replace(outcomes=these, commands=[]))
        flow.run(turns)
        until = datetime.fromisoformat(moment).timestamp() if moment else 0
        rows = flow.until("features", until)
        seen.append([(row["event_id"], row["features"]) for row in rows])
    assert seen[0] == seen[1]


@given(drawn=inputs(SHOPS), turns=TURNS, share=st.floats(0, 1))
@FEW
def test_tasks_cut_anywhere_go_on_as_if_they_had_not_been(
    drawn: Inputs, turns: list[int], share: float
):
    """Their parts, pickled and put into fresh tasks: all that follows is the same."""
    case = replace(SHARING["hasty"], freshness=Freshness(share=0.1))
    cut = round(share * len(turns))
    whole = flow_of(case, drawn)
    for number in turns[:cut]:
        whole.step(number)
    for number in whole.tasks:
        whole.seal(number)
    restored = whole.resumed()
    whole.outputs.clear()
    whole.run(turns[cut:])
    restored.run(turns[cut:])
    for number in whole.tasks:
        assert [o[:3] for o in restored.outputs[number]] == [o[:3] for o in whole.outputs[number]]


def test_a_new_definition_goes_on_with_what_is_under_way():
    """What the old one sent out and nobody has counted is counted, of unchanged windows only."""
    case = replace(STRAIGHT, freshness=Freshness(share=0.5, windows=1e9))
    backtest = run(case, recorded(40), partitions=2, definition="d")
    learner = backtest.learner
    assert learner is not None
    assert learner.batches.rows
    changed = replace(case, features={**case.features, "spread": replace(WINDOWS["spread"], q=0.9)})
    new = LearnerTask(changed, partitions=2, definition="d2")
    carry_learner(learner, new)
    rows = [row for row in learner.batches.rows if row[1] != "spread"]
    assert new.batches.rows == rows
    assert new.accepted == {"d2": case.shared_windows, "d": ("everybody", "heavy", "latest")}
    other = Backtest(changed, 2, "d2").task(0)
    carry(backtest.task(0), other)
    update = {
        "number": 10**6, "definition": "d", "clock_s": None, "version": None,
        "windows": [[0.0, "everybody", [], 1.0], [0.0, "spread", [], 5.0]],
    }  # fmt: skip
    before = other.featurizer.states["spread"].saved()[0].copy()
    counted = len(other.featurizer.states["everybody"].cells[()])
    other._adopt(other.read(4, _record(update)), update, [])
    other.windows.settle()
    assert len(other.featurizer.states["everybody"].cells[()]) == counted + 1
    assert other.featurizer.states["spread"].saved()[0] == before


def _record(update: dict[str, Any]) -> PlainRecord:
    return PlainRecord("models", 0, 0, 10**13, b"windows", orjson.dumps(update))


def test_a_record_that_is_none_is_parked_in_words():
    """Only workers write entries; what somebody else wrote is a dead letter."""
    task = LearnerTask(STRAIGHT, partitions=2, definition="d")
    index = task.inputs.index(("window-entries", 1))
    for value in (b"{}", b"[1]", b'{"clock_s": 1, "time_s": 1, "entries": [], "definition": "d", '
                  b'"partition": 0}'):  # fmt: skip
        record = PlainRecord("window-entries", 1, task.step, 0, None, value)
        (letter,) = [o for o in task.apply(task.read(index, record)) if o.kind == "dead-letter"]
        assert "Let only workers write" in orjson.loads(letter.value)["error"]


def test_they_need_a_learner_and_the_mistake_says_so():
    """With models of their own the partitions do not learn of each other's records."""
    case = replace(STRAIGHT, learning="partition")
    errors = [str(mistake) for mistake in mistakes(case)]
    assert len(errors) == len(WINDOWS)
    assert 'learning="partition"' in errors[0]
    assert not mistakes(replace(CASES["calm"], features=STRAIGHT.features))
