"""A use case that is written from the values of foreign topics: complete, and it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import orjson
import pytest

from models.formats.payload import WriterSchema
from models.relay.record_mapper import RecordMapper
from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from models.validation import mistakes
from models.validation.foreign_topic_profile import format_of, profile_of
from schemas.errors import ConfigError
from streams.config.use_case_loader import load
from streams.offline.foreign_draft import foreign_draft
from streams.offline.foreign_sample import foreign_profile
from streams.recordings.recording import recording_of
from tests.support.commands import Command


def orders() -> list[dict[str, Any]]:
    """Forty orders: a number as id, a time in milliseconds, a number as text, and nested."""
    return [
        {
            "id": 7_000 + n,
            "created": 1_709_280_000_000 + 60_000 * n,
            "shop": {"code": f"s{n % 4}"},
            "amount": f"{n % 9}.50",
            "class": n % 3,
            "note": None if n % 2 else "x",
            "lines": [1],
        }
        for n in range(40)
    ]


def bills(*, keyed: bool = True) -> list[dict[str, Any]]:
    """Whether each was paid, half an hour later."""
    rows: list[dict[str, Any]] = []
    for order in orders():
        bill = {"order": order["id"], "at": f"2024-03-01T09:{order['id'] % 60:02}:00+01:00"}
        rows.append(bill | {"paid": order["id"] % 3 > 0})
        if keyed:
            rows[-1]["code"] = order["shop"]["code"]
    return rows


def stored(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A file of these values, named as its topic is."""
    file = folder / f"{name}.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return f"{name}={file}"


def written(folder: Path, *named: str) -> UseCase:
    """The use case that is written from them; it has no mistakes."""
    profiles = [foreign_profile(each, lambda topic: [], lambda values: {}) for each in named]
    draft = foreign_draft("adopted", *profiles[0], *(profiles[1] if len(profiles) > 1 else ()))
    file = folder / "adopted.py"
    file.write_text(draft.text())
    loaded = load(str(file))
    assert mistakes(loaded.use_case, loaded.source) == []
    return loaded.use_case


def test_a_use_case_is_written_from_two_topics_and_runs(tmp_path: Path) -> None:
    """Ids, times in their unit, the key and numbers sent as text are seen; every record is used."""
    named = stored(tmp_path, "orders.v2", orders()), stored(tmp_path, "bills", bills())
    use_case = written(tmp_path, *named)
    assert (use_case.key, use_case.kind) == ("code", "binary")
    assert use_case.metric == "logloss"
    assert {"amount", "its_class"} <= set(use_case.features)
    recording = recording_of(use_case, named, [], lambda topic: [])
    backtest = Backtest(use_case, partitions=2, definition="d")
    kinds = [out.kind for kind, fields in recording for out in backtest.feed(kind, fields)]
    assert (kinds.count("predictions"), kinds.count("examples")) == (40, 40)
    assert "dead-letter" not in kinds


def test_outcomes_without_the_key_find_their_events_by_id(tmp_path: Path) -> None:
    """The use case keeps the key that groups its events."""
    named = (
        stored(tmp_path, "orders", orders()),
        stored(tmp_path, "bills", bills(keyed=False)),
    )
    use_case = written(tmp_path, *named)
    assert use_case.key == "code"
    assert use_case.sources[1].by_id


