"""Backfill, verify and explain on the real servers: one history, one live part, looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from models.inputs.decoder import EVENTS, KIND_HEADER, OUTCOMES
from models.task.partition_task import PartitionTask
from schemas.errors import Incompatible, RiverrunError
from schemas.topics import INPUTS
from streams.embedded import Endpoints
from streams.inspection.event_history import EventHistory
from streams.offline.backfill import Backfill
from streams.recordings import Recording, recording_of
from streams.replay.archived_states import Archived
from streams.replay.definition_history import DefinitionHistory
from streams.replay.definition_topic import SIGNATURE, signature
from streams.replay.derivation import Derivation
from streams.replay.kafka_log import KafkaLog
from streams.replay.verify import Verifier
from streams.snapshots.archive import Archive
from streams.snapshots.delta import write as write_snapshot
from streams.snapshots.signed_format import Origin, opened
from streams.snapshots.signed_format import Reader as SnapshotReader
from tests.support.loop import SOURCE, Loop, Row, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(400)
HISTORY, LIVE = ROWS[:500], ROWS[500:-40]
ANSWERED = [str(fields["event_id"]) for kind, fields in LIVE if kind == "event"]
LEARNT = [str(fields["event_id"]) for kind, fields in LIVE if kind == "outcome"]


def write(rows: list[Row], path: Path) -> Path:
    """The rows as a file of one record a line."""
    path.write_bytes(b"\n".join(orjson.dumps(fields) for _, fields in rows))
    return path


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case that was backfilled, then ran live, and stopped."""
    loop = Loop(stack, tmp_path_factory.mktemp("parcels"))
    try:
        loop.start()
        file = write(HISTORY, loop.folder / "history.jsonl")
        done = loop.run("backfill", str(loop.file), str(file), "--wait", "--json")
        assert (done["skipped"], done["applied"]) == (0, len(HISTORY))
        asyncio.run(live(loop))
        loop.stop()
        yield loop
    finally:
        loop.close()


async def live(loop: Loop) -> None:
    """The live part, whose first outcomes are those of events in the history."""
    keys = {f["event_id"]: f["depot"] for kind, f in ROWS if kind == "event"}
    await loop.publish([(kind, {**f, "depot": keys[f["event_id"]]}) for kind, f in LIVE])
    await loop.wait_for("predictions", ANSWERED)
    await loop.wait_for("examples", LEARNT)


async def test_backfilled_then_live_is_as_if_all_had_been_live(loop: Loop) -> None:
    """The same records in the same order, the history as events and outcomes: equal in all."""
    predictions = {value["event_id"]: value for value in await loop.values("predictions")}
    assert sorted(predictions) == sorted(ANSWERED)
    for number in range(2):
        for value in await all_live(loop, number):
            if value["event_id"] in predictions:
                prediction = predictions.pop(value["event_id"])
                assert prediction | {"seq": 0} == value | {"seq": 0}, value["event_id"]
    assert not predictions


async def all_live(loop: Loop, number: int) -> list[dict[str, Any]]:
    """What a partition would have said, had its history come as events and outcomes."""
    log = KafkaLog(
        loop.settings.kafka_client(),
        journal=loop.names["journal"],
        inputs=[loop.names[kind] for kind in INPUTS],
        partition=number,
    )
    case, predictions = loop.loaded, []
    task = PartitionTask(case.use_case, partition=number, partitions=2, definition=case.definition)
    await log.start()
    async for entry in log.entries(0):
        for index, first, count, _ in entry.runs:
            for record in await log.run(index, first, count):
                kind = dict(record.headers).get(KIND_HEADER)
                live = index if kind is None else EVENTS if kind == b"event" else OUTCOMES
                outputs = task.apply(task.read(live, record))
                predictions += [orjson.loads(o.value) for o in outputs if o.kind == "predictions"]
    await log.close()
    return predictions


async def test_history_is_learnt_and_not_answered(loop: Loop) -> None:
    """Examples of the history say so; no prediction and no metric is published for it."""
    history = {str(f["event_id"]) for kind, f in HISTORY if kind == "event"}
    examples = await loop.values("examples")
    assert {e["event_id"] for e in examples if e["source"] == "history"} == history
    predicted = {value["event_id"] for value in await loop.values("predictions")}
    assert not predicted & history
    served = [m for m in await loop.values("metrics") if m["model"] == "served"]
    newest = {(m["partition"], m["window_start"]): m for m in served}
    assert sum(m["predictions"] for m in newest.values()) == len(ANSWERED)


