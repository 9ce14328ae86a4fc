"""`riverrun rollback --as-of` on the real servers: back as it was, and exact for ever after."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from pydantic import SecretStr

from streams.embedded import Endpoints
from streams.inspection.audit_trail import AuditEntry, audited
from streams.operations.command_sender import new_command, send_command
from streams.replay.verify import Verifier
from tests.support.loop import Loop, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(200)
PROMOTED, BACK = 220, 310
"""Records after which the other model is promoted, and the first one returns."""


def ids(kind: str, rows: list[Any]) -> list[str]:
    """The events of those records."""
    return [str(fields["event_id"]) for name, fields in rows if name == kind]


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case whose other model was promoted and has served for a while."""
    loop = Loop(stack, tmp_path_factory.mktemp("parcels"))
    try:
        loop.start()
        asyncio.run(lived(loop, 0, PROMOTED))
        wish = new_command("promote", who="eve@example.com", why="it learns fast", model="brisk")
        done = asyncio.run(send_command(wish, loop.settings, loop.names, timeout_s=60))
        assert done.applied
        asyncio.run(lived(loop, PROMOTED, BACK))
        yield loop
    finally:
        loop.close()


async def lived(loop: Loop, first: int, last: int) -> None:
    """Publish those records and wait until they are answered and learnt."""
    keys = {f["event_id"]: f["depot"] for kind, f in ROWS if kind == "event"}
    rows = ROWS[first:last]
    await loop.publish([(kind, {**f, "depot": keys[f["event_id"]]}) for kind, f in rows])
    await loop.wait_for("predictions", ids("event", rows))
    await loop.wait_for("examples", ids("outcome", rows))


def learnt(value: dict[str, Any]) -> int:
    """Examples that the model of a prediction had behind it."""
    return int(value["model"].rpartition("#")[2])


@pytest.mark.timeout(600)
async def test_the_champion_before_returns_as_it_was_at_the_place_that_history_prints(
    loop: Loop,
) -> None:
    """In every partition, as at the promotion; after a kill and a lost Redis the new worker goes on
    from the same, and every prediction is derived again, none different. With another key it is
    "cannot prove", never "different".
    """
    (act,) = await acts(loop)
    positions = {int(p.split("/")[0]): p for p in act.positions}
    assert sorted(positions) == [0, 1]
    asked = ("--as-of", ",".join(positions.values()), "--why", "a test", "--json")
    back = await asyncio.to_thread(loop.run, "rollback", str(loop.file), *asked)
    assert (back["applied"], back["model"]) == ([0, 1], "linear")
    for worker in loop.workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    loop.lose_redis()
    loop.start()
    await lived(loop, BACK, len(ROWS))
    predictions = await loop.values("predictions")
    for partition, position in positions.items():
        own = [v for v in predictions if v["partition"] == partition and "linear@" in v["model"]]
        step = int(position.split("/")[1])
        before = [v for v in own if v["step"] < step]
        after = [v for v in own if v["step"] > step]
        assert before, "it answered before"
        assert after, "and again"
        assert 0 <= learnt(after[0]) - learnt(before[-1]) < 20, "not what it learnt meanwhile"
        assert learnt(after[-1]) > learnt(after[0]), "and goes on to learn"
    proof = await Verifier(loop.settings, loop.names).every()
    assert (proof.different, proof.unproven, proof.reasons) == (0, 0, [])
    assert proof.checked == len(predictions)
    told = [act.what for act in await acts(loop)]
    assert told == ["promote brisk", f"rollback linear as of {', '.join(sorted(act.positions))}"], (
        "alone"
    )
    other = {"riverrun_snapshot_key": SecretStr("another key, long enough")}
    strange = loop.settings.model_copy(update=other)
    trusted = [loop.loaded.source]
    unproved = await Verifier(strange, loop.names, trusted=trusted).every()
    assert unproved.different == 0
    assert 0 < unproved.checked < len(predictions), "what came before is proved all the same"
    assert any("put models back" in reason for reason in unproved.reasons)


async def acts(loop: Loop) -> list[AuditEntry]:
    """The commands of the audit trail."""
    return [act for act in await audited(loop.settings, loop.names) if act.kind == "command"]


@pytest.mark.parametrize(
    ("position", "code", "words"),
    [
        ("7/12", 5, "there is no partition 7"),
        ("0/99999999", 1, "has not taken 99999999 records"),
        ("yesterday", 5, "neither a place nor a time"),
    ],
)
def test_a_place_that_is_none_is_said_and_nothing_is_sent(
    loop: Loop, position: str, code: int, words: str
) -> None:
    """Before any command goes out."""
    before = len(asyncio.run(loop.records("commands")))
    result = loop.run("rollback", str(loop.file), "--as-of", position, "--why", "a test", code=code)
    assert words in " ".join(result.split())
    assert len(asyncio.run(loop.records("commands"))) == before


async def test_where_the_log_does_not_reach_back_it_is_said(loop: Loop) -> None:
    """Part of the journal was deleted: exit code 6, the cause, and nothing is sent."""
    journal = await loop.records("journal")
    records = [record for record in journal if record.partition == 0]
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    tp = TopicPartition(loop.names["journal"], 0)
    await admin.delete_records({tp: RecordsToDelete(before_offset=records[3].offset)})
    await admin.close()
    before = len(await loop.records("commands"))
    asked = ("rollback", str(loop.file), "--as-of", "0/1,1/1", "--model", "linear")
    result = await asyncio.to_thread(loop.run, *asked, "--why", "a test", code=6)
    assert "the journal is kept from entry" in " ".join(result.split())
    assert len(await loop.records("commands")) == before