def test_a_profile_proposes_the_source_of_a_topic(
    riverrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Format, id, time with its unit and key, and the code to copy."""
    monkeypatch.chdir(tmp_path)
    result = riverrun("profile", stored(tmp_path, "orders.v2", orders()), "--json").json
    (source,) = result["sources"]
    assert (source["topic"], source["format"]) == ("orders.v2", "Json()")
    assert (source["id"], source["time"], source["key"]) == ("id", "created", "shop.code")
    assert 'event_time=epoch_ms(r["created"]),' in source["source"]
    assert result["records"] == 40


def test_a_profile_proposes_the_source_of_what_plain_reading_refuses(
    riverrun: Command, tmp_path: Path
) -> None:
    """Values of Confluent's wire format are no rows of a recording, but a source reads them."""
    rows = [b"\x00\x00\x00\x00\x07" + orjson.dumps(row) for row in orders()]
    file = tmp_path / "orders.jsonl"
    file.write_bytes(b"\n".join(rows))
    result = riverrun("profile", f"orders.v2={file}")
    assert result.code == 0, result.err
    assert "format=JsonSchema()," in result.out


def test_a_topic_without_outcomes_is_written_as_far_as_it_goes(tmp_path: Path) -> None:
    """What the outcome is has to be declared by hand."""
    use_case = written(tmp_path, stored(tmp_path, "orders", orders()))
    assert [source.topic for source in use_case.sources] == ["orders"]


def test_what_cannot_be_found_is_said() -> None:
    """No unique field, no time, no id of an event, no label."""
    row = {"id": 1, "at": "2024-03-01T08:00:00Z"}
    for rows, why in (
        ([row, row], "id: none is unique"),
        ([{"id": 1}, {"id": 2}], "can be the time"),
    ):
        with pytest.raises(ConfigError, match=why):
            foreign_draft("x", "t", profile_of(list(map(orjson.dumps, rows)), {}))
    events = profile_of(list(map(orjson.dumps, orders())), {})
    for rows, why in (
        ([{**row, "id": n, "y": 1.0} for n in range(3)], "the id of an event"),
        ([{"o": 7_000 + n, "at": row["at"], "s": "x"} for n in range(3)], "could be the label"),
    ):
        outcomes = profile_of(list(map(orjson.dumps, rows)), {})
        with pytest.raises(ConfigError, match=why):
            foreign_draft("x", "t", events, "o", outcomes)


CHANGE = {"before": None, "after": {"id": 1}, "op": "c", "source": {}, "ts_ms": 1}
EVENT = {"specversion": "1.0", "id": "a", "type": "t", "source": "s", "data": {}}
FORMATS = [
    (orjson.dumps({"id": 1}), "Json"),
    (b"\x00\x00\x00\x00\x07" + b'{"id": 1}', "JsonSchema"),
    (orjson.dumps(CHANGE), "Debezium"),
    (orjson.dumps({"schema": {}, "payload": CHANGE}), "Debezium"),
    (orjson.dumps({"schema": {}, "payload": {"id": 1}}), "Connect"),
    (orjson.dumps(EVENT), "CloudEvents"),
]


@pytest.mark.parametrize(("value", "name"), FORMATS)
def test_the_format_is_seen_from_the_values(value: bytes, name: str) -> None:
    """And the envelope."""
    assert type(format_of([b"junk", value], {})).__name__ == name


def test_a_format_that_is_not_seen_is_said() -> None:
    """With what to declare."""
    with pytest.raises(ConfigError, match="neither JSON nor"):
        format_of([b"junk"], {})
    with pytest.raises(ConfigError, match="SCHEMA_REGISTRY_URL"):
        format_of([b"\x00\x00\x00\x00\x07\x02a"], {})


SHOP = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "number", "type": "string"},
        {"name": "placed", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {
            "name": "customer",
            "type": {
                "type": "record",
                "name": "Customer",
                "fields": [{"name": "id", "type": {"type": "string", "logicalType": "uuid"}}],
            },
        },
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "weight", "type": ["null", "double"], "default": None},
    ],
}


def shop_rows() -> list[dict[str, Any]]:
    """Thirty orders of three customers, as their Avro schema has them."""
    return [
        {
            "number": f"O-{n}",
            "placed": datetime(2024, 3, 1, 8, n),
            "customer": {"id": UUID(int=n % 3)},
            "total": Decimal(n).scaleb(-1),
            "weight": None if n % 4 == 0 else n / 2,
        }
        for n in range(30)
    ]


def avro_values(schema: Any, rows: Sequence[dict[str, Any]]) -> tuple[list[bytes], WriterSchema]:
    """Values behind the id of their schema, and the schema."""
    parsed, values = fastavro.parse_schema(schema), []
    for row in rows:
        stream = BytesIO()
        fastavro.schemaless_writer(stream, parsed, row)
        values.append(b"\x00\x00\x00\x00\x09" + stream.getvalue())
    return values, WriterSchema(9, "AVRO", orjson.dumps(schema).decode())


