"""Records that a relay carries for each second of its CPU on a real Kafka, fetching and all.

python -P -m benchmarks.workers.relay_kafka                    # two minutes

The relay that a worker runs, alone in this process: it fetches, decodes, maps, batches, compresses
and commits. The broker is another process, and is not counted. CPU time of this process, so that
what else the machine does counts less; records/s by the clock are beside it, and are what this
machine allows. The first round of each warms up and is not shown.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from benchmarks.servers import servers
from benchmarks.workers.relay import FIELDS, Departed, departed, departures
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.events import Outcome
from schemas.topics import topic_names
from streams.config.settings import COMPRESSION
from streams.config.use_case_loader import load
from streams.registry.known_schemas import KnownSchemas
from streams.sources.relay import Relay
from streams.sources.relay_plan import RelayPlan
from streams.telemetry.measurements import Measurements

PARTITIONS, ROUNDS, COPIES = 4, 3, 1
FOREIGN = "departures.v2"


class Landed(Outcome):
    """An outcome that the id alone leads to its event."""

    delay: float


class Member:
    """A group's member that nobody fences."""

    async def still_member(self, generation: int) -> bool:
        """Return True."""
        return True


async def create(bootstrap: str, names: Mapping[str, int]) -> None:
    """Create topics of so many partitions each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    configs = {"retention.ms": "-1"}
    topics = [NewTopic(name, count, 1, topic_configs=configs) for name, count in names.items()]
    await admin.create_topics(topics)
    for _ in range(300):  # until every partition has a leader
        described = await admin.describe_topics(list(names))
        if not any(
            part["error_code"] for topic in described for part in (topic, *topic["partitions"])
        ):
            break
        await asyncio.sleep(0.2)
    await admin.close()


def publish(bootstrap: str) -> int:
    """Send the departures, as another team's program would; return how many."""
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4"})
    records = departures() * COPIES
    for n, record in enumerate(records):
        while True:
            try:
                producer.produce(FOREIGN, record.value, str(n))
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
    return len(records)


async def relayed(relay: Relay, count: int) -> None:
    """Return once so many records are relayed."""
    for _ in range(60_000):
        if relay.runner is not None and relay.runner.records >= count:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{count} records were not relayed")


async def carried(plan: RelayPlan, count: int) -> tuple[float, float]:
    """Relay all records; return records for each second of CPU, and by the clock."""
    relay = Relay(
        plan,
        1,
        Member(),  # type: ignore[arg-type]
        counts=lambda: {FOREIGN: PARTITIONS},
        schemas=KnownSchemas(None),
        measures=Measurements(),
    )
    running = asyncio.create_task(relay.run())
    await relayed(relay, 1)
    assert relay.runner is not None
    began, clock, first = process_time(), perf_counter(), relay.runner.records
    await relayed(relay, count)
    cpu, took = process_time() - began, perf_counter() - clock
    relay.stop()
    await running
    return (count - first) / cpu, (count - first) / took


async def measure(bootstrap: str, use_case: UseCase, source: Source, count: int) -> list[Any]:
    """Return the rates of all rounds but the first, each into topics of its own."""
    rates = []
    for _ in range(ROUNDS):
        prefix = f"relay-{uuid4().hex[:6]}."
        names = topic_names(use_case.name, prefix=prefix)
        single = ("relay", "ids", "schemas")
        kinds = (*single, "events", "outcomes", "dead-letter")
        counts = {names[kind]: 1 if kind in single else PARTITIONS for kind in kinds}
        await create(bootstrap, counts)
        plan = RelayPlan(
            replace(use_case, sources=[source]),
            {"bootstrap_servers": bootstrap},
            names,
            prefix,
            PARTITIONS,
            "bench",
            compression=COMPRESSION,
        )
        rates.append(await carried(plan, count))
    return rates[1:]


async def main(bootstrap: str) -> None:
    """Print the median and the best round, for each way to map."""
    use_case = replace(load("flight_eta").use_case, event=Departed, outcome=Landed, key="origin")
    landed = {"event_id": "flight.id", "outcome_time": "left", "delay": "delay"}
    sources = {
        "a function": Source(FOREIGN, event=departed),
        "a dictionary": Source(FOREIGN, event=FIELDS),
        "event and outcome by id": Source(FOREIGN, event=FIELDS, outcome=landed, by="event_id"),
    }
    await create(bootstrap, {FOREIGN: PARTITIONS})
    count = await asyncio.to_thread(publish, bootstrap)
    print(f"{count:,} records on {PARTITIONS} partitions; for each second of CPU, and by the clock")
    print(f"{'mapped by':<26}{'median':>10}{'best':>10}{'by clock':>12}")
    for name, source in sources.items():
        rates = await measure(bootstrap, use_case, source, count)
        cpu = [rate for rate, _ in rates]
        clock = median(rate for _, rate in rates)
        print(f"{name:<26}{median(cpu):>10,.0f}{max(cpu):>10,.0f}{clock:>12,.0f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, servers(Path(home), purge=True) as stack:
        asyncio.run(main(stack.bootstrap_servers))
