"""One model learns from all partitions, on a real Kafka: a label anywhere answers everywhere."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.replay.backtest import Backtest
from schemas.timestamps import moment
from schemas.topics import LEARNER
from streams.embedded import Endpoints
from streams.inspection.audit_trail import audited
from streams.operations.repartition import repartition
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

PLAIN = SOURCE.replace(
    '    partitions=2,\n    learning="partition",\n', '    partitions=4,\n    learning="shared",\n'
)
WINDOWS = """        "everywhere": over_outcomes(by=(), last=hours(12)).mean(
            lambda e, o, x: o.hours, empty=5.0
        ),
        "far": lambda e: e.miles > 200,
        "as_far": over_events(by="far", half_life=hours(48)).count(),
        "area": DEPOTS.field("area", by="depot"),
    },
    models={"""
SHARED = (
    PLAIN.replace("    },\n    models={", WINDOWS)
    .replace("over_outcomes\n", "over_events, over_outcomes\nfrom riverrun import Table\n")
    .replace(
        "PARCELS = ",
        'DEPOTS = Table("depots", topic="@TOPIC@", key="depot", time="since")\nPARCELS = ',
    )
)
PARCELS = parcels(600)
DEPOTS = {f["event_id"]: f["depot"] for kind, f in PARCELS if kind == "event"}
ROWS = [(kind, {**f, "depot": DEPOTS[f["event_id"]]}) for kind, f in PARCELS]
ASKED = {
    "promote": ("brisk", "--why", "a test"),
    "redefine": ("--how", "keep", "--why", "a test"),
}
EVENTS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


@pytest.fixture
async def loop(stack: Endpoints, tmp_path: Path) -> AsyncIterator[Loop]:
    """Parcels on four partitions that share their models."""
    topic = f"depots-{uuid.uuid4().hex[:8]}"
    loop = Loop(stack, tmp_path, SHARED.replace("@TOPIC@", topic))
    try:
        yield loop
    finally:
        loop.close()


def _trained_on(prediction: dict[str, Any]) -> int:
    return int(prediction["model"].rpartition("#")[2])


MIDDLE = next(f["event_time"] for kind, f in ROWS[len(ROWS) // 2 :] if kind == "event")
"""Depots grow then."""


async def write_table(loop: Loop) -> None:
    """Write the depots' areas to their compacted topic: 1, and 2 from `MIDDLE` on; and nonsense."""
    table = next(iter(loop.loaded.use_case.tables.values()))
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    await admin.create_topics(
        [NewTopic(table.topic, 2, 1, topic_configs={"cleanup.policy": "compact"})]
    )
    await admin.close()
    producer = AIOKafkaProducer(**loop.settings.kafka_client())
    await producer.start()
    for area, since in ((1.0, "2000-01-01T00:00:00Z"), (2.0, MIDDLE)):
        for depot in sorted(set(DEPOTS.values())):
            row = {"depot": depot, "area": area, "since": since}
            await producer.send_and_wait(table.topic, orjson.dumps(row), key=depot.encode())
    await producer.send_and_wait(table.topic, b"nonsense", key=b"x")
    await producer.stop()


async def table_arrived(loop: Loop) -> None:
    """Wait until the learner has released every row."""
    count, began = 2 * len(set(DEPOTS.values())), monotonic()
    while sum(len(u.get("tables") or ()) for u in await loop.values("models")) < count:
        assert monotonic() - began < 180, loop.log()
        await asyncio.sleep(0.2)


async def test_a_label_anywhere_answers_everywhere_through_a_kill_of_the_learner(
    loop: Loop,
) -> None:
    """Two workers, windows over all partitions, a table, kill -9 of the one that learns amid the
    stream: every event is answered once and
    every outcome learnt once, by models of all partitions' labels; and a fresh process derives
    every version and every answer again.
    """
    await write_table(loop)
    loop.start()
    loop.start()
    await table_arrived(loop)
    first, second = len(ROWS) // 3, 2 * len(ROWS) // 3
    await loop.publish(ROWS[:first])
    await loop.wait_until_learnt(ROWS[:first])
    logs = [loop.folder / f"worker{n}.log" for n in range(2)]
    learner = next(n for n, log in enumerate(logs) if "learner: live" in log.read_text())
    loop.workers[learner].kill()
    await loop.publish(ROWS[first:second])
    await loop.wait_until_learnt(ROWS[:second])
    await loop.publish(ROWS[second:])
    await loop.wait_until_learnt(ROWS)
    await loop.wait_for("predictions", EVENTS)
    await loop.wait_for("examples", EVENTS)

    predictions = await loop.values("predictions")
    examples = await loop.values("examples")
    assert sorted(p["event_id"] for p in predictions) == sorted(EVENTS)
    assert sorted(e["event_id"] for e in examples) == sorted(EVENTS)
    of_one = {
        n: sum(example["partition"] == n for example in examples)
        for n in {p["partition"] for p in predictions}
    }
    assert len(of_one) > 2
    for number, own in of_one.items():
        newest = max(_trained_on(p) for p in predictions if p["partition"] == number)
        assert newest > own, f"partition {number} learnt from its own {own} labels alone"
    sent = await loop.values("window-entries")
    assert sum(entry[0] == "everywhere" for row in sent for entry in row["entries"]) == len(EVENTS)
    rows = [(moment(row["event_time"]), row["features"]) for row in await loop.values("features")]
    features = [x for _, x in rows]
    assert len({row["everywhere"] for row in features}) > len(EVENTS) / 4
    assert max(row["as_far"] for row in features) > 4
    middle = moment(MIDDLE)
    assert middle is not None
    # A worker that has just started may answer before the table has reached it.
    known = [(time, x["area"]) for time, x in rows if time is not None and "area" in x]
    assert len(known) > 0.8 * len(rows)
    assert {area for time, area in known if time < middle} == {1.0}
    # One that comes after a later one of its partition is as of that one.
    assert {area for time, area in known if time >= middle} == {2.0}
    (letter,) = await loop.values("dead-letter")
    assert "no row" in letter["error"]
    updates = await loop.values("models")
    assert [update["number"] for update in updates] == list(range(len(updates)))

    loop.stop()
    report = await asyncio.to_thread(loop.run, "verify", str(loop.file), "--all", "--json")
    assert report["proved"]
    assert report["checked"] == len(EVENTS)
    assert report["versions_checked"] == len(updates)


async def test_what_operators_do_to_shared_models_is_done_once_and_proved(loop: Loop) -> None:
    """A promotion, a rollback to the learner's place before it, and a new definition under the
    state: each in the learner alone. `explain` says which version predicted and what the outcome
    taught; a fresh process derives every version and every answer, across all of them.
    """

    async def lived(first: int, last: int) -> None:
        await loop.publish(ROWS[first:last])
        await loop.wait_until_learnt(ROWS[:last])

    def run(*arguments: str) -> Any:
        return loop.run(*arguments, str(loop.file), *ASKED[arguments[0]], "--json")

    loop.start()
    await lived(0, 400)
    promoted = await asyncio.to_thread(run, "promote")
    assert promoted["applied"] == [0]
    await lived(400, 600)
    (act,) = [a for a in await audited(loop.settings, loop.names) if a.kind == "command"]
    (position,) = act.positions
    assert position.startswith("learner/")
    back = await asyncio.to_thread(
        loop.run, "rollback", str(loop.file), "--as-of", position, "--why", "a test", "--json"
    )
    assert (back["applied"], back["model"]) == ([0], "linear")
    await lived(600, 800)
    updates = await loop.values("models")
    versions = [u["version"] for u in updates if u["version"]]
    linear = [v for v in versions if v["model"] == "linear"]
    first = next(v for v in linear if v["generation"] == 1)
    outcomes = sum(kind == "outcome" for kind, _ in ROWS[:400])
    assert outcomes - 30 <= first["trained_on"] <= outcomes + 5, "as it was at the promotion"
    assert {u["roles"]["champion"] for u in updates[-5:]} == {"linear"}
    loop.stop()

    examples = {e["event_id"]: e for e in await loop.values("examples")}
    prediction = [p for p in await loop.values("predictions") if p["event_id"] in examples]
    one = next(p for p in reversed(prediction) if p["served_by"] == "champion")
    life = await asyncio.to_thread(loop.run, "explain", str(loop.file), one["event_id"], "--json")
    assert life["proved"]
    assert life["version"]["trained_on"] == _trained_on(one)
    assert {lesson["model"] for lesson in life["learnt"]} == {"linear", "brisk"}
    assert all(lesson["before"] != lesson["after"] for lesson in life["learnt"])
    assert {lesson["by"]["input"] for lesson in life["learnt"]} == {"examples"}

    loop.file.write_text(loop.file.read_text().replace("optim.SGD(0.1)", "optim.SGD(0.2)"))
    done = await asyncio.to_thread(run, "redefine")
    assert {tuple(row["kept_models"]) for row in done["partitions"]} == {("linear",)}
    assert [row["partition"] for row in done["partitions"]] == [0, 1, 2, 3, LEARNER]
    before = linear[-1]["trained_on"]
    loop.start()
    await loop.publish(ROWS[800:1_000])
    await loop.wait_for(
        "predictions", [str(f["event_id"]) for k, f in ROWS[:1_000] if k == "event"]
    )
    began = monotonic()
    while not (
        newest := [u for u in await loop.values("models") if u["definition"] == done["definition"]]
    ):
        assert monotonic() - began < 120, loop.log()
        await asyncio.sleep(0.2)
    first_linear = next(
        u["version"] for u in newest if u["version"] and u["version"]["model"] == "linear"
    )
    assert first_linear["trained_on"] >= before, "it goes on from what it had learnt"
    loop.stop()
    report = await asyncio.to_thread(loop.run, "verify", str(loop.file), "--all", "--json")
    assert (report["different"], report["unproven"], report["reasons"]) == (0, 0, [])
    assert report["versions_checked"] == len(await loop.values("models"))


async def test_by_default_a_history_teaches_everybody_and_another_number_of_partitions_goes_on(
    stack: Endpoints, tmp_path: Path
) -> None:
    """A use case that says nothing of learning: its backfill is learnt by one model before the
    first answer, and its copy on three partitions answers and learns all of it by one, too.
    """
    source = PLAIN.replace('    learning="shared",\n', "")
    (tmp_path / "copy").mkdir()
    loop, copy = Loop(stack, tmp_path, source), Loop(stack, tmp_path / "copy", source)
    history, live = ROWS[:400], ROWS[400:600]
    asked = [str(f["event_id"]) for kind, f in live if kind == "event"]
    due = [str(f["event_id"]) for kind, f in live if kind == "outcome"]
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(fields) for _, fields in history))
    try:
        loop.start()
        done = await asyncio.to_thread(
            loop.run, "backfill", str(loop.file), str(file), "--wait", "--json"
        )
        assert (done["skipped"], done["applied"]) == (0, len(history))
        await loop.wait_until_learnt(history)
        taught = sum(kind == "outcome" for kind, _ in history)
        await loop.publish(live)
        await loop.wait_for("predictions", asked)
        await loop.wait_for("examples", due)
        predictions = await loop.values("predictions")
        assert sorted(p["event_id"] for p in predictions) == sorted(asked)
        assert min(_trained_on(p) for p in predictions) >= taught - 30
        loop.stop()
        report = await asyncio.to_thread(loop.run, "verify", str(loop.file), "--all", "--json")
        assert (report["different"], report["unproven"], report["checked"]) == (0, 0, len(asked))

        copied = await repartition(loop.loaded.use_case, loop.settings, copy.settings, 3)
        assert copied.history == len(history)
        copy.start()
        await copy.wait_for("predictions", asked)
        await copy.wait_for("examples", due)
        await copy.wait_until_learnt([*history, *live])
        assert {p["partition"] for p in await copy.values("predictions")} <= {0, 1, 2}
        copy.stop()
        report = await asyncio.to_thread(copy.run, "verify", str(copy.file), "--all", "--json")
        assert (report["different"], report["unproven"], report["checked"]) == (0, 0, len(asked))
    finally:
        loop.close()
        copy.close()