async def test_the_same_backfill_again_writes_nothing(loop: Loop) -> None:
    """Also after going live: what is there is recognised by its number."""
    work = Backfill(loop.loaded.use_case, loop.settings, loop.names, 2)
    done = await work.run(
        recording_of(loop.loaded.use_case, [str(loop.folder / "history.jsonl")], [], lambda _: [])
    )
    assert (done.written, done.already) == (0, len(HISTORY))


async def test_a_backfill_behind_the_live_part_is_refused(loop: Loop) -> None:
    """Records from before what is live would be dead letters: nothing is written, and why."""
    work = Backfill(loop.loaded.use_case, loop.settings, loop.names, 2)
    case, late = loop.loaded.use_case, [row for row in LIVE[:30] if row[0] == "event"]
    behind = Recording(case, "behind", lambda: iter(late))
    with pytest.raises(Incompatible, match="another recording"):
        await work.run(behind)
    with pytest.raises(Incompatible, match="cannot go back in time"):
        await work.run(behind, append=True)
    earlier = Recording(case, "earlier", lambda: iter(ROWS[10:40]))
    with pytest.raises(Incompatible, match="in the order of time"):
        await work.run(earlier, append=True)
    assert len(await loop.records("history")) == len(HISTORY)


def test_every_prediction_is_derived_again(loop: Loop) -> None:
    """--all, without Redis: all checked, none different."""
    report = loop.run("verify", str(loop.file), "--all", "--json")
    assert (report["checked"], report["different"], report["unproven"]) == (len(ANSWERED), 0, 0)
    assert report["proved"]


async def test_a_sample_and_a_single_prediction_are_derived_again(loop: Loop) -> None:
    """Only what is asked for is counted."""
    verifier = Verifier(loop.settings, loop.names)
    report = await verifier.sample(7, seed=1)
    assert (report.checked, report.different, report.proved) == (7, 0, True)
    one = await verifier.one(ANSWERED[3])
    assert (one.checked, one.different) == (1, 0)
    assert one.entries < report.entries


async def test_an_unknown_event_is_no_proof(loop: Loop) -> None:
    """It is said that there is none, and where else to look."""
    with pytest.raises(RiverrunError, match="no prediction of 'nobody'"):
        await Verifier(loop.settings, loop.names).one("nobody")
    assert not (
        await EventHistory(loop.settings, loop.names, loop.loaded.use_case).of("nobody")
    ).known


async def test_what_has_no_outcome_yet_has_half_a_life(loop: Loop) -> None:
    """The prediction is derived again; there is no example and no step."""
    event_id = next(i for i in ANSWERED if i not in LEARNT)
    life = await EventHistory(loop.settings, loop.names, loop.loaded.use_case).of(event_id)
    assert (life.proved, life.example, life.learnt) == (True, None, [])


def test_a_life_is_told_from_the_event_to_the_step_in_the_model(loop: Loop) -> None:
    """Raw, features, prediction, outcome, and each model before and after it learnt."""
    event_id = next(i for i in ANSWERED[50:] if i in LEARNT)
    life = loop.run("explain", str(loop.file), event_id, "--json")
    assert life["event"]["value"]["event_id"] == event_id
    assert set(life["features"]) == {"weight", "miles", "lately"}
    assert life["proved"] is True
    assert life["outcome"]["value"]["hours"] == life["example"]["label"]
    lessons = {lesson["model"]: lesson for lesson in life["learnt"]}
    assert set(lessons) == {"linear", "brisk"}
    brisk = lessons["brisk"]
    label = brisk["label"]
    assert abs(brisk["after"] - label) < abs(brisk["before"] - label)
    assert {weight["name"] for weight in brisk["weights"]} <= {
        "weight",
        "miles",
        "lately",
        "(intercept)",
    }


async def test_an_event_and_its_outcome_in_one_batch_have_a_whole_life(loop: Loop) -> None:
    """Both steps are in one journal entry: each is looked at."""
    asked = {v["event_id"]: v for v in await loop.values("predictions")}
    gaps = {
        v["event_id"]: v["step"] - asked[v["event_id"]]["step"]
        for v in await loop.values("examples")
        if v["event_id"] in asked
    }
    for event_id in sorted(gaps, key=gaps.__getitem__)[:5]:
        life = await EventHistory(loop.settings, loop.names, loop.loaded.use_case).of(event_id)
        assert (life.proved, life.unproven) == (True, None)
        assert {lesson["model"] for lesson in life.learnt} == {"linear", "brisk"}


