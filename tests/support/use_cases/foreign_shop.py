"""The orders and deliveries of a shop that is another team's: Avro, by their own program.

Their producer is librdkafka's with default settings: its partitioner is CRC32, orders are keyed by
their number, deliveries by nothing.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from streams.registry.schema_registry import SchemaRegistry

ITEM = {
    "type": "record",
    "name": "Item",
    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}],
}
CUSTOMER = {
    "type": "record",
    "name": "Customer",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "country", "type": {"type": "enum", "name": "Country", "symbols": ["DE", "FR"]}},
    ],
}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
TIME = {"type": "long", "logicalType": "timestamp-millis"}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "order_number", "type": "string"},
        {"name": "placed_at", "type": TIME},
        {"name": "customer", "type": CUSTOMER},
        {"name": "total", "type": MONEY},
        {"name": "items", "type": {"type": "array", "items": ITEM}},
        {"name": "coupon", "type": ["null", "string"], "default": None},
        {"name": "weight_kg", "type": ["null", "double"], "default": None},
        {"name": "express", "type": "boolean"},
        {"name": "attributes", "type": {"type": "map", "values": "string"}},
    ],
}
GROWN = {
    **ORDER,
    "fields": [*ORDER["fields"], {"name": "gift", "type": "boolean", "default": False}],
}
"""As its owners evolve it one day."""
DELIVERY = {
    "type": "record",
    "name": "Delivery",
    "namespace": "shop",
    "fields": [
        {"name": "order_number", "type": "string"},
        {"name": "delivered_at", "type": TIME},
        {"name": "hours", "type": "double"},
    ],
}
PARTITIONS = {"shop.orders": 5, "shop.deliveries": 3}
START = datetime(2026, 5, 1, tzinfo=UTC)
Row = tuple[datetime, str, str | None, dict[str, Any]]


def shop_rows(count: int) -> list[Row]:
    """Return so many orders, one every five minutes, and their deliveries; in the order of time."""
    draw = random.Random(3)
    customers = [(UUID(int=n), draw.choice(("DE", "FR"))) for n in range(20)]
    rows: list[Row] = []
    for n in range(count):
        at = START + timedelta(minutes=5 * n)
        id, country = draw.choice(customers)
        express, weight = draw.random() < 0.3, round(draw.uniform(0.1, 30), 2)
        order = {
            "order_number": f"O-{n:04}",
            "placed_at": at,
            "customer": {"id": id, "country": country},
            "total": Decimal(draw.randrange(500, 50_000)).scaleb(-2),
            "items": [{"sku": f"S{draw.randrange(50)}", "quantity": draw.randrange(1, 5)}],
            "coupon": draw.choice((None, "SPRING")),
            "weight_kg": weight if draw.random() < 0.9 else None,
            "express": express,
            "attributes": {"browser": draw.choice(("a", "b"))},
        }
        hours = round((1 if express else 6) + weight / 10 + draw.gauss(0, 0.2), 2)
        there = at + timedelta(hours=hours)
        delivery = {"order_number": f"O-{n:04}", "delivered_at": there, "hours": hours}
        rows.append((at, "shop.orders", f"O-{n:04}", order))
        rows.append((there, "shop.deliveries", None, delivery))
    return sorted(rows, key=lambda row: row[0])


class Shop:
    """Its topics, under a prefix, and its program. open → publish*."""

    def __init__(self, servers: str, registry: str, prefix: str) -> None:
        self.orders, self.deliveries = f"{prefix}shop.orders", f"{prefix}shop.deliveries"
        self._servers = servers
        self._registry = registry
        self._prefix = prefix
        self._producer = Producer({"bootstrap.servers": servers})
        self._schemas: dict[str, tuple[bytes, Any]] = {}

    async def open(self) -> None:
        """Create the topics and register their schemas."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        configs = {"retention.ms": "-1"}  # what is published is dated months ago
        topics = [
            NewTopic(self._prefix + name, n, 1, topic_configs=configs)
            for name, n in PARTITIONS.items()
        ]
        await admin.create_topics(topics)
        await admin.close()
        await self.register("shop.orders", ORDER)
        await self.register("shop.deliveries", DELIVERY)

    async def register(self, topic: str, schema: Any) -> None:
        """Write a topic's further records by that schema."""
        async with SchemaRegistry(self._registry) as registry:
            text = orjson.dumps(schema).decode()
            id = await registry.register(f"{self._prefix}{topic}-value", "AVRO", text)
        frame = b"\x00" + id.to_bytes(4, "big")
        self._schemas[topic] = frame, fastavro.parse_schema(schema)

    def publish(self, rows: list[Row]) -> None:
        """Send rows and wait for the broker."""
        for at, topic, key, row in rows:
            frame, schema = self._schemas[topic]
            stream = BytesIO()
            stream.write(frame)
            fastavro.schemaless_writer(stream, schema, row)
            self.send(topic, stream.getvalue(), key, at)
        assert self._producer.flush(60) == 0

    def send(self, topic: str, value: bytes, key: str | None, at: datetime) -> None:
        """Send one value as it is."""
        stamp = int(at.timestamp() * 1000)
        self._producer.produce(self._prefix + topic, value, key, timestamp=stamp)
        self._producer.poll(0)
