"""Workers with snapshots on the real servers: killed, flushed, forged; and nothing differs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from models.task.partition_task import PartitionTask
from schemas.topics import INPUTS
from streams.config.naming import group_of
from streams.embedded import Endpoints
from streams.replay.journal_fold import check_position, fold
from streams.replay.kafka_log import KafkaLog
from streams.snapshots.factory import store_of
from streams.snapshots.redis_store import RedisStore
from streams.snapshots.signed_format import opened
from tests.support.loop import SOURCE, Loop, Row, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(500)
FOREST = SOURCE.replace(
    "    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.1))\n",
    "    from river import forest\n\n    return forest.ARFRegressor(n_models=3, seed=1)\n",
)


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """One of its models is a forest with random numbers of its own."""
    assert FOREST != SOURCE
    loop = Loop(stack, tmp_path, FOREST)
    try:
        yield loop
    finally:
        loop.close()


def keyed(rows: list[Row]) -> list[Row]:
    """Each outcome with the key of its event."""
    keys = {f["event_id"]: f["depot"] for kind, f in ROWS if kind == "event"}
    return [(kind, {**f, "depot": keys[f["event_id"]]}) for kind, f in rows]


def hashes(loop: Loop) -> list[RedisStore]:
    """The stored snapshots."""
    assert loop.settings.redis_url is not None
    client = redis.Redis.from_url(loop.settings.redis_url.get_secret_value())
    return [RedisStore(client, group_of(loop.loaded, loop.settings), n) for n in range(2)]


def seqs(loop: Loop) -> list[int]:
    """Of which entries they are; -1 if there is none."""
    key = loop.settings.snapshot_key()
    return [opened(head, key).seq if (head := h.head()) else -1 for h in hashes(loop)]


async def snapshots(loop: Loop, after: list[int], within_s: float = 120.0) -> list[int]:
    """Wait until both are newer; a busy machine takes its time to start a worker."""
    began = monotonic()
    while not all(now > before for now, before in zip(seqs(loop), after, strict=True)):
        assert monotonic() - began < within_s, loop.log()
        await asyncio.sleep(0.1)
    return seqs(loop)


def ids(rows: list[Row], kind: str) -> list[str]:
    """Their ids."""
    return [str(fields["event_id"]) for of, fields in rows if of == kind]


async def live(loop: Loop, rows: list[Row]) -> None:
    """Publish, and wait until all is answered and learnt."""
    await loop.publish(keyed(rows))
    await loop.wait_for("predictions", ids(rows, "event"))
    await loop.wait_for("examples", ids(rows, "outcome"))


def fresh(loop: Loop, partition: int) -> PartitionTask:
    """A task at the beginning."""
    loaded = loop.loaded
    return PartitionTask(
        loaded.use_case, partition=partition, partitions=2, definition=loaded.definition
    )


async def folded(loop: Loop, task: PartitionTask) -> tuple[PartitionTask, list[bytes]]:
    """Roll a task forward to the journal's end; gives what it said on the way, too."""
    names = loop.names
    log = KafkaLog(
        loop.settings.kafka_client(),
        journal=names["journal"],
        inputs=[names[kind] for kind in INPUTS],
        partition=task.partition,
    )
    outputs: list[bytes] = []
    await log.start()
    try:
        await fold(task, log, on_outputs=lambda out: outputs.extend(o.value for o in out))
        check_position(task, await log.last())
    finally:
        await log.close()
    return task, outputs


