"""What holds of the partition task for any interleaving of any inputs."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_partition import RECORDS, START, at, command, delivery, linear, order, use_case
from river import linear_model, naive_bayes, preprocessing, stream, tree

from models.alignment import choose
from models.backtest import aligned, run
from models.durations import hours, minutes
from models.publishing import Output
from models.reading import COMMANDS, EVENTS, OUTCOMES, PlainRecord, Taken
from models.state import parts_of, take_parts
from models.task import PartitionTask
from models.usecase import Kpi, Segments, UseCase
from models.waiting import Waiting
from models.windows import over_events, over_outcomes
from schemas.partitioner import partition_of
from schemas.records import JournalEntry
from schemas.topics import INPUTS

FEW = settings(max_examples=40, deadline=None)
NO_JUMPS = {"max_jump": 1e9}
CALM = use_case(**NO_JUMPS, horizon=hours(100))
"""Its horizon never passes, so that nothing expires and nothing is late."""
HASTY = use_case(**NO_JUMPS, horizon=minutes(20), never=9.0, plausible=(2.0, 20.0))
"""Outcomes of 1 and 50 are held, and some of them are released or corrected."""
BINARY = use_case(
    **NO_JUMPS,
    kind="binary",
    metric="f1",
    limits=None,
    label=lambda _e, o: o.took > 7,
    baseline=lambda e: e.weight > 2,
    kpi=Kpi(lambda _e, o, s: float(s != (o.took > 7)), unit="EUR", better="lower", range=(0, 1)),
    models={
        "linear": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "tree": tree.HoeffdingTreeClassifier,
    },
    weight=lambda e, _o: e.weight,
    horizon=minutes(20),
)
MULTICLASS = use_case(
    **NO_JUMPS,
    kind="multiclass",
    metric="accuracy",
    limits=None,
    label=lambda _e, o: f"class {o.took:.0f}",
    baseline=lambda _e: {"class 7": 0.75, "class 8": 0.25},
    kpi=Kpi(lambda _e, _o, _s: 1.0, unit="EUR", better="lower", range=(0, 1)),
    models={"linear": naive_bayes.GaussianNB, "tree": tree.HoeffdingTreeClassifier},
)
CASES = {"calm": CALM, "hasty": HASTY, "binary": BINARY, "multiclass": MULTICLASS}


class Given(NamedTuple):
    """One record of an input."""

    index: int
    key: bytes
    value: bytes


class Inputs(NamedTuple):
    """The records of each input in its own order, and one of the orders in which they may come."""

    events: list[Given]
    outcomes: list[Given]
    commands: list[Given]
    order: list[Given]


@st.composite
def inputs(draw: Any, shops: str = "a", span: int = 3_000) -> Inputs:
    """Events, some a little out of order; outcomes early, late, twice, other, or never; commands;
    garbage; in any interleaving that keeps each input's own order.
    """
    random: Random = draw(st.randoms(use_true_random=False))
    count = draw(st.integers(1, 25))
    events, outcomes = [], []
    for n in range(count):
        second, shop = random.randrange(span), random.choice(shops)
        event = order(
            f"e{n}",
            second,
            shop=shop,
            items=random.randint(1, 4),
            weight=random.choice((1.0, 2.5, 1e3)),
            colour=random.choice((None, "red", "blue")),
        )
        events.append((second - random.choice((0, 0, 0, 90)), shop, event))
        if random.random() < 0.1:
            events.append((second + 5, shop, event | {"weight": random.choice((1.0, 7.0))}))
        if random.random() < 0.1:
            events.append((second + 5, shop, event | {"event_id": f"bad{n}", "items": 0}))
        if random.random() < 0.8:
            due = max(0, second + random.choice((0, 1, 60, 600, 1_300, -40)))
            took = random.choice((3.0, 7.0, 8.0, 50.0))
            outcome = delivery(f"e{n}", due, took)
            outcomes.append((due, shop, outcome))
            if random.random() < 0.2:
                outcomes.append((due + 3, shop, outcome | {"took": random.choice((took, 1.0))}))
    if random.random() < 0.3:
        outcomes.append((50, shops[0], delivery("nobody", 50)))
    commands = [
        Given(COMMANDS, b"c", orjson.dumps(_command(n, random))) for n in range(random.randrange(4))
    ]
    split = [[_given(EVENTS, e) for e in _timely(events)], [], commands]
    split[OUTCOMES] = [_given(OUTCOMES, o) for o in _timely(outcomes)]
    if random.random() < 0.3:
        n = random.randrange(3)
        split[n].append(Given(n, b"a", b"garbage"))
    turns = [n for n, records in enumerate(split) for _ in records]
    random.shuffle(turns)
    queues = [iter(records) for records in split]
    return Inputs(split[0], split[1], split[2], [next(queues[n]) for n in turns])


COMMANDS_GIVEN = ["freeze", "unfreeze", "rollback", "release"]
PROMOTION = command("p", "promote", model="tree")


def _command(n: int, random: Random) -> dict[str, Any]:
    ids = [f"e{random.randrange(25)}" for _ in range(12)]
    return command(f"c{n}", random.choice(COMMANDS_GIVEN), event_ids=ids)


def _timely(records: list[tuple[float, str, dict[str, Any]]]) -> Iterator[tuple[str, Any]]:
    ordered = sorted(records, key=lambda record: record[0])
    return ((shop, fields) for _, shop, fields in ordered)


def _given(index: int, record: tuple[str, dict[str, Any]]) -> Given:
    return Given(index, record[0].encode(), orjson.dumps(record[1]))


class Run:
    """A task that is given records, each with the next offset of its input."""

    def __init__(
        self, case: UseCase, partition: int = 0, partitions: int = 1, gap: int = 1
    ) -> None:
        self.task = PartitionTask(case, partition=partition, partitions=partitions, definition="d1")
        self.offsets = [0] * len(INPUTS)
        self.gap = gap
        self.said: list[Output] = []
        self.applied: list[tuple[int, int]] = []

    def give(self, records: Sequence[Given]) -> list[Output]:
        """Apply them in this order."""
        said = [out for record in records for out in self.task.apply(self.read(record))]
        self.said += said
        return said

    def read(self, record: Given) -> Taken:
        """Read one record at the next offset."""
        offset = self.offsets[record.index]
        self.offsets[record.index] += self.gap
        self.applied.append((record.index, offset))
        stamp = int(START.timestamp() * 1000)
        raw = PlainRecord(
            INPUTS[record.index], self.task.partition, offset, stamp, record.key, record.value
        )
        return self.task.read(record.index, raw)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All that it said of one kind."""
        return [orjson.loads(out.value) for out in self.said if out.kind == kind]