async def test_an_event_is_shown_with_what_json_has_no_word_for(loop: Loop) -> None:
    """NaN and a number of 80 bits in fields that nobody declares; `verify` reads it, so does this.

    The log that is at hand ends before it, so there is no prediction of it.
    """
    event = orjson.dumps(next(f for kind, f in LIVE if kind == "event") | {"event_id": "odd"})
    value = event[:-1] + b',"ratio":NaN,"serial":1208925819614629174706176}'
    producer = AIOKafkaProducer(**loop.settings.kafka_client())
    await producer.start()
    await producer.send_and_wait(loop.names["events"], value, key=b"north")
    await producer.stop()
    life = await EventHistory(loop.settings, loop.names, loop.loaded.use_case).of("odd")
    assert life.event is not None
    shown = life.event["value"]
    assert (shown["ratio"], shown["serial"]) == ("nan", "1208925819614629174706176")
    told = loop.run("explain", str(loop.file), "odd", "--json")
    assert told["event"]["value"] == shown


async def test_a_backfilled_event_has_a_life_without_an_answer(loop: Loop) -> None:
    """Event and outcome come from the history; what it taught is told all the same."""
    life = await EventHistory(loop.settings, loop.names, loop.loaded.use_case).of("p30")
    assert life.event is not None
    assert life.outcome is not None
    assert life.event["topic"] == life.outcome["topic"] == loop.names["history"]
    assert (life.prediction, life.proved) == (None, None)
    assert {lesson["model"] for lesson in life.learnt} == {"linear", "brisk"}


async def test_a_kept_state_shortens_the_way(loop: Loop, tmp_path: Path) -> None:
    """From an archived state on, the same predictions in fewer entries; all of them still take the
    whole log.
    """
    newest = (await loop.values("predictions"))[-1]
    starts = await archived(loop, tmp_path, newest["partition"], newest["seq"])
    near = Verifier(loop.settings, loop.names, starts=starts)
    far = Verifier(loop.settings, loop.names)
    for verifier, entries in ((near, 1), (far, newest["seq"] + 1)):
        report = await verifier.one(newest["event_id"])
        assert (report.checked, report.different, report.entries) == (1, 0, entries)
    assert (await near.every()).checked == len(ANSWERED)


async def archived(loop: Loop, folder: Path, number: int, seq: int) -> Archived:
    """An archive that holds a partition's state before a journal entry."""
    definitions = await DefinitionHistory.read(loop.names["definitions"], loop.settings)
    derivation = Derivation(loop.settings, loop.names, definitions, partition=number, partitions=2)
    await derivation.open()
    await derivation.to(seq, lambda outputs: None)
    await derivation.close()
    assert derivation.task is not None
    with (folder / "state").open("w+b") as file:
        write_snapshot(derivation.task, file, None, b"key", 1.7e9, Origin("parcels"))
    data = (folder / "state").read_bytes()
    archive = Archive(str(folder), "parcels", b"key", 3_600.0)
    archive.put(opened(SnapshotReader(data).signed, b"key"), data)
    return Archived(archive)


def test_a_forged_prediction_is_found_and_named(loop: Loop) -> None:
    """One float changed in the last bit: exit code 1, with field and journal place."""
    record = asyncio.run(loop.records("predictions"))[-1]
    forged = orjson.loads(record.value)
    forged["value"] += 2**-40
    asyncio.run(put(loop, "predictions", record.key, orjson.dumps(forged), record.partition))
    report = loop.run("verify", str(loop.file), "--all", "--json", code=1)
    assert (report["checked"], report["different"]) == (len(ANSWERED) + 1, 1)
    first = report["first"]
    assert (first["partition"], first["step"]) == (record.partition, forged["step"])


