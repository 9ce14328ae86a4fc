"""Captured Parquet: its columns, and which files may be beside which."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from models.spec.personal_data import NOTHING, masking_of
from schemas.errors import Incompatible, Unavailable
from schemas.topics import BY_KIND
from streams.offline.parquet_capture import Folder, OffsetRange
from streams.recordings.arrow_columns import Rows, fit, schema, type_of, types_in, types_of
from tests.models.spec.test_personal_data import EVENT, people
from tests.support.one_partition import delivery, order, use_case

PLACE = TopicPartition("parcels.examples", 3)


def record(offset: int, key: str | None = "a") -> Any:
    """A record's own part."""
    return SimpleNamespace(offset=offset, timestamp=1_700_000_000_000, key=key and key.encode())


def table(kind: str, values: list[Any], case: Any = None, masking: Any = NOTHING) -> Any:
    """Those values as a table."""
    kinds = types_of(case or use_case(), kind, [v for v in values if isinstance(v, dict)])
    rows = Rows(kind, kinds, masking)
    for offset, value in enumerate(values):
        rows.add(record(offset), value)
    return rows.table(schema(kinds, {}))


EXAMPLE = {
    "event_id": "o1", "event_time": "2020-01-01T00:00:00+00:00", "outcome_time": None,
    "features": {"weight": 2.0, "items": 1, "colour": "red", "recent": 3, "per item": 2},
    "label": 7.5, "prediction": 5.0, "baseline": 5, "shadows": {"linear": 6.5, "tree": None},
    "served_by": "champion", "segment": "1", "delay_s": 60.0, "weight": 1.0, "learnt": True,
    "source": "outcome", "kpi": 2.5, "step": 9, "partition": 3,
}  # fmt: skip


def test_an_example_is_a_row_with_one_column_a_feature() -> None:
    """Numbers are numbers, so that a learner takes the columns as they are."""
    example_rows = table("examples", [EXAMPLE])
    row = example_rows.to_pylist()[0]
    assert row["features.weight"] == 2.0
    assert (row["features.items"], row["features.colour"], row["label"]) == (1, "red", 7.5)
    assert row["features.recent"] == 3.0
    assert row["features.worst"] is None
    assert row["shadows"] == '{"linear":6.5,"tree":null}'
    assert row["other"] is None
    assert row["event_time"].isoformat() == "2020-01-01T00:00:00+00:00"
    types = {field.name: str(field.type) for field in example_rows.schema}
    assert types["features.recent"] == types["features.per item"] == "double"
    assert types["features.items"] == "int64"
    assert list(types)[:3] == ["kafka_offset", "kafka_time", "kafka_key"]


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_kind_of_topic_has_a_schema_that_is_read_back(kind: str) -> None:
    """From its model alone, and the same again from a file's metadata."""
    kinds = types_of(use_case(), kind)
    example_schema = schema(kinds, {})
    assert types_in(example_schema) == kinds
    assert example_schema.names == list(kinds)


def test_the_schema_is_the_same_whatever_comes() -> None:
    """What does not fit is in `other`; nothing is lost, refused or given another type."""
    odd = EXAMPLE | {
        "features": {"weight": "heavy", "items": 2.5, "new": 1.5, "recent": 1, "colour": None},
        "segment": 17,
        "unknown": [1],
    }
    kinds = types_of(use_case(), "examples", [EXAMPLE])
    rows = Rows("examples", kinds, NOTHING)
    for offset, value in enumerate([EXAMPLE, odd, None, "no JSON", 12]):
        rows.add(record(offset), value)
    restored = rows.table(schema(kinds, {})).to_pylist()
    assert restored[0]["features.weight"] == 2.0
    assert restored[1]["features.weight"] is None
    for part in ('"features.weight":"heavy"', '"features.new":1.5', '"segment":17', '"unknown"'):
        assert part in restored[1]["other"]
    assert restored[2]["other"] is None
    assert (restored[3]["other"], restored[4]["other"]) == ('{"value":"no JSON"}', '{"value":12}')


def test_predictions_have_their_bounds_as_columns() -> None:
    """An interval is two numbers, not a list."""
    row = table("predictions", [{"interval": [1.0, 2.5], "value": 2}]).to_pylist()[0]
    assert (row["interval_lower"], row["interval_upper"], row["value"]) == (1.0, 2.5, 2.0)


def test_history_has_the_fields_of_both() -> None:
    """Events and outcomes are on one topic."""
    rows = table("history", [order("o1", 0), delivery("o1", 60)]).to_pylist()
    assert (rows[0]["weight"], rows[0]["took"]) == (2.0, None)
    assert (rows[1]["weight"], rows[1]["took"]) == (None, 7.0)


def test_personal_data_is_not_captured() -> None:
    """Text is masked, a number is absent; JSON of nested models has its own masks."""
    case = people()
    row = table("events", [EVENT], case, masking_of(case)).to_pylist()[0]
    assert (row["buyer"], row["income"]) == ("***", None)
    assert "Lane" not in str(row)
    assert row["shop"] == "a"
    assert row["other"] == '{"country":"NL"}'


def test_types_of_fields() -> None:
    """What is plain has its own type, all else is JSON."""
    assert type_of(int | float | None) == "float"
    assert type_of(int | str) == "json"
    assert fit(["a", 1], "texts") is None
    assert fit("yesterday", "time") is None


# Files.


def write(folder: Folder, first: int, following: int) -> str:
    """A file of that range."""
    return folder.write(PLACE, OffsetRange(first, following), table("examples", [EXAMPLE]))


def test_what_is_there_says_where_to_go_on(tmp_path: Path) -> None:
    """Ranges in their order; what is unfinished, or another's, is not looked at."""
    folder = Folder(str(tmp_path))
    assert folder.ranges(PLACE) == []
    assert folder.types([PLACE]) is None
    write(folder, 10, 12)
    write(folder, 0, 10)
    Path(folder.of(PLACE), f".{OffsetRange(12, 20).name}.unfinished").write_bytes(b"PAR1")
    Path(folder.of(PLACE), "notes.txt").write_text("mine")
    assert folder.ranges(PLACE) == [OffsetRange(0, 10), OffsetRange(10, 12)]
    assert folder.types([PLACE]) == types_of(use_case(), "examples", [EXAMPLE])


@pytest.mark.parametrize("second", [(5, 15), (12, 20)])
def test_ranges_that_overlap_or_leave_a_gap_are_refused(
    tmp_path: Path, second: tuple[int, int]
) -> None:
    """A reader of the whole folder would have records twice, or not at all."""
    folder = Folder(str(tmp_path))
    write(folder, 0, 10)
    write(folder, *second)
    with pytest.raises(Incompatible, match="another folder"):
        folder.ranges(PLACE)


def test_one_capture_at_a_time(tmp_path: Path) -> None:
    """The second one is told so at once."""
    first, second = Folder(str(tmp_path)), Folder(str(tmp_path))
    with first.locked(), pytest.raises(Unavailable, match="Another capture"), second.locked():
        pass
    with second.locked():
        pass


def test_any_filesystem_will_do() -> None:
    """Such as fsspec's own in memory; an object store is the same."""
    folder = Folder("memory://captured")
    path = write(folder, 0, 3)
    assert folder.fs.exists(path)
    assert folder.ranges(PLACE) == [OffsetRange(0, 3)]
    with folder.locked():
        pass