def said_by(case: UseCase, records: Sequence[Given]) -> list[Output]:
    """What a fresh task says."""
    task = Run(case)
    return [*task.give(records), *task.task.report()]


def timeless(outputs: Sequence[Output], *left_out: str) -> list[Any]:
    """Outputs without their place in the journal, and without the kinds that are left out."""
    rows = []
    for out in outputs:
        if out.kind not in left_out:
            value = orjson.loads(out.value)
            for name in ("step", "seq", "offset"):
                value.pop(name, None)
            rows.append((out.kind, out.key, value))
    return rows


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
    mine = digest_of_a_day()
    assert [process.communicate()[0].strip() for process in started] == [mine, mine]


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
        said = predictions[row["event_id"]]
        assert row["said"] == said["value"]
        assert row["shadows"] == said["shadows"]
        assert row["answered_by"] == said["answered_by"]
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
    task.said += task.task.report()
    ids = Counter()
    for out in task.said:
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
            _given(EVENTS, ("a", order("1", 0))),
            _given(OUTCOMES, ("a", delivery("1", 5))),
            _given(EVENTS, ("a", order("2", 9_000, items=0))),
            _given(EVENTS, ("a", order("3", 9_000))),
        ]
    )
    task.said += task.task.report()
    assert {out.kind for out in task.said} == set(RECORDS)


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
            place = on_topic[index].index(first)
            offsets = on_topic[index][place : place + count]
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
        copy.give([by_place[place] for place in read_back[copy.task.step : entry["step"]]])
        assert orjson.loads(copy.task.seal() or b"") == entry
    assert copy.said == task.said


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
    # A restart does not know what was reported, so it reports all open windows anew.
    whole.task.tally.touch()
    restored.task.tally.touch()
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

        def learn_one(self, *given: Any, **more: Any) -> None:
            """One more."""
            self.learnt += 1
            super().learn_one(*given, **more)

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
            _given(EVENTS, ("a", order(f"e{n}", n * 10))),
            _given(OUTCOMES, ("a", delivery(f"e{n}", n * 10 + 5))),
        )
    ]
    whole = Run(case)
    whole.give(records[:10])
    parts, ids = deepcopy((parts_of(whole.task), whole.task.ledger.entries))
    restored = Run(case)
    take_parts(restored.task, parts, ids)
    restored.offsets = list(whole.offsets)
    assert timeless(restored.give(records[10:])) == timeless(whole.give(records[10:]))


