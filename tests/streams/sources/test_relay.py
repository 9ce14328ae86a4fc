"""A relay on a Kafka in memory: exact whatever fails, and through a change of its inputs."""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from functools import partial
from io import BytesIO

import fastavro
import orjson
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from models.formats.avro import Avro
from models.formats.json_format import Json
from models.formats.payload import WriterSchema
from models.inputs.decoder import PlainRecord
from models.inputs.merge_order import choose_earliest
from models.relay.relay_task import RelayInput, RelayTask
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.errors import Incompatible
from schemas.partitioner import partition_of
from schemas.records import RelayedId, SourceSchema
from streams.partition.recovery import KeptState
from streams.partition.runner import PartitionRunner
from streams.partition.stalled_inputs import Stalled
from streams.partition.wiring import FreshStore
from streams.replay.journal_fold import Entry
from streams.sources.relay_log import renumbered
from streams.sources.relay_plan import resumed
from tests.support.memory import Memory
from tests.support.runner_life import applied, drain
from tests.support.use_cases.declared_shop import SOURCE, declared
from tests.support.virtual_time import run_virtually

PARTITIONS = 5


def shop() -> UseCase:
    """A use case that adopts two topics."""
    orders = Source(
        "in0",
        Json(),
        event={"event_id": "id", "event_time": "at", "shop": "shop", "city": "shop", "price": "p"},
    )
    bills = Source(
        "in1",
        outcome=lambda r: {"event_id": r["order"], "outcome_time": r["at"], "amount": r["sum"]},
        key="shop",
    )
    return replace(declared(SOURCE), sources=[orders, bills])


def order(n: int) -> bytes:
    """A record of the first topic."""
    at = f"2024-03-01T{n // 60:02}:{n % 60:02}:00Z"
    return orjson.dumps({"id": f"o{n}", "at": at, "shop": f"s{n % 7}", "p": 1.5})


def bill(n: int) -> bytes:
    """A record of the second one."""
    at = f"2024-03-01T{n // 60:02}:{n % 60:02}:30Z"
    return orjson.dumps({"order": f"o{n}", "at": at, "shop": f"s{n % 7}", "sum": 2.0})


async def known_ids(memory: Memory) -> dict[bytes, bytes]:
    """What the topic `ids` holds once it is compacted."""
    rows = {out.key: out.value for out in memory.outputs if out.kind == "ids"}
    return {key: value for key, value in rows.items() if value is not None}


def relay_on(
    memory: Memory, use_case: UseCase, kept_state: KeptState | None = None
) -> PartitionRunner:
    """Connect a relay to a memory, as relay_plan.py does to Kafka."""
    inputs = [RelayInput(source, 0) for source in use_case.sources]
    places = [TP(source.topic, 0) for source in use_case.sources]
    wiring = replace(
        memory.wiring(),
        inputs=tuple(places),
        store=FreshStore(
            lambda _: RelayTask(use_case, inputs, partitions=PARTITIONS, definition="d", schemas={})
        ),
        choose=choose_earliest,
        aligned=range(len(places)),
        kinds=("source",) * len(places),
        obeys_skips=False,
        roll=partial(resumed, places, lambda: known_ids(memory)),
    )
    runner = PartitionRunner(0, 1, memory, wiring, kept_state=kept_state)
    memory.to = runner.accept
    return runner


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_fails_each_record_is_relayed_once(seed: int) -> None:
    """Lost and repeated batches, commits that fail before or after they took effect, kills: what
    was published is each record once, on the partition of its key, in the order of its input.
    """
    run_virtually(_survive(seed))


