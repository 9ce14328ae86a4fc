"""Quix Streams: a streaming data frame, at least once or exactly once; no recovery of the models.

    python quix_app.py BOOTSTRAP TOPIC GROUP OUTPUT GUARANTEE

As its documentation has it: `app.dataframe`, `apply(expand=True)`, `to_topic`
(https://quix.io/docs/quix-streams/processing.html), the partition from `message_context()`
(https://quix.io/docs/quix-streams/advanced/processing-context.html or `metadata=True`).
"""

from __future__ import annotations

import sys
from typing import Any

from flights_models import Loop
from quixstreams import Application, message_context


def main(servers: str, topic: str, group: str, output: str, guarantee: Any) -> None:
    """Run until stopped."""
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        loglevel="WARNING",
    )
    loop = Loop()

    def step(body: dict[str, Any]) -> list[dict[str, Any]]:
        prediction = loop.record(message_context().partition, body)
        return [] if prediction is None else [prediction]

    flights = app.topic(topic, value_deserializer="json", key_deserializer="bytes")
    predictions = app.topic(output, value_serializer="json", key_serializer="bytes")
    app.dataframe(flights).apply(step, expand=True).to_topic(predictions)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:6])
