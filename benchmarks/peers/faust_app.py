"""Faust as its documentation writes it: an agent over a topic, `send` for each answer.

    python faust_app.py worker -l warning --without-web

(https://faust-streaming.github.io/faust/userguide/agents.html, `stream.events()` for the partition,
and .../userguide/channels.html.) At least once, no recovery of the models.
"""

from __future__ import annotations

import os

import faust
from flights_models import Loop

app = faust.App(
    os.environ["BENCH_GROUP"],
    broker="kafka://" + os.environ["BENCH_BROKERS"],
    value_serializer="json",
    topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
    broker_max_poll_records=1_000,
)
flights = app.topic(os.environ["BENCH_TOPIC"], key_type=bytes, value_type=None)
predictions = app.topic(os.environ["BENCH_OUTPUT"], key_type=bytes)
loop = Loop()


@app.agent(flights, name=os.environ["BENCH_GROUP"] + "-agent")
async def answer(stream: faust.StreamT) -> None:
    """Predict or learn each record."""
    async for event in stream.events():
        prediction = loop.record(event.message.tp.partition, event.value)
        if prediction is not None:
            await predictions.send(key=event.key, value=prediction)


if __name__ == "__main__":
    app.main()
