"""The loop that one would write by hand with aiokafka: at least once, no state recovery.

    python aiokafka_loop.py BOOTSTRAP TOPIC GROUP OUTPUT_PREFIX OUTPUTS

As aiokafka's documentation has it: `getmany` and a commit by hand after each batch
(https://aiokafka.readthedocs.io/en/stable/consumer.html, "Manual vs automatic committing"), `send`
without waiting for each record and `flush` before the commit
(https://aiokafka.readthedocs.io/en/stable/producer.html). OUTPUTS 1: predictions; 3: features,
predictions and examples.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from flights_models import Loop


async def main(servers: str, topic: str, group: str, prefix: str, outputs: int) -> None:
    """Consume, predict or learn, produce, commit."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5)
    await consumer.start()
    await producer.start()
    loop = Loop()
    try:
        while not stop.is_set():
            batches = await consumer.getmany(timeout_ms=200, max_records=2_000)
            for tp, records in batches.items():
                for record in records:
                    body = orjson.loads(record.value)
                    if "arr_delay" in body:
                        x, prediction = loop.outcome(tp.partition, body)
                        if outputs > 1:
                            example = {
                                "event_id": body["event_id"],
                                "outcome_time": body["outcome_time"],
                                "features": x,
                                "label": body["arr_delay"],
                                "prediction": prediction,
                            }
                            await producer.send(
                                f"{prefix}examples", orjson.dumps(example), key=record.key
                            )
                        continue
                    x, prediction = loop.event(tp.partition, body)
                    about = {"event_id": body["event_id"], "event_time": body["event_time"]}
                    if outputs > 1:
                        await producer.send(
                            f"{prefix}features",
                            orjson.dumps({**about, "features": x}),
                            key=record.key,
                        )
                    await producer.send(
                        f"{prefix}predictions",
                        orjson.dumps({**about, "value": prediction}),
                        key=record.key,
                    )
            if batches:
                await producer.flush()
                await consumer.commit()
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