SPREAD = [(kind, {**f, "depot": f"d{int(str(f['event_id'])[1:]) % 97}"}) for kind, f in ROWS]


def champion_error(examples: Iterable[dict[str, Any]]) -> float:
    """The mean absolute error of the champion's own values."""
    errors = [abs(e["shadows"]["linear"] - e["label"]) for e in examples]
    return sum(errors) / len(errors)


@pytest.mark.soak
async def test_a_burst_of_four_days_is_not_answered_by_old_models(
    stack: Endpoints, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """On 16 partitions and two workers, all of it learnt from the first example on, the champion
    errs at most a tenth more than in the backtest (0.97), and 3 % if each version is half an hour
    late, as is declared. Partitions that ran ahead of the learner erred 3.80; those that waited by
    the time that others had come to 1.15, on a machine of their own.
    """
    loop = Loop(stack, tmp_path, PLAIN.replace("partitions=4", "partitions=16"))
    try:
        loop.start()
        loop.start()
        began = monotonic()
        await loop.publish(SPREAD)
        await loop.wait_for("examples", [str(f["event_id"]) for k, f in SPREAD if k == "outcome"])
        live = champion_error(await loop.values("examples"))
        backtest = Backtest(loop.loaded.use_case, 16, "d")
        expected = [output for kind, fields in SPREAD for output in backtest.feed(kind, fields)]
        recorded = champion_error(orjson.loads(o.value) for o in expected if o.kind == "examples")
        record_property("burst_error_live", round(live, 3))
        record_property("burst_error_backtest", round(recorded, 3))
        record_property("burst_seconds", round(monotonic() - began, 1))
        assert live <= 1.1 * recorded
    finally:
        loop.close()