@given(given_=inputs(shops="abcdefg"), partitions=st.sampled_from((2, 3, 5)))
@FEW
def test_metric_records_of_partitions_add_up(given_: Inputs, partitions: int):
    """Counts and the baseline's sums of all partitions are those of one partition with them all."""
    one = Run(CALM)
    one.give([record for record in given_.order if record.index != COMMANDS])
    several = [Run(CALM, partition=p, partitions=partitions) for p in range(partitions)]
    for record in given_.order:
        if record.index != COMMANDS:
            several[partition_of(record.key, partitions)].give([record])
    added = _added(row for task in several for row in _last(task).values())
    assert added == pytest.approx(_added(_last(one).values()))


def _last(task: Run) -> dict[Any, dict[str, Any]]:
    """The newest metric record of each key, as a compacted topic keeps it."""
    task.said += task.task.report()
    keyed = {out.key: orjson.loads(out.value) for out in task.said if out.kind == "metrics"}
    return {key: row for key, row in keyed.items() if row["model"] in ("baseline", "served")}


def _added(rows: Any) -> dict[Any, float]:
    total: dict[Any, float] = defaultdict(float)
    for row in rows:
        place = (row["window_start"], row["segment"], row["slice"])
        if row["model"] == "served":
            for name in ("predictions", "outcomes", "expired", "late"):
                total[*place, name] += row[name]
        else:
            for name, value in row["sums"].items():
                total[*place, name] += value
            total[*place, "kpi"] += row["kpi_sum"]
    return {place: value for place, value in total.items() if value}


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_metric_records_are_what_predictions_and_examples_say(case: str, given_: Inputs):
    """Recounted from the other topics: predictions, outcomes, maturity, KPI, the metric's value."""
    task = Run(CASES[case])
    task.give(given_.order)
    rows = [row for row in _last(task).values() if row["model"] == "served"]
    whole = {
        row["window_start"]: row for row in rows if (row["segment"], row["slice"]) == (None,) * 2
    }
    predicted = Counter(_window(row) for row in task.of("predictions"))
    learnt = defaultdict(list)
    for row in task.of("examples"):
        if row["learnt"]:
            learnt[_window(row)].append(row)
    assert {start: row["predictions"] for start, row in whole.items()} == predicted
    for start, row in whole.items():
        examples = learnt[start]
        assert row["outcomes"] == row["sums"]["n"] == len(examples)
        assert row["maturity"] == len(examples) / predicted[start]
        assert row["kpi_sum"] == pytest.approx(sum(e["kpi"] or 0.0 for e in examples))
        if case in ("calm", "hasty") and examples:
            errors = [abs(e["said"] - e["label"]) for e in examples]
            assert row["value"] == pytest.approx(sum(errors) / len(errors))
        if case == "binary" and examples:
            pairs = [(e["said"], e["label"]) for e in examples]
            hits = sum(said and label for said, label in pairs)
            wrong = sum(said != label for said, label in pairs)
            f1 = 2 * hits / (2 * hits + wrong) if hits + wrong else None
            assert row["value"] == pytest.approx(f1)
    segments = Counter((_window(r), r["segment"]) for r in task.of("predictions"))
    told = {(r["window_start"], r["segment"]): r["predictions"] for r in rows if r["segment"]}
    assert told == segments


