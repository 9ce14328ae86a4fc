"""Connect and CloudEvents."""

from __future__ import annotations

from models.formats.envelopes import CloudEvents, Connect
from tests.support.odd_values.debezium import wrapped
from tests.support.odd_values.value import as_json

CLOUD = {"specversion": "1.0", "id": "a", "type": "order.placed", "source": "/shop"}
ENVELOPES = [
    as_json("connect", wrapped({"x": 1}), {"x": 1}, Connect()),
    as_json("connect tombstone", wrapped(None), None, Connect()),
    as_json("connect without an envelope", {"x": 1}, "no Connect envelope", Connect()),
    as_json(
        "cloud event",
        {**CLOUD, "data": {"x": 1}},
        {"x": 1},
        CloudEvents(),
        x=lambda r: r["data"]["x"],
    ),
    as_json(
        "cloud event in base64",
        {**CLOUD, "datacontenttype": "application/json", "data_base64": "eyJ4IjogMX0="},
        {"x": 1},
        CloudEvents(),
        x=lambda r: r["data"]["x"],
    ),
    as_json(
        "cloud event without data",
        CLOUD,
        "KeyError: 'data'",
        CloudEvents(),
        x=lambda r: r["data"]["x"],
    ),
    as_json("cloud event that is none", {"x": 1}, "no structured CloudEvent", CloudEvents()),
]
