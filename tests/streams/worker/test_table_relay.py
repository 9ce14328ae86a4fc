"""What the relay of a reference table copies, and what it parks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.features.reference_tables import ROW_BYTES_MAX, Table
from models.inputs.decoder import PlainRecord
from schemas import records
from schemas.errors import Malformed
from schemas.topics import topic_names
from streams.config.settings import Settings
from streams.worker.table_relay import BATCH_BYTES_MAX, TableRelay
from tests.support.one_partition import use_case

STORES = Table("stores", topic="ref.stores", key="shop", time="since")
CASE = use_case(features={"size": STORES.field("size", by="shop")})
RELAY = TableRelay(CASE, STORES, Settings(), topic_names("parcels"), "group")


def record(value: Any, offset: int = 0, key: bytes | None = b"a") -> PlainRecord:
    """A record of the table's topic, a second after 1970."""
    raw = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    return PlainRecord("ref.stores", 1, offset, 1_000, key, raw)


def test_a_row_has_its_own_time_or_its_record_s():
    """And a record without a value says that the row of its Kafka key is gone."""
    row = {"shop": 7, "since": "1970-01-01T00:01:00Z"}
    assert RELAY.row(record(row)) == (STORES.identity, "7", 60.0, row)
    assert RELAY.row(record({"shop": "a"})) == (STORES.identity, "a", 1.0, {"shop": "a"})
    assert RELAY.row(record(None)) == (STORES.identity, "a", 1.0, None)


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        (b"nonsense", b"a", "no row as JSON object"),
        ([1], b"a", "no row as JSON object"),
        ({"size": 1}, b"a", "has no 'shop'"),
        ({"shop": {"a": 1}}, b"a", "has no 'shop'"),
        ({"shop": "a", "since": "soon"}, b"a", "which is no time"),
        (b'"' + b"x" * ROW_BYTES_MAX + b'"', b"a", "at most"),
        (None, None, "needs a Kafka key"),
    ],
)
def test_what_is_no_row_is_parked_in_words(value: Any, key: bytes | None, words: str):
    """The dead letter is a record as any other, and the rows beside it are copied."""
    with pytest.raises(Malformed, match=words):
        RELAY.row(record(value, key=key))
    outputs = RELAY.outputs(
        [record({"shop": "a"}), record(value, 1, key), record({"shop": "b"}, 2)]
    )
    assert [output.kind for output in outputs] == ["dead-letter", "table-rows"]
    records.DeadLetter.model_validate_json(outputs[0].value)
    rows = records.TableRows.model_validate_json(outputs[1].value).rows
    assert [key for _, key, *_ in rows] == ["a", "b"]


def test_many_rows_are_several_records():
    """Each small enough to be read with what is made of it; none is lost."""
    rows = [record({"shop": f"s{n}", "pad": "x" * 1_000}, n) for n in range(200)]
    outputs = RELAY.outputs(rows)
    assert len(outputs) > 2
    assert max(len(output.value) for output in outputs) < 1.5 * BATCH_BYTES_MAX
    copied = [row[1] for output in outputs for row in orjson.loads(output.value)["rows"]]
    assert copied == [f"s{n}" for n in range(200)]
    ids = [dict(output.headers)["ce_id"] for output in outputs]
    assert len(set(ids)) == len(ids)
