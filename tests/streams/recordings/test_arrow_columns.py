"""Columns of Parquet and Arrow files: read by the types of the fields, each bad one named."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from schemas.errors import ConfigError, Unavailable
from tests.support.use_cases.clinic import events, faults, ids, opened, table


def _written(folder: Path, content: str | bytes, name: str = "visits.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> list[dict[str, Any]]:
    """What the same visits are in an ordinary file."""
    return events(opened(_written(tmp_path, table(), "plain.csv")))


def _columns(**columns: Any) -> pa.Table:
    times = [datetime(2024, 5, 1, hour, tzinfo=UTC) for hour in range(3)]
    return pa.table(
        {
            "event_id": ["v0", "v1", "v2"],
            "event_time": pa.array(times, pa.timestamp("ns", tz="UTC")),
            "ward": pa.array(["a", "b", "a"]).dictionary_encode(),
            "age": pa.array([Decimal("1.50"), Decimal("2"), Decimal("3.25")]),
            "beds": pa.array([1.0, 2.0, 3.0]),
            "origin": ["NA", None, "x"],
            "weight": [70.5, None, float("nan")],
        }
        | columns
    )


def _table_file(table: pa.Table, kind: str, path: Path) -> Path:
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    elif kind == "feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream"])
def test_columns_are_read_by_the_fields_types(kind: str, tmp_path: Path) -> None:
    """Decimals, whole numbers stored as floats, dictionaries, nulls, nanoseconds."""
    path = _table_file(_columns(), kind, tmp_path / "visits.data")
    one, two, three = events(opened(path))
    assert (one["age"], one["beds"], one["ward"], one["origin"]) == (1.5, 1, "a", "NA")
    assert "origin" not in two
    assert "weight" not in three
    assert three["event_time"] == "2024-05-01T02:00:00+00:00"


def test_numbers_that_are_ids_stay_exact_in_columns(tmp_path: Path) -> None:
    """A whole number in a text field is its digits."""
    path = _table_file(_columns(event_id=[2**53 + 1, 2, 3]), "parquet", tmp_path / "a")
    assert ids(opened(path))[0] == "9007199254740993"


def test_bad_columns_are_named_by_row(tmp_path: Path) -> None:
    """Local times, dates as numbers, what is missing and required."""
    naive = pa.array([datetime(2024, 5, 1, hour) for hour in range(3)])
    path = _table_file(_columns(event_time=naive), "parquet", tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"row 1, column event_time.*--zone"):
        opened(path)
    assert events(opened(path, zone="+02:00"))[0]["event_time"] == "2024-05-01T00:00:00+02:00"
    for times in ([20240501] * 3, [date(2024, 5, 1)] * 3):
        wrong = _table_file(_columns(event_time=times), "parquet", tmp_path / "b.parquet")
        with pytest.raises(ConfigError, match="column event_time"):
            opened(wrong)
    lacking = _table_file(_columns(beds=[1, None, 3]), "parquet", tmp_path / "c.parquet")
    recording = opened(lacking)
    assert "row 2, column beds" in faults(recording)[0]
    assert ids(recording) == ["v0", "v2"]


def test_without_pyarrow_columns_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text needs none."""
    path = _table_file(_columns(), "parquet", tmp_path / "a.parquet")
    text = _written(tmp_path, table())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    assert ids(opened(text)) == ["v0", "v1", "v2", "v3"]
    with pytest.raises(Unavailable, match=r"riverrun\[data\]"):
        opened(path)