def _window(row: dict[str, Any]) -> str:
    seconds = (datetime.fromisoformat(row["event_time"]) - START).total_seconds()
    return at(seconds // 1_800 * 1_800).replace("Z", "+00:00")


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=25),
)
@settings(max_examples=200, deadline=None)
def test_alignment_is_river_s_question_and_answer_order(rows: list[tuple[int, int]]):
    """For any times with ties and any delays: smallest time first, on equal times answers first."""
    times, now = [], 0
    for apart, _ in rows:
        now += apart
        times.append(now)
    delays = [delay for _, delay in rows]
    moments, later = iter(times), iter(delays)
    river = [
        ("event" if y is None else "outcome", i)
        for i, _, y in stream.simulate_qa(
            [({}, 1) for _ in rows],
            moment=lambda _x: START + timedelta(seconds=next(moments)),
            delay=lambda _x, _y: timedelta(seconds=next(later)),
        )
    ]
    due = sorted(
        (time + delay, n) for n, (time, delay) in enumerate(zip(times, delays, strict=True))
    )
    taken = aligned(
        [
            iter([SimpleNamespace(time=float(t), what=("event", n)) for n, t in enumerate(times)]),
            iter([SimpleNamespace(time=float(t), what=("outcome", n)) for t, n in due]),
        ]
    )
    assert list(_after_its_event(one.what for one in taken)) == river


