"""A model whose pickle takes seconds, inside a whole worker: nobody waits for its snapshots."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from benchmarks.workers.snapshot_stalls import grown
from streams.embedded import Endpoints
from streams.snapshots.signed_format import opened
from tests.integration.faults.test_snapshots import hashes
from tests.support.loop import SOURCE, Loop, Row, parcels

pytestmark = pytest.mark.soak

RATE = 25.0  # events a second
WAIT_MS_MAX = 500
AFTER_S = 10.0
COPIES_BYTES = 100_000_000
NODES = '''class Nodes:
    """As many objects as a big forest has."""

    def __init__(self):
        self.all = [[float(n), n.to_bytes(8, "big") * 8] for n in range(700_000)]


class Heavy(base.Regressor):
    """Says what it learnt; its state is large, and changes a little with every example."""

    def __init__(self):
        self.seen = 0
        self.nodes = Nodes()

    def learn_one(self, x, y):
        self.seen += 1
        self.nodes.all[self.seen % len(self.nodes.all)][0] = y

    def predict_one(self, x):
        return self.nodes.all[self.seen % len(self.nodes.all)][0]
'''
FORESTS = '''FOREST = pathlib.Path({file!r}).read_bytes()


class Heavy(base.Regressor):
    """An adaptive random forest that learns, and as many beside it as make up a hundred megabytes,
    which one forest has after 50,000 examples.
    """

    def __init__(self):
        self.all = [pickle.loads(FOREST) for _ in range({copies})]

    def learn_one(self, x, y):
        self.all[0].learn_one(x, y)

    def predict_one(self, x):
        return self.all[0].predict_one(x)
'''


def heavy(kind: str, folder: Path) -> str:
    """The source of a use case with a heavy model."""
    if kind == "forest":
        data = pickle.dumps(grown(2_500), pickle.HIGHEST_PROTOCOL)
        file = folder / "forest.pickle"
        file.write_bytes(data)
        model = FORESTS.format(file=str(file), copies=COPIES_BYTES // len(data) + 1)
    else:
        model = NODES
    source = SOURCE.replace("def linear():", f"{model}\n\ndef linear():")
    source = source.replace(
        "from river import ", "import pathlib\nimport pickle\n\nfrom river import base, "
    )
    return source.replace('"brisk": brisk', '"heavy": Heavy').replace(
        "partitions=2", "partitions=1"
    )


KEYS: dict[str, str] = {}
"""Of each event that was sent, by its id."""


async def stream(loop: Loop, rows: Iterator[Row], done: Callable[[], bool]) -> None:
    """Events at a steady rate, each outcome behind its event, until that is so."""
    count, began = 0, monotonic()
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        for kind, fields in rows:
            if kind == "event":
                count += 1
                KEYS[fields["event_id"]] = fields["depot"]
                await asyncio.sleep(max(0.0, began + count / RATE - monotonic()))
                if done():
                    return
            topic = loop.names["events" if kind == "event" else "outcomes"]
            key = KEYS[fields["event_id"]].encode()
            await producer.send(topic, orjson.dumps(fields), key=key)


async def waits_ms(loop: Loop) -> list[int]:
    """From an event's Kafka timestamp to its prediction's."""
    asked = {
        orjson.loads(record.value)["event_id"]: record.timestamp
        for record in await loop.records("events")
    }
    return [
        record.timestamp - asked[orjson.loads(record.value)["event_id"]]
        for record in await loop.records("predictions")
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("kind", "bytes_min", "snapshots"), [("nodes", 50_000_000, 2), ("forest", 90_000_000, 1)]
)
async def test_no_prediction_waits_for_the_snapshot_of_a_heavy_model(
    stack: Endpoints, tmp_path: Path, kind: str, bytes_min: int, snapshots: int
) -> None:
    """Its pickle has more than 50 MB and is written twice, or is 100 MB of adaptive random forests
    and is written once (that takes 10 s of CPU, so the next is due in nine minutes), while events
    come steadily, and for `AFTER_S` more: none of their predictions takes more than 500 ms.
    """
    loop = Loop(stack, tmp_path, heavy(kind, tmp_path))
    written: dict[int, int] = {}

    async def watch() -> None:
        key = loop.settings.snapshot_key()
        while True:
            head: Any = await asyncio.to_thread(hashes(loop)[0].head)
            if head:
                header = opened(head, key)
                written[header.seq] = header.size
            await asyncio.sleep(0.5)

    try:
        await loop.publish([])
        loop.start()
        rows, few = iter(parcels(8_000)), iter(range(20))
        await stream(loop, rows, lambda: next(few, None) is None)
        await loop.wait_for("predictions", ["p0", "p9"])
        before = len(await waits_ms(loop))
        watching = asyncio.create_task(watch())
        await stream(loop, rows, lambda: len(written) >= snapshots)
        until = monotonic() + AFTER_S
        await stream(loop, rows, lambda: monotonic() > until)
        watching.cancel()
        loop.stop()
        waits = (await waits_ms(loop))[before:]
    finally:
        loop.close()
    print(f"{len(waits)} predictions, longest {max(waits)} ms; snapshots {written}")  # noqa: T201
    assert min(written.values()) > bytes_min
    assert max(waits) < WAIT_MS_MAX