async def _survive(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory(fails=lambda step: rng.random() < {"fetch": 0.1, "again": 0.2}.get(step, 0.03))
    use_case, count = shop(), 30
    for n in range(count):
        memory.put(0, order(n), gap=rng.choice((0, 0, 1, 3)))
        memory.put(1, bill(n), gap=rng.choice((0, 0, 1)))
    memory.put(0, b"no JSON")
    memory.put_gap(0, 2)
    kept_state = None
    for _ in range(40):
        runner = relay_on(memory, use_case, kept_state)
        try:
            await drain(memory, runner, rng, 2 * count + 1)
            kept_state = runner.kept_state if rng.random() < 0.5 else None  # a stop, or a kill
        except Stalled:
            kept_state = None
        if applied(memory) == 2 * count + 1:
            break
    memory.fails = lambda step: False
    outputs = [out for out in memory.outputs if out.kind in ("events", "outcomes")]
    for kind in ("events", "outcomes"):
        ids = [orjson.loads(out.value)["event_id"] for out in outputs if out.kind == kind]
        assert ids == [f"o{n}" for n in range(count)]
    assert all(out.partition == partition_of(out.key, PARTITIONS) for out in outputs)
    origins = Counter(dict(out.headers)["riverrun_source"] for out in outputs)
    assert set(origins.values()) == {1}
    letters = [orjson.loads(out.value) for out in memory.outputs if out.kind == "dead-letter"]
    assert [letter["error_class"] for letter in letters] == ["malformed"]
    entries = [Entry.decode(value) for value in memory.journal]
    assert [entry.seq for entry in entries] == list(range(len(entries)))


def by_id() -> UseCase:
    """The same use case, where bills know only the order's id."""
    use_case = shop()
    orders, bills = use_case.sources
    return replace(use_case, sources=[orders, replace(bills, key=None, by="event_id")])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_fails_an_outcome_finds_its_event_by_id(seed: int) -> None:
    """In any order of arrival, with lost batches, failed commits and kills: each bill is relayed
    once, under the key of its order, and those of no order are told once.
    """
    run_virtually(_match(seed))


async def _match(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory(fails=lambda step: rng.random() < {"fetch": 0.1, "again": 0.2}.get(step, 0.03))
    count = 30
    numbers = [list(range(count)), list(range(count))]
    for row in numbers:
        rng.shuffle(row)
    for n, m in zip(*numbers, strict=True):
        memory.put(0, order(n))
        memory.put(1, bill(m))
    memory.put(1, bill(99))  # of no order
    kept_state = None
    for _ in range(40):
        runner = relay_on(memory, by_id(), kept_state)
        try:
            await drain(memory, runner, rng, 2 * count + 1)
            kept_state = runner.kept_state if rng.random() < 0.5 else None
        except Stalled:
            kept_state = None
        if applied(memory) == 2 * count + 1:
            break
    outputs = [out for out in memory.outputs if out.kind in ("events", "outcomes")]
    for kind in ("events", "outcomes"):
        rows = [(orjson.loads(o.value)["event_id"], o.key) for o in outputs if o.kind == kind]
        assert sorted(rows) == sorted((f"o{n}", b"s%d" % (n % 7)) for n in range(count))
    assert all(out.partition == partition_of(out.key, PARTITIONS) for out in outputs)
    origins = Counter(dict(out.headers)["riverrun_source"] for out in outputs)
    assert set(origins.values()) == {1}
    ids = await known_ids(memory)
    assert len([key for key in ids if key.startswith(b"event/")]) == count
    waiting = [RelayedId.model_validate_json(v) for v in ids.values() if b'"key":null' in v]
    assert [row.event_id for row in waiting] == ["o99"]


def test_an_outcome_of_no_event_is_told_when_the_memory_of_ids_has_passed() -> None:
    """It waits for as long as ids are known, and leaves as a dead letter with its own bytes."""
    memory = Memory()
    use_case = by_id()
    memory.put(1, bill(7))
    late = {"id": "new", "at": "2024-03-09T00:00:00Z", "shop": "s", "p": 1.0}
    memory.put(0, order(1))
    memory.put(0, orjson.dumps(late))

    async def run() -> None:
        await drain(memory, relay_on(memory, use_case), random.Random(1), 3)

    assert use_case.confirm_jump_after > 1
    memory.logs = [[r._replace(timestamp=1_709_942_400_000) for r in log] for log in memory.logs]
    run_virtually(run())
    (letter,) = [orjson.loads(o.value) for o in memory.outputs if o.kind == "dead-letter"]
    assert letter["error_class"] == "unmatched"
    assert orjson.loads(b64decode(letter["value_base64"])) == orjson.loads(bill(7))
    assert list(run_known(memory)) == [b"event/new"]


def run_known(memory: Memory) -> dict[bytes, bytes]:
    """What is still known."""
    return asyncio.run(known_ids(memory))


def test_a_backlog_is_relayed_in_the_order_of_time() -> None:
    """Two topics that wait: events and outcomes come out as they happened."""
    memory = Memory()
    for n in range(20):
        memory.put(0, order(n))
    for n in range(20):
        memory.put(1, bill(n))

    async def run() -> None:
        await drain(memory, relay_on(memory, shop()), random.Random(1), 40)

    run_virtually(run())
    told = [(orjson.loads(o.value)["event_id"], o.kind) for o in memory.outputs]
    assert told == [(f"o{n}", kind) for n in range(20) for kind in ("events", "outcomes")]


def test_a_relay_of_one_input_goes_on_after_a_commit() -> None:
    """One partition of one topic: nothing that drives it takes a second input for granted."""
    memory = Memory(inputs=1)
    use_case = shop()
    use_case = replace(use_case, sources=use_case.sources[:1])
    for n in range(20):
        memory.put(0, order(n))

    async def run() -> None:
        await drain(memory, relay_on(memory, use_case), random.Random(1), 20)

    run_virtually(run())
    assert len(memory.outputs) == 20


def test_a_topic_that_was_made_anew_is_refused() -> None:
    """The record before the position is another one: no position in it is right."""
    memory = Memory()
    memory.put(0, order(1))
    memory.put(1, bill(1))
    use_case = shop()

    async def run() -> None:
        await drain(memory, relay_on(memory, use_case), random.Random(1), 2)
        memory.logs[0][0] = memory.logs[0][0]._replace(value=order(2))
        await relay_on(memory, use_case).run()

    with pytest.raises(Incompatible, match=r"in0\[0\] does not hold the record at offset 0"):
        run_virtually(run())


def test_a_record_that_compaction_removed_is_no_other_topic() -> None:
    """Foreign topics may be compacted: what is gone cannot be compared."""
    memory = Memory()
    memory.put(0, order(1))
    memory.put(1, bill(1))
    use_case = shop()

    async def run() -> None:
        await drain(memory, relay_on(memory, use_case), random.Random(1), 2)
        memory.logs[0].clear()
        memory.put(0, order(2))
        await drain(memory, relay_on(memory, use_case), random.Random(1), 3)

    run_virtually(run())
    assert [o.kind for o in memory.outputs] == ["events", "outcomes", "events"]


def test_inputs_that_come_and_go_keep_their_positions() -> None:
    """An entry names its inputs; it is read in the numbering of now."""
    entry = Entry(4, 9, [(0, 1, 2, 3)], [3, 8], "d", marks=[11, 12], inputs=[["a", 0], ["b", 0]])
    moved = renumbered(entry, [["b", 0], ["c", 0], ["a", 0]])
    assert (moved.seq, moved.step, moved.next, moved.marks) == (4, 9, [8, -1, 3], [12, -1, 11])
    assert renumbered(entry, [["a", 0], ["b", 0]]) is entry


def test_the_schema_of_a_record_is_kept_beside_it() -> None:
    """Once a schema, in the transaction of the first record that was written with it."""
    schema = orjson.dumps(
        {
            "type": "record",
            "name": "Order",
            "fields": [{"name": name, "type": "string"} for name in ("id", "at", "shop")]
            + [{"name": "p", "type": "double"}],
        }
    ).decode()
    parsed = fastavro.parse_schema(orjson.loads(schema))
    orders = replace(shop().sources[0], format=Avro())
    use_case = replace(declared(SOURCE), sources=[orders])
    known = {7: WriterSchema(7, "AVRO", schema)}
    task = RelayTask(use_case, [RelayInput(orders, 0)], partitions=2, definition="d", schemas=known)
    outputs = []
    for n in range(3):
        stream = BytesIO()
        fastavro.schemaless_writer(stream, parsed, orjson.loads(order(n)))
        value = b"\x00\x00\x00\x00\x07" + stream.getvalue()
        outputs += task.apply(task.read(0, PlainRecord("in0", 0, n, 0, None, value)))
    assert [out.kind for out in outputs] == ["events", "schemas", "events", "events"]
    kept_state = SourceSchema.model_validate_json(outputs[1].value)
    assert (kept_state.id, kept_state.text) == (7, schema)
    assert (outputs[1].key, outputs[1].partition) == (b"7", 0)
