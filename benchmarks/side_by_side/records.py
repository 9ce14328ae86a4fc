"""The records that every system reads: flights and their arrivals, keyed by aircraft.

Riverrun reads two topics and aligns them itself. The peers are given one topic that holds both
kinds in the order of their times, the kindest input for them: none of them aligns topics.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.side_by_side.environments import PEERS
from schemas.partitioner import partition_of
from usecases.data import nycflights

PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "4"))
BOTH, EVENTS, OUTCOMES = "bench.flights", "bench.events", "bench.outcomes"

Row = tuple[int, bytes, dict[str, Any]]
"""(partition, key, body); a body with `arr_delay` is an outcome."""


def rows(limit: int) -> Iterator[Row]:
    """The first so many flights with a tail number, and their arrivals, in the order of times."""
    places: dict[str, tuple[int, bytes]] = {}
    left, temp = limit, 40.0
    for kind, fields in nycflights.flights():
        name = fields["event_id"]
        if kind == "event":
            if fields["tailnum"] is None or not left:
                continue
            left -= 1
            temp = temp if fields["temp"] is None else fields["temp"]
            key = fields["tailnum"].encode()
            places[name] = partition_of(key, PARTITIONS), key
            yield *places[name], _event(fields, temp)
        elif name in places:
            outcome_time, delay = fields["outcome_time"], float(fields["arr_delay"])
            body = {"event_id": name, "outcome_time": outcome_time, "arr_delay": delay}
            yield *places.pop(name), body
        if not left and not places:
            return


def _event(fields: dict[str, Any], temp: float) -> dict[str, Any]:
    names = ("event_id", "event_time", "tailnum", "carrier", "origin", "dest")
    numbers = ("minute_of_day", "block", "distance", "dep_delay")
    return {
        **{name: fields[name] for name in names},
        "hour": f"{fields['hour']}h",
        "weekday": f"d{fields['weekday']}",
        **{name: float(fields[name]) for name in numbers},
        "temp": temp,
    }


def write(path: Path, events: int) -> None:
    """The same records as a file for River alone."""
    with path.open("w") as file:
        for partition, _, body in rows(events):
            file.write(json.dumps([partition, body]) + "\n")


def expected(python: Path, path: Path) -> dict[str, float]:
    """What River alone says of each event, which everybody else must say, to the last bit."""
    command = [str(python), str(PEERS / "river_alone.py"), str(path), "1", "--say"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    predictions: dict[str, float] = json.loads(text)
    return predictions


async def make_topics(servers: str, names: list[str], **config: str) -> None:
    """Create them, each with the benchmark's partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics(
        [NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in names]
    )
    while any(  # noqa: ASYNC110 - it is the broker that is waited for
        topic["error_code"] or any(p["error_code"] for p in topic["partitions"])
        for topic in await admin.describe_topics(names)
    ):
        await asyncio.sleep(0.05)
    await admin.close()


async def publish(servers: str, events: int) -> None:
    """Send all of it, before anybody reads."""
    await make_topics(servers, [BOTH, EVENTS, OUTCOMES], **{"retention.ms": "-1"})
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, linger_ms=20, max_batch_size=64 << 10, acks="all"
    )
    await producer.start()
    for partition, key, body in rows(events):
        value, own = orjson.dumps(body), OUTCOMES if "arr_delay" in body else EVENTS
        await producer.send(BOTH, value, key=key, partition=partition)
        await producer.send(own, value, key=key, partition=partition)
    await producer.stop()