def test_the_types_of_avro_are_read(tmp_path: Path) -> None:
    """A time without a zone, a UUID as key, a decimal, and a number that may be missing."""
    values, schema = avro_values(SHOP, shop_rows())
    profile = profile_of(values, {9: schema})
    assert (profile.id, profile.time, profile.key) == ("number", "placed", "customer.id")
    assert "without a zone" in profile.shown_time
    file = tmp_path / "adopted.py"
    file.write_text(foreign_draft("adopted", "shop", profile).text())
    loaded = load(str(file))
    assert mistakes(loaded.use_case, loaded.source) == []
    mapper = RecordMapper(loaded.use_case, loaded.use_case.sources[0])
    (first,), (second,) = (mapper.records(value, {9: schema}) for value in values[:2])
    assert first.key == str(UUID(int=0)).encode()
    assert orjson.loads(first.value)["weight"] is None
    assert orjson.loads(second.value) == {
        "event_id": "O-1",
        "event_time": "2024-03-01T08:01:00Z",
        "customer_id": str(UUID(int=1)),
        "total": 0.1,
        "weight": 0.5,
    }


def test_an_envelope_within_a_registered_format_is_seen() -> None:
    """Debezium's change events are often Avro."""
    names = iter(("Before", "After"))
    row = {"type": "record", "fields": [{"name": "id", "type": "int"}]}
    schema = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", {**row, "name": next(names)}]},
            {"name": "after", "type": ["null", {**row, "name": next(names)}]},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": "long"},
        ],
    }
    changes = [
        {"before": None, "after": {"id": n}, "op": "c", "ts_ms": 1_709_280_000_000 + n}
        for n in range(5)
    ]
    values, writer = avro_values(schema, changes)
    profile = profile_of(values, {9: writer})
    assert profile.format == "Debezium(Avro())"
    assert list(profile.fields) == ["id", "__op", "__source_ts_ms", "__ts_ms"]


NAMES = (
    'a"b', "a\\b", "a\nb", "{x}", " ", "", "class", "schema", "copy", "fields", "5'", "temp²", "ﬁ",
    "µ", "İx", "model_x", "A", "a", "日本", '"]+1/0+r["', "float", "event_id", "-", "--", "r",
)  # fmt: skip
"""Names that are no names in Python, hide something, or end a literal that is not quoted."""


@pytest.mark.parametrize("seldom", [False, True])
def test_names_of_others_are_text_and_never_code(tmp_path: Path, seldom: bool) -> None:
    """Whatever a foreign topic calls its fields, the written file has no mistakes and runs."""
    events = [
        {"id": f"e{n}", "at": 1_709_280_000 + n, "shop": f"s{n % 4}"}
        | {name: n + 0.5 for name in NAMES if n % 3 or not seldom}
        for n in range(40)
    ]
    answers = [{"id": f"e{n}", "at": 1_709_280_100 + n, '"v\\': n} for n in range(40)]
    named = stored(tmp_path, "odd.v1", events), stored(tmp_path, "answers", answers)
    use_case = written(tmp_path, *named)
    assert len(use_case.event.model_fields) == 3 + len(NAMES)  # id, time and shop
    recording = recording_of(use_case, named, [], lambda topic: [])
    backtest = Backtest(use_case, partitions=1, definition="d")
    kinds = [out.kind for kind, fields in recording for out in backtest.feed(kind, fields)]
    assert (kinds.count("predictions"), kinds.count("examples")) == (40, 40)


def test_what_is_left_out_of_a_draft_is_named(tmp_path: Path) -> None:
    """Lists, what is too deep, names with a dot, and what is seldom there."""
    rows = [
        {"id": f"e{n}", "at": 1_709_280_000 + n, "shop": f"s{n % 4}", "lines": [1], "a.b": 1}
        | {"deep": {"a": {"b": {"c": 1}}}, "rare": None if n else 5}
        for n in range(40)
    ]
    written(tmp_path, stored(tmp_path, "orders.v2", rows))
    text = (tmp_path / "adopted.py").read_text()
    line = next(line for line in text.splitlines() if "# Left out" in line)
    assert all(repr(name) in line for name in ("lines", "a.b", "deep.a.b", "rare"))