def _after_its_event(taken: Iterator[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """An outcome that comes before its event waits for it, as it does in the task."""
    early, seen = set(), set()
    for what, n in taken:
        if what == "outcome" and n not in seen:
            early.add(n)
            continue
        yield what, n
        seen.add(n)
        if n in early and what == "event":
            early.remove(n)
            yield "outcome", n


def test_choice_among_inputs():
    """Commands at once, then the smallest time; on equal times history, outcomes, events."""
    assert choose([None] * 4) is None
    assert choose([5.0, 4.0, None, None]) == 1
    assert choose([3.0, 4.0, None, None]) == 0
    assert choose([5.0, 5.0, float("-inf"), 5.0]) == 2
    assert choose([5.0, 5.0, None, 5.0]) == 3
    assert choose([5.0, 5.0, None, None]) == 1
    assert choose([None, None, None, 1.0]) == 3


@given(given_=inputs(), cut=st.integers(0, 3_000), random=st.randoms(use_true_random=False))
@FEW
def test_no_feature_knows_what_comes_after_its_event(given_: Inputs, cut: int, random: Random):
    """All that is later than a time is changed and shuffled: no feature up to that time differs.

    Of what comes in time order, that is: a record that its own topic holds back is known late.
    """
    events, outcomes = _in_time(given_.events), _in_time(given_.outcomes)
    plain = _features(events, outcomes)
    shuffled = _features(_shuffled(events, cut, random), _shuffled(outcomes, cut, random))
    until = {event_id for event_id, (time, _) in plain.items() if time <= cut}
    assert until == {event_id for event_id, (time, _) in shuffled.items() if time <= cut}
    for event_id in until:
        assert shuffled[event_id] == plain[event_id]


def _features(events: list[Given], outcomes: list[Given]) -> dict[str, tuple[float, Any]]:
    """Event id → (seconds since the start, features), taken in aligned order."""
    task = Run(CALM)
    taken = aligned([map(task.read, events), map(task.read, outcomes)])
    task.said = [out for one in taken for out in task.task.apply(one)]
    found = {}
    for row in task.of("features"):
        time = datetime.fromisoformat(row["event_time"])
        found[row["event_id"]] = ((time - START).total_seconds(), row["features"])
    return found


def _time(record: Given) -> datetime:
    fields = orjson.loads(record.value)
    return datetime.fromisoformat(fields.get("event_time") or fields["outcome_time"])


def _in_time(records: list[Given]) -> list[Given]:
    return sorted((one for one in records if one.value != b"garbage"), key=_time)


def _shuffled(records: list[Given], cut: int, random: Random) -> list[Given]:
    """Records up to `cut` as they are; the later ones in another order with other values."""
    until = START + timedelta(seconds=cut)
    later = []
    for record in records:
        if _time(record) > until:
            fields = orjson.loads(record.value)
            changed = "weight" if "weight" in fields else "took"
            fields[changed] = random.random() * 100
            later.append(record._replace(value=orjson.dumps(fields)))
    random.shuffle(later)
    return [*(one for one in records if _time(one) <= until), *later]


@pytest.mark.parametrize("case", CASES)
@given(given_=inputs())
@FEW
def test_every_id_is_in_one_state_and_the_ledger_knows_which(case: str, given_: Inputs):
    """Waiting, expired, settled or forgotten: the counts and the outputs tell the same."""
    task = Run(CASES[case])
    for record in given_.order:
        task.give([record])
        entries, counts = task.task.ledger.entries, task.task.counts
        waits = [i for i, e in entries.items() if isinstance(e, Waiting) and not e.expired]
        assert task.task.ledger.waiting == len(waits)
        # What was answered waits, has been learnt from its outcome, or has expired.
        by_outcome = counts["outcomes"] - counts["late"]
        assert counts["events"] == len(waits) + by_outcome + counts["expired"]
        assert entries.keys() <= {row["event_id"] for row in task.of("predictions")}
        assert not task.task.ledger.early.keys() & entries.keys()
    reached = task.task.watermark.time
    for entry in task.task.ledger.entries.values():
        if isinstance(entry, Waiting) and not entry.expired and reached is not None:
            assert entry.time >= reached - task.task.ledger.horizon


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
        assert len(state.roster.own) == len(state.roster.own.earning) <= limit
        assert all(len(window.cells) <= limit for window in state.featurizer.states.values())


def test_a_backtest_is_the_partition_tasks_and_nothing_else():
    """`models.backtest.run` gives, partition by partition, what the tasks give by hand."""
    recorded = [
        ("event", order("1", 0, shop="a")),
        ("event", order("2", 1, shop="b")),
        ("outcome", delivery("1", 2)),
        ("outcome", delivery("2", 3)),
        ("event", order("3", 4, shop="a")),
    ]
    outputs: list[Output] = []
    backtest = run(CALM, recorded, partitions=5, definition="d1", outputs=outputs.append)
    shops = {"1": "a", "2": "b", "3": "a"}
    by_hand = {
        p: Run(CALM, partition=p, partitions=5)
        for p in {partition_of(b"a", 5), partition_of(b"b", 5)}
    }
    said = []
    for kind, fields in recorded:
        key = shops[fields["event_id"]].encode()
        record = Given(EVENTS if kind == "event" else OUTCOMES, key, orjson.dumps(fields))
        said += by_hand[partition_of(key, 5)].give([record])
    assert outputs == said
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
            _given(EVENTS, ("a", event)),
            _given(OUTCOMES, ("a", delivery(f"e{n}", n * 10 + 5, random.random()))),
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
