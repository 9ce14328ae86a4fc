"""Debezium as its documentation shows it, with and without the schema of its converter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.formats.converters import epoch_days, epoch_ms, epoch_us, local_time, number, unscaled
from models.formats.envelopes import Debezium
from tests.support.odd_values.value import AT, AT_MS, Odd, as_json

SOURCE = {
    **{"version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": AT_MS},
    **{"snapshot": "false", "db": "shop", "schema": "public", "table": "orders", "txId": 555},
    **{"ts_us": AT_MS * 1000, "ts_ns": AT_MS * 1_000_000, "lsn": 24023128, "xmin": None},
}
ROW = {
    "id": 7,
    "total": "BNI=",  # decimal.handling.mode=precise: 1234 of scale 2
    "total_text": "12.34",  # decimal.handling.mode=string
    "price": {"scale": 3, "value": "BNI="},  # io.debezium.data.VariableScaleDecimal
    "day": 19_783,  # io.debezium.time.Date
    "placed": AT_MS,  # io.debezium.time.Timestamp
    "placed_us": AT_MS * 1000,  # io.debezium.time.MicroTimestamp
    "placed_at": "2024-03-01T09:00:00+01:00",  # io.debezium.time.ZonedTimestamp
}


def change(op: str, **rows: Any) -> dict[str, Any]:
    """A change event."""
    rows = {"before": None, "after": None, **rows}
    stamp = {"source": SOURCE, "op": op, "ts_ms": AT_MS + 5, "transaction": None}
    return {**rows, **stamp}


def wrapped(payload: Any) -> dict[str, Any]:
    """The same as the JSON converter writes it with schemas.enable."""
    fields = [{"type": "struct", "optional": True, "field": "after", "fields": []}]
    return {
        "schema": {"type": "struct", "fields": fields, "name": "shop.orders.Envelope"},
        "payload": payload,
    }


DEBEZIUM = [
    as_json("insert", change("c", after=ROW), {"x": 7}, Debezium(), x=lambda r: r["id"]),
    as_json(
        "insert with a schema",
        wrapped(change("c", after=ROW)),
        {"x": 7},
        Debezium(),
        x=lambda r: r["id"],
    ),
    as_json("snapshot", change("r", after=ROW), {"x": "r"}, Debezium(), x=lambda r: r["__op"]),
    as_json(
        "update",
        change("u", before=ROW, after={**ROW, "id": 8}),
        {"x": 8},
        Debezium(),
        x=lambda r: r["id"],
    ),
    as_json("deletion", change("d", before=ROW), None, Debezium()),
    as_json(
        "deletion that is wanted",
        change("d", before=ROW),
        {"x": "d"},
        Debezium(deletes=True),
        x=lambda r: r["__op"],
    ),
    as_json("deletion of an unknown row", change("d"), "has no row", Debezium(deletes=True)),
    Odd("debezium tombstone", Debezium(), None, None, key=b'{"id": 7}'),
    as_json("truncation", {"source": SOURCE, "op": "t", "ts_ms": AT_MS}, None, Debezium()),
    as_json(
        "message",
        {
            "source": SOURCE,
            "op": "m",
            "ts_ms": AT_MS,
            "message": {"prefix": "a", "content": "YQ=="},
        },
        None,
        Debezium(),
    ),
    as_json(
        "decimal as bytes",
        change("c", after=ROW),
        {"x": 12.34},
        Debezium(),
        x=lambda r: unscaled(r["total"], 2),
    ),
    as_json(
        "decimal of any scale",
        change("c", after=ROW),
        {"x": 1.234},
        Debezium(),
        x=lambda r: unscaled(r["price"]["value"], r["price"]["scale"]),
    ),
    as_json(
        "decimal as text",
        change("c", after=ROW),
        {"x": 12.34},
        Debezium(),
        x=lambda r: number(r["total_text"]),
    ),
    as_json(
        "date in days",
        change("c", after=ROW),
        {"event_time": datetime(2024, 3, 1, tzinfo=UTC)},
        Debezium(),
        x=lambda r: 1,
        at=lambda r: epoch_days(r["day"]),
    ),
    as_json(
        "time in ms",
        change("c", after=ROW),
        {"event_time": AT},
        Debezium(),
        x=lambda r: 1,
        at=lambda r: epoch_ms(r["placed"]),
    ),
    as_json(
        "time in µs",
        change("c", after=ROW),
        {"event_time": AT},
        Debezium(),
        x=lambda r: 1,
        at=lambda r: epoch_us(r["placed_us"]),
    ),
    as_json(
        "time with a zone",
        change("c", after=ROW),
        {"event_time": AT},
        Debezium(),
        x=lambda r: 1,
        at=lambda r: local_time(r["placed_at"]),
    ),
    as_json(
        "time of the database",
        change("c", after=ROW),
        {"event_time": AT},
        Debezium(),
        x=lambda r: 1,
        at=lambda r: epoch_ms(r["__source_ts_ms"]),
    ),
    as_json("row alone", ROW, "no change event of Debezium", Debezium()),
]