@pytest.mark.usefixtures("as_deep_as_a_worker")
async def test_killed_between_snapshots_and_resumed_bit_for_bit(loop: Loop) -> None:
    """kill -9 again and again amid load: it resumes from snapshots, and every prediction ever
    made is what a fold of the journal from its beginning gives, byte for byte.
    """
    loop.start()
    rows, newest = ROWS[:800], [-1, -1]
    await live(loop, rows[:100])
    for start in range(100, 700, 150):
        newest = await snapshots(loop, newest)
        publishing = asyncio.create_task(live(loop, rows[start : start + 150]))
        await asyncio.sleep(0.7)
        loop.workers[-1].kill()
        loop.workers[-1].wait()
        loop.start()
        await publishing
    loop.stop()
    report = loop.run("verify", str(loop.file), "--all", "--json")
    answered = ids(rows[:700], "event")
    assert (report["checked"], report["different"]) == (len(answered), 0)
    for partition in range(2):
        from_start, all_outputs = await folded(loop, fresh(loop, partition))
        loaded = await store_of(loop.loaded, loop.settings, partial(fresh, loop)).load(partition)
        assert loaded.seq > 0
        from_snapshot, outputs = await folded(loop, loaded)
        assert outputs == all_outputs[len(all_outputs) - len(outputs) :]
        assert _alike(from_snapshot, from_start)


def _alike(one: PartitionTask, other: PartitionTask) -> bool:
    from tests.support.one_partition import dump

    return bool(dump(one) == dump(other))


async def test_flushed_it_is_rebuilt_and_forged_it_is_refused(loop: Loop) -> None:
    """FLUSHALL, then a forged header: both are said, and nothing differs."""
    loop.start()
    await live(loop, ROWS[:200])
    await snapshots(loop, [-1, -1])
    loop.stop()
    _flush(loop)
    loop.start()
    await live(loop, ROWS[200:300])
    await snapshots(loop, [-1, -1])
    loop.stop()
    for stored in hashes(loop):
        head = bytearray(stored.head() or b"")
        head[-3] ^= 1
        stored._client.hset(stored.key, "head", bytes(head))
    loop.start()
    await live(loop, ROWS[300:400])
    status: Any = loop.run("status", str(loop.file), "--json")
    origins = [p["snapshot"]["recovered_from"] for w in status["workers"] for p in w["partitions"]]
    loop.stop()
    assert any("signature does not hold" in text for text in origins), origins
    assert "signature does not hold" in loop.log()
    report = loop.run("verify", str(loop.file), "--all", "--json")
    assert (report["checked"], report["different"]) == (len(ids(ROWS[:400], "event")), 0)


async def test_the_archive_reaches_back_where_the_log_is_gone(loop: Loop) -> None:
    """Redis flushed and the journal's beginning deleted: the archive alone makes it go on. With
    the whole journal deleted nobody knows the position, and the worker refuses.
    """
    archive = loop.folder / "archive"
    loop.environment["RIVERRUN_ARCHIVE"] = f"file://{archive}"
    loop.start()
    await live(loop, ROWS[:200])
    began = monotonic()
    while len(list(archive.rglob("*.snapshot"))) < 2:
        assert monotonic() - began < 90, loop.log()
        await asyncio.sleep(0.2)
    newest = {int(p.parent.name): int(p.name.split("-")[0]) for p in archive.rglob("*.snapshot")}
    await live(loop, ROWS[200:260])
    loop.stop()
    _flush(loop)
    for partition, seq in newest.items():
        await _forget(loop, partition, seq)
    loop.start()
    await live(loop, ROWS[260:300])
    status: Any = loop.run("status", str(loop.file), "--json")
    origins = [p["snapshot"]["recovered_from"] for w in status["workers"] for p in w["partitions"]]
    assert [text.startswith("the archive, entry ") for text in origins] == [True, True]
    loop.stop()
    await _forget(loop, 0, None)
    loop.start()
    assert loop.workers[-1].wait(90) == 4
    assert "all of them were deleted" in loop.log()


def _flush(loop: Loop) -> None:
    for stored in hashes(loop):
        stored._client.delete(stored.key)


async def _forget(loop: Loop, partition: int, seq: int | None) -> None:
    """Delete the journal below an entry, or all of it."""
    journal = TopicPartition(loop.names["journal"], partition)
    below = -1
    if seq is not None:
        records = [r for r in await loop.records("journal") if r.partition == partition]
        below = records[seq].offset
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    await admin.delete_records({journal: RecordsToDelete(before_offset=below)})
    await admin.close()