async def test_what_retention_has_deleted_cannot_be_proved_and_the_rest_can(
    loop: Loop, tmp_path: Path
) -> None:
    """The journal's first entries are gone: nothing without an archive, with one all since it."""
    predictions = await loop.values("predictions")
    number = 0  # the forged one, which is still found, is on the other
    own = [value for value in predictions if value["partition"] == number]
    seq = own[len(own) // 2]["seq"]
    starts = await archived(loop, tmp_path, number, seq)
    journal = [r for r in await loop.records("journal") if r.partition == number]
    offset = next(r.offset for r in journal if orjson.loads(r.value)["seq"] == seq)
    await forget(loop, number, offset)
    report = await Verifier(loop.settings, loop.names).every()
    assert (report.different, report.unproven) == (1, len(own))
    assert f"kept from entry {seq}" in report.reasons[0]
    report = await Verifier(loop.settings, loop.names, starts=starts).every()
    before = [value for value in own if value["seq"] < seq]
    assert (report.different, report.unproven) == (1, len(before))
    assert report.checked == len(predictions) - len(before)


async def forget(loop: Loop, number: int, offset: int) -> None:
    """Delete a partition's journal up to an offset, as retention does."""
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    journal = TopicPartition(loop.names["journal"], number)
    await admin.delete_records({journal: RecordsToDelete(before_offset=offset)})
    await admin.close()


async def test_a_source_that_is_not_signed_is_not_run(loop: Loop, tmp_path: Path) -> None:
    """Who may write to the definitions topic may not thereby run code: an unsigned record is passed
    over, and under another key nothing is run but what is the text of a trusted file.
    """
    record, trace = (await loop.records("definitions"))[-1], tmp_path / "it ran"
    source = f"open({str(trace)!r}, 'w').close()\n" + SOURCE
    hostile = orjson.loads(record.value) | {"source": source}
    await put(loop, "definitions", record.key, orjson.dumps(hostile), 0)
    # Of the partition whose journal is whole, and not the forged one, its last.
    event_id = next(v["event_id"] for v in await loop.values("predictions") if v["partition"] == 1)
    asked = ("verify", str(loop.file), event_id, "--json")
    changed = tmp_path / "parcels.py"
    changed.write_text(SOURCE.replace("SGD(0.1)", "SGD(0.3)"))
    report = await asyncio.to_thread(loop.run, *asked)
    assert (report["checked"], report["different"]) == (1, 0)
    loop.environment["RIVERRUN_SNAPSHOT_KEY"] = "another key, long enough"
    try:
        asked = ("verify", str(changed), event_id, "--json")
        report = await asyncio.to_thread(loop.run, *asked, code=6)
        assert "not signed" in report["reasons"][0]
        assert not trace.exists()
        report = await asyncio.to_thread(loop.run, *asked, "--trust", str(loop.file))
        assert (report["checked"], report["different"]) == (1, 0)
    finally:
        del loop.environment["RIVERRUN_SNAPSHOT_KEY"]
    assert not trace.exists()


async def test_without_its_definition_nothing_is_proved_and_nothing_different(
    loop: Loop,
) -> None:
    """The source is gone from the definitions topic: exit code 6."""
    record = (await loop.records("definitions"))[-1]
    other = orjson.loads(record.value) | {"source": "print('something else')"}
    value = orjson.dumps(other)
    signed = (SIGNATURE, signature(value, loop.settings.snapshot_key()))
    await put(loop, "definitions", record.key, value, 0, signed)
    report = await asyncio.to_thread(
        loop.run, "verify", str(loop.file), "--sample", "3", "--json", code=6
    )
    assert (report["checked"], report["different"], report["unproven"]) == (0, 0, 3)
    assert "source" in report["reasons"][0]


async def put(
    loop: Loop, kind: str, key: bytes, value: bytes, partition: int, *headers: tuple[str, bytes]
) -> None:
    """Write a record that riverrun did not."""
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        await producer.send_and_wait(
            loop.names[kind], value, key=key, partition=partition, headers=list(headers)
        )


async def test_predictions_are_derived_under_the_definition_of_their_time(
    stack: Endpoints, tmp_path: Path
) -> None:
    """The file was changed between two runs of the worker: both parts are derived, each under its
    own source; the file at hand is not asked.
    """
    rows, ids = parcels(120), [f"p{n}" for n in range(120)]
    loop = Loop(stack, tmp_path)
    try:
        for source, part in ((SOURCE, ids[:60]), (SOURCE.replace("SGD(0.1)", "SGD(0.2)"), ids)):
            loop.file.write_text(source)
            await loop.publish([row for row in rows if row[1]["event_id"] in part])
            rows = [row for row in rows if row[1]["event_id"] not in part]
            if source != SOURCE:
                loop.run("redefine", str(loop.file), "--how", "keep", "--why", "a test", "--json")
            loop.start()
            await loop.wait_for("examples", part)
            await asyncio.to_thread(loop.stop)
        loop.file.write_text(SOURCE.replace("SGD(0.1)", "SGD(0.3)"))
        predictions = await loop.values("predictions")
        assert (
            len({value["model"].partition("@")[2].partition("#")[0] for value in predictions}) == 2
        )
        report = await Verifier(loop.settings, loop.names).every()
        assert (report.checked, report.different, report.unproven) == (len(ids), 0, 0)
    finally:
        loop.close()
