"""What holds of the partition task for any interleaving of any inputs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import COMMANDS, EVENTS, OUTCOMES
from models.outputs.output_records import Output
from models.pending.codec import WAITING, state_of, time_of
from models.replay.backtest import run
from models.spec.use_case import Segments
from models.values.durations import hours
from schemas.partitioner import partition_of
from schemas.records import JournalEntry
from tests.support.one_partition import RECORDS, delivery, linear, order, use_case
from tests.support.task_runs import (
    CALM,
    CASES,
    FEW,
    HASTY,
    NO_JUMPS,
    PROMOTION,
    Given,
    Inputs,
    Run,
    given_record,
    inputs,
    said_by,
    timeless,
)


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_the_same_records_give_the_same_bytes(case: str, given_: Inputs):
    """Two fresh tasks, every output, header and metric record."""
    assert said_by(CASES[case], given_.order) == said_by(CASES[case], given_.order)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_under_any_hash_seed():
    """Nothing depends on the order of a set or of a hash: three processes, each with its own."""
    path = os.pathsep.join(sys.path)
    started = [
        subprocess.Popen(
            [sys.executable, "-P", __file__],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4711")
    ]
    own = digest_of_a_day()
    assert [process.communicate()[0].strip() for process in started] == [own, own]


def digest_of_a_day() -> str:
    """All that four use cases say to 150 events with everything that may happen to them."""
    random = Random(5)
    records = []
    for n in range(150):
        second = n * 20
        event = order(f"e{n}", second, items=random.randint(1, 6), weight=random.random() * 9)
        colour = random.choice(("red", "blue", None, "green"))
        records.append((second, Given(EVENTS, b"a", orjson.dumps(event | {"colour": colour}))))
        due = second + random.choice((0, 60, 700, 3_000))
        outcome = orjson.dumps(delivery(f"e{n}", due, random.random() * 9))
        records.append((due, Given(OUTCOMES, b"a", outcome)))
    records.append((700, Given(COMMANDS, b"c", orjson.dumps(PROMOTION))))
    ordered = [record for _, record in sorted(records, key=lambda pair: pair[0])]
    digest = hashlib.sha256()
    for case in CASES.values():
        for out in said_by(case, ordered):
            digest.update(repr(out).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_each_event_is_answered_once_or_refused(case: str, given_: Inputs):
    """One prediction and one features record for each id, however often it came; never none."""
    task = Run(CASES[case])
    task.give(given_.order)
    answered = Counter(row["event_id"] for row in task.of("predictions"))
    assert set(answered.values()) <= {1}
    assert Counter(row["event_id"] for row in task.of("features")) == answered
    refused = [row for row in task.of("dead-letter") if row["stage"] == "event"]
    came = {event_id for record in given_.events if (event_id := _id(record))}
    told = {event_id for row in refused if (event_id := _id_of_letter(row))}
    assert came == set(answered) | told
    counts = task.task.counts
    assert counts["events"] == len(answered)
    repeats_of_events = len(given_.events) - len(answered) - len(refused)
    assert 0 <= repeats_of_events <= counts["repeats"]


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_each_example_is_learnt_once_from_what_was_said_then(case: str, given_: Inputs):
    """A prediction is learnt at most once, and its example repeats what its prediction said."""
    task = Run(CASES[case])
    task.give(given_.order)
    predictions = {row["event_id"]: row for row in task.of("predictions")}
    features = {row["event_id"]: row for row in task.of("features")}
    learnt = Counter(row["event_id"] for row in task.of("examples") if row["learnt"])
    assert set(learnt.values()) <= {1}
    assert learnt.total() == task.task.counts["learnt"]
    for row in task.of("examples"):
        prediction = predictions[row["event_id"]]
        assert row["prediction"] == prediction["value"]
        assert row["shadows"] == prediction["shadows"]
        assert row["served_by"] == prediction["served_by"]
        assert row["features"] == features[row["event_id"]]["features"]
        assert row["delay_s"] >= 0


@given(given_=inputs(), share=st.floats(0, 1))
@FEW
def test_records_that_come_again_change_nothing_but_counts(given_: Inputs, share: float):
    """Any prefix redelivered, in its own order: no output but the same refusals again, and what
    follows is as if it had come once.
    """
    cut = round(share * len(given_.order))
    once, twice = Run(CALM), Run(CALM)
    once.give(given_.order[:cut])
    twice.give(given_.order[:cut])
    again = twice.give(given_.order[:cut])
    assert {out.kind for out in again} <= {"dead-letter"}
    counted = {"repeats", "refused", "tombstones"}
    for name in once.task.counts.keys() - counted:
        assert twice.task.counts[name] == once.task.counts[name]
    rest = given_.order[cut:]
    left_out = ("dead-letter",)
    assert timeless(twice.give(rest), *left_out) == timeless(once.give(rest), *left_out)
    assert timeless(twice.task.report()) == timeless(once.task.report())


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_every_output_is_a_record_of_the_catalogue(case: str, given_: Inputs):
    """Each value fits its pydantic model, which forbids unknown fields and non-finite numbers;
    each has its CloudEvents headers, and an id that no other of its kind has.
    """
    task = Run(CASES[case])
    task.give([*given_.order, Given(COMMANDS, b"p", orjson.dumps(PROMOTION))])
    task.outputs += task.task.report()
    ids = Counter()
    for out in task.outputs:
        record = RECORDS[out.kind].model_validate_json(out.value)
        assert set(orjson.loads(out.value)) <= set(type(record).model_fields)
        headers = dict(out.headers)
        assert len(headers) == len(out.headers)
        assert headers["ce_type"] == f"riverrun.{out.kind}".encode()
        assert headers["ce_source"] == b"/riverrun/parcels/0"
        assert {"ce_id", "ce_specversion", "content-type"} <= headers.keys()
        assert all(type(value) is bytes for value in headers.values())
        ids[out.kind, headers["ce_id"], headers.get("ce_time")] += 1
    if case != "hasty":  # where a late outcome follows the default label's example
        assert ids.most_common(1)[0][1] == 1
    entry = task.task.seal()
    assert entry is not None
    JournalEntry.model_validate_json(entry)


def test_the_examples_above_show_every_kind_of_record():
    """Else the test before this one would hold nothing."""
    task = Run(HASTY)
    task.give(
        [
            given_record(EVENTS, ("a", order("1", 0))),
            given_record(OUTCOMES, ("a", delivery("1", 5))),
            given_record(EVENTS, ("a", order("2", 9_000, items=0))),
            given_record(EVENTS, ("a", order("3", 9_000))),
        ]
    )
    task.outputs += task.task.report()
    assert {out.kind for out in task.outputs} == set(RECORDS)


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_every_id_is_in_one_state_and_the_ledger_knows_which(case: str, given_: Inputs):
    """Waiting, expired, settled or forgotten: the counts and the outputs tell the same."""
    task = Run(CASES[case])
    for record in given_.order:
        task.give([record])
        entries, counts = task.task.ledger.entries, task.task.counts
        waits = [i for i, e in entries.items() if state_of(e) == WAITING]
        assert task.task.ledger.waiting == len(waits)
        # What was answered waits, has been learnt from its outcome, or has expired.
        by_outcome = counts["outcomes"] - counts["late"]
        assert counts["events"] == len(waits) + by_outcome + counts["expired"]
        assert entries.keys() <= {row["event_id"] for row in task.of("predictions")}
        assert not task.task.ledger.early.keys() & entries.keys()
    reached = task.task.watermark.time
    for entry in task.task.ledger.entries.values():
        if state_of(entry) == WAITING and reached is not None:
            assert time_of(entry) >= reached - task.task.ledger.horizon


@given(given_=inputs(), limit=st.integers(1, 5))
@FEW
def test_all_that_a_partition_holds_is_bounded(given_: Inputs, limit: int):
    """By the limits that the use case states, whatever comes."""
    case = use_case(
        **NO_JUMPS,
        horizon=hours(100),
        waiting_limit=limit,
        early_limit=limit,
        segments=Segments("items", limit=limit),
        features={
            "slid": over_events(by=("shop", "weight"), last=60, keys=limit).count(),
            "left": over_outcomes(by="weight", half_life=60, keys=limit).sum(
                lambda _e, o, _x: o.took
            ),
        },
    )
    task = Run(case)
    for record in given_.order:
        task.give([record])
        state = task.task
        assert state.ledger.waiting <= limit + 1
        assert len(state.ledger.entries) <= 2 * limit + 2
        assert len(state.ledger.early) <= limit
        assert len(state.router.own) == len(state.router.own.earning) <= limit
        assert all(len(window.cells) <= limit for window in state.featurizer.states.values())


def test_a_backtest_is_the_partition_tasks_and_nothing_else():
    """`models.replay.backtest.run` gives, partition by partition, what the tasks give by hand."""
    recorded = [
        ("event", order("1", 0, shop="a")),
        ("event", order("2", 1, shop="b")),
        ("outcome", delivery("1", 2)),
        ("outcome", delivery("2", 3)),
        ("event", order("3", 4, shop="a")),
    ]
    outputs: list[Output] = []
    alone = replace(CALM, learning="partition")
    backtest = run(alone, recorded, partitions=5, definition="d1", outputs=outputs.append)
    shops = {"1": "a", "2": "b", "3": "a"}
    by_hand = {
        p: Run(alone, partition=p, partitions=5)
        for p in {partition_of(b"a", 5), partition_of(b"b", 5)}
    }
    published = []
    for kind, fields in recorded:
        key = shops[fields["event_id"]].encode()
        record = Given(EVENTS if kind == "event" else OUTCOMES, key, orjson.dumps(fields))
        published += by_hand[partition_of(key, 5)].give([record])
    assert outputs == published
    assert backtest.tasks.keys() == by_hand.keys()


def test_segments_models_earn_their_place_deterministically():
    """Two lives with many segments and a promotion in between: the same, to the last float."""
    case = use_case(
        **NO_JUMPS,
        segments=Segments("items", limit=3),
        models={"a": linear, "b": linear},
        champion="a",
    )
    random = Random(3)
    records = []
    for n in range(300):
        event = order(f"e{n}", n * 10, items=random.randint(1, 5), weight=random.random())
        records += [
            given_record(EVENTS, ("a", event)),
            given_record(OUTCOMES, ("a", delivery(f"e{n}", n * 10 + 5, random.random()))),
        ]
    records.insert(300, Given(COMMANDS, b"p", orjson.dumps(PROMOTION | {"model": "b"})))
    assert said_by(case, records) == said_by(case, records)


def _id(record: Given) -> str | None:
    try:
        event_id: str = orjson.loads(record.value)["event_id"]
    except orjson.JSONDecodeError:
        return None
    return event_id


def _id_of_letter(letter: dict[str, Any]) -> str | None:
    from base64 import b64decode

    return _id(Given(EVENTS, b"", b64decode(letter["value_base64"])))


if __name__ == "__main__":
    print(digest_of_a_day())  # noqa: T201  # its other process reads it
