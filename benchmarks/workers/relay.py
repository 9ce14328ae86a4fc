"""Records a relay carries for each second of CPU: decoded, mapped, keyed, batched and compressed.

python -P -m benchmarks.workers.relay             # half a minute

Without the broker: what is left out is fetching (aiokafka's C parser) and the network. CPU time of
this process, so that what else the machine does counts less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from time import process_time
from typing import Any

import orjson
from faust.types import TP

from models.formats.converters import local_time
from models.inputs.decoder import PlainRecord
from models.inputs.merge_order import choose_earliest
from models.relay.relay_task import RelayInput, RelayTask
from models.spec.source import Source
from schemas.events import Event
from schemas.topics import topic_names
from streams.config.settings import COMPRESSION
from streams.config.use_case_loader import load
from streams.kafka.faust_transport import Batch
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.partition.intake import Intake

RECORDS, ROUNDS, BATCH = 40_000, 5, 2_000
START = datetime(2024, 3, 1, tzinfo=UTC)


Carry = Callable[[list[PlainRecord], TransactionalWriter], int]


class Departed(Event):
    """A departure, with the fields that the use case wants."""

    origin: str
    dest: str
    carrier: str
    distance: int
    delay: float


def departed(r: Any) -> Departed:
    """Map a departure as an author would."""
    return Departed(
        event_id=r["flight"]["id"],
        event_time=local_time(r["left"]),
        origin=r["origin"],
        dest=r["dest"],
        carrier=r["flight"]["carrier"],
        distance=r["distance"],
        delay=r["delay"],
    )


FIELDS = {
    "event_id": "flight.id",
    "event_time": "left",
    "origin": "origin",
    "dest": "dest",
    "carrier": "flight.carrier",
    "distance": "distance",
    "delay": "delay",
}


class Ends:
    """Inputs that are always at their end."""

    def stable(self, tp: TP) -> int | None:
        """Return an end that was reached."""
        return 0


def departures() -> list[PlainRecord]:
    """Flights as another team may publish them."""
    draw = Random(1)
    records = []
    for n in range(RECORDS):
        row = {
            "flight": {"id": f"f{n}", "carrier": draw.choice("ABCDE"), "tail": f"N{n % 4_000}"},
            "left": (START + timedelta(seconds=n)).isoformat(),
            "origin": draw.choice(("EWR", "JFK", "LGA")),
            "dest": f"D{n % 100}",
            "distance": draw.randrange(100, 3_000),
            "delay": round(draw.uniform(-20, 60), 1),
            "remarks": "x" * 60,
        }
        records.append(
            PlainRecord("departures.v2", 0, n, 1_709_280_000_000, None, orjson.dumps(row))
        )
    return records


def relayed(
    use_case: Any, source: Source
) -> Callable[[list[PlainRecord], TransactionalWriter], int]:
    """Return what carries records as far as the bytes that a broker is sent."""
    inputs = [RelayInput(source, 0)]
    task = RelayTask(use_case, inputs, partitions=8, definition="bench", schemas={})

    def carry(records: list[PlainRecord], writer: TransactionalWriter) -> int:
        intake = Intake(
            0,
            [TP("departures.v2", 0)],
            Ends(),
            choose=choose_earliest,
            aligned=(0,),
            alignment_wait_s=0.0,
            clock=lambda: 0.0,
        )
        task.resume(None)
        intake.reset(task, [0])
        sent = 0
        for at in range(0, len(records), BATCH):
            some = records[at : at + BATCH]
            intake.accept(Batch("departures.v2", 0, at, at + len(some), None, some))
            intake.take(BATCH, 1.0)
            for batch in writer._batches(intake.outputs):
                batch.builder.close()
                sent += len(batch.outputs)
            task.seal()
            intake.clear()
        return sent

    return carry


async def main() -> None:
    """Print, for a function and for a dictionary of fields, the median and the best round."""
    use_case = replace(load("flight_eta").use_case, event=Departed, key="origin")
    sources = {
        "a function": Source("departures.v2", event=departed),
        "a dictionary": Source("departures.v2", event=FIELDS),
    }
    records = departures()
    print(f"{'mapped by':<14}{'median':>10}{'best':>10}  records for each second of CPU")
    for name, source in sources.items():
        carry, rates = relayed(use_case, source), []
        for _ in range(ROUNDS):
            writer = TransactionalWriter(
                {"bootstrap_servers": "127.0.0.1:9"},
                transactional_id="bench",
                partition=0,
                topics=topic_names("bench"),
                limits=Limits(),
                compression=COMPRESSION,
            )
            began = process_time()
            assert carry(records, writer) == RECORDS
            rates.append(RECORDS / (process_time() - began))
            await writer.close()
        print(f"{name:<14}{median(rates):>10,.0f}{max(rates):>10,.0f}")


if __name__ == "__main__":
    asyncio.run(main())
