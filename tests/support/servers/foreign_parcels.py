"""The parcels of `tests.support.loop` as other teams would publish them: own names, own partitions.

Their producer is librdkafka's, with its default partitioner (CRC32), and keyed by something else
than the use case is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.loop import SOURCE, Row

SENT, DELIVERED = "parcels.sent", "parcels.delivered"
PARTITIONS = {SENT: 5, DELIVERED: 3}
_IMPORTED = "UseCase, hours, over_outcomes"
_SOURCES = """
SOURCES = [
    Source(
        "@SENT@",
        event=lambda r: Parcel(
            event_id=r["id"],
            event_time=epoch_ms(r["sent"]),
            depot=r["from"]["depot"],
            weight=number(r["weight"]),
            miles=r["miles"],
        ),
    ),
    Source(
        "@DELIVERED@",
        outcome={"event_id": "parcel", "outcome_time": "at", "hours": "took"},
        @BY@,
    ),
]

PARCELS = UseCase(
    sources=SOURCES,
"""


def adopting(prefix: str, *, by: str = 'key="depot"', horizon: str = "hours(1_000)") -> str:
    """Return the text of the use case that adopts both topics; `by`: how outcomes are keyed.

    What is published within a second are days of event time: with a short horizon, what one
    partition of a source brings a moment later than another would be late.
    """
    text = _SOURCES.replace("@SENT@", prefix + SENT).replace("@DELIVERED@", prefix + DELIVERED)
    source = SOURCE.replace(_IMPORTED, f"Source, {_IMPORTED}, epoch_ms, number")
    source = source.replace("horizon=hours(48)", f"horizon={horizon}")
    return source.replace("\nPARCELS = UseCase(\n", text.replace("@BY@", by))


async def make_topics(servers: str, prefix: str) -> None:
    """Create both topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(prefix + name, n, 1) for name, n in PARTITIONS.items()])
    await admin.close()


class ForeignProducer:
    """Publishes rows of `parcels` as their owners would; outcomes name the depot if `keyed`."""

    def __init__(
        self,
        servers: str,
        prefix: str,
        *,
        keyed: bool = True,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        # Idempotent, so that what is tried again, as on topics that are new, keeps its order.
        settings = client or {"bootstrap.servers": servers}
        self._producer = Producer({**settings, "enable.idempotence": True})
        self._servers = servers
        self._prefix = prefix
        self._keyed = keyed
        self._depots: dict[str, str] = {}

    def publish(self, rows: Iterable[Row]) -> None:
        """Send them, keyed by the parcel's id, and wait for the broker."""
        for kind, fields in rows:
            topic, value = self._value(kind, fields)
            key = None if kind == "outcome" else fields["event_id"]
            self._producer.produce(self._prefix + topic, json.dumps(value).encode(), key)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def junk(self, value: bytes) -> None:
        """Send what is no parcel."""
        self._producer.produce(self._prefix + SENT, value, "junk")

    def expire(self, offset: int) -> None:
        """Delete what was sent of each partition before an offset, as retention does."""
        admin = AdminClient({"bootstrap.servers": self._servers})
        topic, count = self._prefix + SENT, PARTITIONS[SENT]
        deleted = admin.delete_records([TopicPartition(topic, n, offset) for n in range(count)])
        for done in deleted.values():
            done.result(30)

    def _value(self, kind: str, fields: Any) -> tuple[str, dict[str, Any]]:
        event_id = fields["event_id"]
        if kind == "event":
            self._depots[event_id] = fields["depot"]
            sent = datetime.fromisoformat(fields["event_time"])
            return SENT, {
                "id": event_id,
                "sent": int(sent.timestamp() * 1000),
                "from": {"depot": fields["depot"]},
                "weight": str(fields["weight"]),
                "miles": fields["miles"],
            }
        value = {"parcel": event_id, "at": fields["outcome_time"], "took": fields["hours"]}
        return DELIVERED, value | ({"depot": self._depots[event_id]} if self._keyed else {})
