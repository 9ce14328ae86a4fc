"""The cost of the ids of a million relayed events: memory, and how long a recovery reads them back.

    python -P -m benchmarks.workers.id_directory --ids 1000000

Writes so many records to a topic `ids` on the embedded servers, in a folder of its own, as a relay
does, and then recovers: reads the topic and fills a fresh directory. Printed are wall-clock and CPU
seconds of both steps and what the process has grown by.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.relay.id_directory import IdDirectory
from riverrun.client.compacted_topic import newest_values
from streams.config.settings import COMPRESSION, Settings
from streams.embedded import Stack
from streams.telemetry.log_format import quieten_client

MEGABYTE = 2**20
TOPIC, MEMORY_S = "ids", 1e9


async def written(client: Mapping[str, Any], count: int) -> None:
    """Write the rows of so many events."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    directory = IdDirectory(MEMORY_S, count, 1)
    producer = AIOKafkaProducer(
        **client, compression_type=COMPRESSION, linger_ms=50, max_batch_size=1 << 18
    )
    async with producer:
        for n in range(count):
            directory.note(f"0f2c5a1e-77aa-4c5e-9d4b-{n:012}", b"customer-%d" % (n % 50_000), n)
            for row in directory.take_rows():
                await producer.send(TOPIC, row.value, row.key)


async def recovered(client: Mapping[str, Any], count: int) -> None:
    """Recover, and print what it takes."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    wall, cpu = monotonic(), process_time()
    rows = await newest_values(client, TOPIC)
    read = monotonic() - wall, process_time() - cpu
    wall, cpu = monotonic(), process_time()
    directory = IdDirectory(MEMORY_S, count, 1)
    held = list(directory.restore(rows))
    filled = monotonic() - wall, process_time() - cpu
    peak = process.memory_info().rss - before
    del rows
    gc.collect()
    grown = process.memory_info().rss - before
    assert not held
    print(f"ids           {count:,}")
    print(f"topic read    {read[0]:.1f} s, {read[1]:.1f} s of CPU")
    print(f"directory     {filled[0]:.1f} s, {filled[1]:.1f} s of CPU")
    print(f"memory        {grown / MEGABYTE:.0f} MB, {grown / count:.0f} bytes an id")
    print(f"meanwhile     {peak / MEGABYTE:.0f} MB")
    assert directory.key_of(f"0f2c5a1e-77aa-4c5e-9d4b-{count - 1:012}") is not None


async def measured(client: Mapping[str, Any], count: int) -> None:
    """Write, then recover."""
    await written(client, count)
    await recovered(client, count)


def main() -> None:
    """Measure."""
    quieten_client()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="riverrun-ids-") as name:
        stack = Stack(Path(name) / "home")
        try:
            servers = stack.up()
            settings = Settings(riverrun_home=Path(name) / "home", _env_file=None).at(
                servers.bootstrap_servers, servers.redis_url, servers.kafka_password
            )
            asyncio.run(measured(settings.kafka_client(), options.ids))
        finally:
            stack.down(purge=True)


if __name__ == "__main__":
    main()
