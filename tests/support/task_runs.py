"""Inputs drawn by Hypothesis in any interleaving, and a task that runs over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from river import linear_model, naive_bayes, preprocessing, tree

from models.inputs.decoder import COMMANDS, EVENTS, OUTCOMES, DecodedRecord, PlainRecord
from models.outputs.output_records import Output
from models.spec.use_case import Kpi, UseCase
from models.task.partition_task import PartitionTask
from models.values.durations import hours, minutes
from schemas.topics import INPUTS
from tests.support.one_partition import REPLAYED, at, command, delivery, order, use_case

FEW = settings(max_examples=20, deadline=None)
NO_JUMPS = {"max_jump": 1e9}
CALM = use_case(**NO_JUMPS, horizon=hours(100))
"""Its horizon never passes, so that nothing expires and nothing is late."""
HASTY = use_case(**NO_JUMPS, horizon=minutes(20), label_on_timeout=9.0, plausible=(2.0, 20.0))
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
    split = [[given_record(EVENTS, e) for e in _timely(events)], [], commands]
    split[OUTCOMES] = [given_record(OUTCOMES, o) for o in _timely(outcomes)]
    if random.random() < 0.3:
        n = random.randrange(3)
        split[n].append(Given(n, b"a", b"garbage"))
    turns = [n for n, records in enumerate(split) for _ in records]
    random.shuffle(turns)
    queues = [iter(records) for records in split]
    return Inputs(split[0], split[1], split[2], [next(queues[n]) for n in turns])


COMMANDS_GIVEN = ["freeze", "unfreeze", "rollback", "release", "set-watermark"]
PROMOTION = command("p", "promote", model="tree")


def _command(n: int, random: Random) -> dict[str, Any]:
    ids = [f"e{random.randrange(25)}" for _ in range(12)]
    watermark = at(random.randrange(3_000))
    return command(f"c{n}", random.choice(COMMANDS_GIVEN), event_ids=ids, watermark=watermark)


def _timely(records: list[tuple[float, str, dict[str, Any]]]) -> Iterator[tuple[str, Any]]:
    ordered = sorted(records, key=lambda record: record[0])
    return ((shop, fields) for _, shop, fields in ordered)


def given_record(index: int, record: tuple[str, dict[str, Any]]) -> Given:
    """An input's record, of its key and fields."""
    return Given(index, record[0].encode(), orjson.dumps(record[1]))


class Run:
    """A task that is given records, each with the next offset of its input."""

    def __init__(
        self, case: UseCase, partition: int = 0, partitions: int = 1, gap: int = 1
    ) -> None:
        self.task = PartitionTask(case, partition=partition, partitions=partitions, definition="d1")
        self.offsets = [0] * len(INPUTS)
        self.gap = gap
        self.outputs: list[Output] = []
        self.applied: list[tuple[int, int]] = []

    def give(self, records: Sequence[Given]) -> list[Output]:
        """Apply them in this order."""
        outputs = [out for record in records for out in self.task.apply(self.read(record))]
        self.outputs += outputs
        return outputs

    def read(self, record: Given) -> DecodedRecord:
        """Read one record at the next offset."""
        offset = self.offsets[record.index]
        self.offsets[record.index] += self.gap
        self.applied.append((record.index, offset))
        stamp = int(REPLAYED.timestamp() * 1000)
        raw = PlainRecord(
            INPUTS[record.index], self.task.partition, offset, stamp, record.key, record.value
        )
        return self.task.read(record.index, raw)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All that it said of one kind."""
        return [orjson.loads(out.value) for out in self.outputs if out.kind == kind]


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
