"""Where recordings are, and in which order they come."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import AliasPath, Field, model_validator

from models.replay.backtest import run
from models.replay.recorded_order import RecordedOrder
from models.spec.personal_data import NOTHING
from schemas.errors import ConfigError
from schemas.events import Event, Outcome, UtcTime
from schemas.timestamps import moment
from streams.recordings import recording, recording_of
from streams.recordings.arrow_columns import Rows, aliases_of, schema, types_of
from tests.support.use_cases.clinic import CLINIC, events, faults, ids, opened, row, table, visit

FOUR = ["v0", "v1", "v2", "v3"]


def _packed(name: str, content: bytes) -> bytes:
    packing = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    }
    return packing[name](content)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_what_is_packed_is_read_whatever_its_name(packing: str, tmp_path: Path) -> None:
    """Also if it was packed in pieces, one after another."""
    lines = [json.dumps(visit(n)).encode() + b"\n" for n in range(4)]
    for name in (f"visits.{packing}", "export"):
        path = tmp_path / name
        path.write_bytes(
            _packed(packing, b"".join(lines[:2])) + _packed(packing, b"".join(lines[2:]))
        )
        assert ids(opened(path)) == FOUR


@pytest.mark.slow
def test_of_a_file_that_was_cut_off_the_rest_is_told(tmp_path: Path) -> None:
    """What comes before is used."""
    rows = [row(0, event_id=f"x{n}", age=str(random.Random(n).random())) for n in range(20_000)]
    path = tmp_path / "visits.csv.gz"
    path.write_bytes(gzip.compress(table(*rows).encode())[:-50_000])
    recorded = opened(path)
    assert 1_000 < recorded.report.events < 20_000
    assert "all that follows cannot be read" in faults(recorded)[-1]


def test_an_archive_is_read_whole_and_what_is_no_recording_is_told(tmp_path: Path) -> None:
    """All members, in folders too; what macOS adds is not even looked at."""
    with zipfile.ZipFile(tmp_path / "months.zip", "w") as archive:
        archive.writestr("may/2.csv", table(row(2)))
        archive.writestr("may/10.csv", table(row(3)))
        archive.writestr("1.csv.gz", gzip.compress(table(row(0), row(1)).encode()))
        archive.writestr("__MACOSX/._1.csv", b"\0\5\26\7")
        archive.writestr(".DS_Store", b"\0")
        archive.writestr("about.json", '{"exported": "yesterday"}')
        archive.writestr("readme.txt", "Visits of May.\nAll of them.\n")
    recorded = opened(tmp_path / "months.zip")
    assert ids(recorded) == FOUR
    told = "\n".join(recorded.report.notes)
    assert "about.json has no record with event_id and a time" in told
    assert "readme.txt has no column event_time or outcome_time" in told
    assert "MACOSX" not in told + "".join(source.name for source in recorded.report.sources)


def test_folders_patterns_and_several_files_are_one_recording(tmp_path: Path) -> None:
    """Each with its own format; hidden files are left alone."""
    folder = tmp_path / "visits"
    (folder / "deep").mkdir(parents=True)
    (folder / "10.csv").write_text(table(row(3)))
    (folder / "2.csv").write_text(table(row(2)).replace(",", ";"))
    (folder / "deep" / "1.jsonl").write_text(json.dumps(visit(1)) + "\n")
    (folder / ".part.csv").write_text("unfinished")
    (tmp_path / "first.csv").write_text(table(row(0)))
    assert ids(opened(tmp_path / "first.csv", folder)) == FOUR
    assert ids(opened(f"{folder}/*.csv")) == ["v2", "v3"]
    with pytest.raises(ConfigError, match="There is no file"):
        opened(f"{folder}/*.parquet")


def test_a_file_of_a_folder_is_never_lost_unnoticed(tmp_path: Path) -> None:
    """A picture is left alone and told; what is damaged or lacks a column ends the run."""
    (tmp_path / "1.csv").write_text(table(row(0)))
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\r\n")
    recorded = opened(tmp_path)
    assert ids(recorded) == ["v0"]
    assert "scan.png is a picture" in "".join(recorded.report.notes)
    for content, reason in ((b"PAR1", "not whole Parquet"), (table().replace("beds", "b"), "beds")):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "2.csv").write_bytes(data)
        with pytest.raises(ConfigError, match=reason):
            opened(tmp_path)


NO_RECORDING = {
    "empty": (b"", "holds no records"),
    "header only": (table().partition("\n")[0].encode(), "holds no records"),
    "no header": ((row(0) + "\n" + row(1)).encode(), "Its first line is no header"),
    "other columns": (b"a,b\n1,2\n", "has no column event_time or outcome_time. It has: a, b"),
    "a column lacks": (table().replace("beds", "Beds").encode(), "Is 'Beds' meant"),
    "a column twice": (table().replace("beds", "age").encode(), "two columns named 'age'"),
    "Excel": (b"\xd0\xcf\x11\xe0abc", "is an old Excel workbook"),
    "a pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}", "is no text"),
    "zeros": (bytes(1_000), "is no text"),
    "anything": (random.Random(1).randbytes(1_000), "is no text"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\x00\x00", "is HDF5"),
    "XML": (b'<?xml version="1.0"?>\n<a/>\n', "is XML"),
    "a number of 5,000 digits": (
        json.dumps(visit(0) | {"beds": 7}).replace("7", "7" * 5_000).encode(),
        "number out of range",
    ),
    "broken zip": (b"PK\x03\x04abc", "cannot be unpacked"),
    "broken Parquet": (b"PAR1abc", "is not whole Parquet"),
    "all bad": (table(row(0, age="x"), row(1, age="y")).encode(), "None of the 2 records"),
    "labels only": (b"event_id,outcome_time,nights\nv0,2024-05-01T00:00:00Z,1\n", "but no event"),
}


@pytest.mark.parametrize(("content", "reason"), NO_RECORDING.values(), ids=NO_RECORDING)
def test_what_is_no_recording_ends_in_words(content: bytes, reason: str, tmp_path: Path) -> None:
    """With what to do; and never as a run of nothing."""
    path = tmp_path / "visits.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        opened(path)


def test_a_pipe_is_refused_and_not_taken_for_empty(tmp_path: Path) -> None:
    """Its records would be gone at the second reading."""
    pipe = tmp_path / "visits"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="Write it to a file"):
        opened(pipe)


def test_what_is_packed_twice_is_read(tmp_path: Path) -> None:
    """As downloads of packed files are."""
    content = table(row(0)).encode()
    for packing in ("gz", "bz2", "xz", "zst"):
        path = tmp_path / f"visits.{packing}"
        path.write_bytes(_packed(packing, _packed(packing, content)))
        assert ids(opened(path)) == ["v0"]


def _times(recorded: Any) -> Iterator[tuple[float, int]]:
    for kind, fields in recorded:
        time = moment(fields["outcome_time" if kind == "outcome" else "event_time"])
        assert time is not None
        yield time, kind == "event"


@pytest.mark.parametrize("held", [1, 100_000])
def test_records_come_in_the_order_of_time(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first, mixed, over several files; held in memory or read again. It is told."""
    monkeypatch.setattr(recording, "HELD_MAX", held)
    rows = [row(n) for n in range(20)]
    shuffled = random.Random(5).sample(rows, len(rows))
    for number, lines in enumerate((rows, rows[::-1], shuffled)):
        path = tmp_path / f"{number}.csv"
        path.write_text(table(*lines))
        recorded = opened(path)
        assert len(list(recorded)) == 40
        assert all(a <= b for a, b in pairwise(_times(recorded)))
        assert ("sorted by time" in "".join(recorded.report.notes)) == (lines is not rows)
    even, odd = tmp_path / "even.csv", tmp_path / "odd.csv"
    even.write_text(table(*rows[::2]))
    odd.write_text(table(*rows[1::2]))
    assert list(opened(even, odd)) == list(opened(tmp_path / "0.csv"))


def test_a_limit_takes_the_first_by_time(tmp_path: Path) -> None:
    """Also of a file that is newest first."""
    (tmp_path / "a.csv").write_text(table(*(row(n) for n in (3, 2, 1, 0))))
    recorded = opened(tmp_path / "a.csv", limit=3)
    assert [fields["event_id"] for _, fields in recorded] == ["v0", "v0", "v1"]


LABELS = """event_id,outcome_time,ward,nights
before,2024-05-01T00:00:00Z,west,1
v0,2024-05-01T00:00:00Z,west,1
v2,2024-05-01T01:00:00Z,west,2
v1,2024-05-01T05:00:00Z,west,3
v1,2024-05-01T05:00:00Z,west,3
"""


@pytest.mark.parametrize("with_key", [True, False])
def test_labels_are_counted_as_live_would(with_key: bool, tmp_path: Path) -> None:
    """Without an event: unmatched. In its very second or before it: learnt with it. Twice: once."""
    lines = LABELS if with_key else LABELS.replace(",west", "").replace(",ward", "")
    (tmp_path / "events.csv").write_text(
        "\n".join(",".join(line.split(",")[:5]) for line in table().splitlines())
    )
    (tmp_path / "labels.csv").write_text(lines)
    recorded = opened(tmp_path / "events.csv", outcomes=[tmp_path / "labels.csv"])
    done = run(CLINIC, recorded, partitions=4, definition="d")
    counts = [task.counts for task in done.tasks.values()]
    assert sum(count["learnt"] for count in counts) == 3
    assert sum(count["repeats"] for count in counts) == 1
    assert sum(count["refused"] for count in counts) == 0
    assert recorded.report.unmatched == 1


def test_an_outcome_follows_its_event_and_no_other() -> None:
    """Whatever comes between."""
    rows = [
        ("outcome", {"event_id": "b"}),
        ("event", {"event_id": "a"}),
        ("event", {"event_id": "b"}),
    ]
    assert [(kind, f["event_id"]) for kind, f in RecordedOrder(CLINIC).rows(rows)] == [
        ("event", "a"),
        ("event", "b"),
        ("outcome", "b"),
    ]


class Wrapped(Event):
    """An event within an envelope, its id and its time too."""

    event_id: str = Field(validation_alias=AliasPath("head", "id"))
    event_time: UtcTime = Field(validation_alias=AliasPath("head", "at"))
    ward: str = Field(validation_alias=AliasPath("body", "ward"))


class Letter(Outcome):
    """An outcome with its id elsewhere."""

    event_id: str = Field(validation_alias=AliasPath("head", "id"))
    nights: float


def test_what_is_within_an_envelope_is_found_there(tmp_path: Path) -> None:
    """Read, matched and put in order like all others."""
    case = replace(
        CLINIC, event=Wrapped, outcome=Letter, features={"n": lambda event: len(event.ward)}
    )
    lines: list[dict[str, Any]] = []
    for number in range(4):
        head = {"id": f"v{number}", "at": f"2024-05-01T{number:02}:00:00Z"}
        lines.append({"head": head, "body": {"ward": "west"}})
        lines.append({"head": head, "outcome_time": head["at"], "nights": 1.0})
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, reversed(lines))))
    recorded = recording_of(case, [str(path)], [], lambda topic: [])
    assert [kind for kind, _ in recorded] == ["event", "outcome"] * 4
    done = run(case, recorded, partitions=2, definition="d")
    assert sum(task.counts["learnt"] for task in done.tasks.values()) == 4


class Sent(Event):
    """An event as change data capture sends it."""

    ward: str

    @model_validator(mode="before")
    @classmethod
    def opened(cls, value: Any) -> Any:
        """Take it out of its envelope."""
        return value["change"]["row"] if "change" in value else value


class Discharged(Outcome):
    """In the same envelope."""

    nights: float

    @model_validator(mode="before")
    @classmethod
    def opened(cls, value: Any) -> Any:
        """Take it out of its envelope."""
        return value["change"]["row"] if "change" in value else value


def test_a_row_in_an_envelope_is_both_if_both_are_in_it(tmp_path: Path) -> None:
    """As a row of columns is; of one that is neither, both reasons are told."""
    case = replace(CLINIC, event=Sent, outcome=Discharged, features={"n": lambda e: len(e.ward)})
    rows = [visit(n) for n in range(3)] + [{"event_id": "v9", "outcome_time": "x", "nights": 1.0}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"change": {"row": each}}) for each in rows))
    recorded = recording_of(case, [str(path)], [], lambda topic: [])
    assert sorted(kind for kind, _ in recorded) == ["event"] * 3 + ["outcome"] * 3
    (fault,) = recorded.report.faults
    assert "as an event: not a Sent: event_time" in str(fault)
    assert "as an outcome: not a Discharged: outcome_time" in str(fault)


def test_records_deep_in_their_objects_are_pointed_to(tmp_path: Path) -> None:
    """A use case that takes nothing out is told where they are."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"head": {}, "change": {"op": "c", "row": visit(0)}}))
    with pytest.raises(ConfigError, match=r"are within change\.row: have a @model_validator"):
        opened(path)


def test_a_column_called_kind_is_a_column(tmp_path: Path) -> None:
    """As are type, label, event and outcome: only the two times decide."""
    rows = [visit(n, kind="event", type="outcome", event="x", outcome=None) for n in range(4)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    recorded = opened(path)
    assert ids(recorded) == ids(recorded, "outcome") == FOUR
    assert events(recorded)[0]["kind"] == "event"


def test_no_label_gets_into_an_event(tmp_path: Path) -> None:
    """Of a row that is both, each half has its own; the key goes with both."""
    path = tmp_path / "a.csv"
    path.write_text(table())
    for kind, fields in opened(path):
        assert ("nights" in fields) == ("outcome_time" in fields) == (kind == "outcome")
        assert ("age" in fields) == (kind == "event")
        assert fields["ward"] == "west"


def test_labels_apart_stand_above_labels_in_the_source(tmp_path: Path) -> None:
    """Those in the source are told and get into no event."""
    (tmp_path / "a.csv").write_text(table())
    (tmp_path / "b.csv").write_text("event_id,outcome_time,nights\nv0,2024-05-02T00:00:00Z,9\n")
    recorded = opened(tmp_path / "a.csv", outcomes=[tmp_path / "b.csv"])
    assert [f["nights"] for kind, f in recorded if kind == "outcome"] == [9.0]
    assert not any("nights" in event for event in events(recorded))
    assert recorded.report.notes["labels in the source were not read: --outcomes has them"] == 4


class Shipment(Event):
    """Fields that are called otherwise in the records, the key among them."""

    depot: str = Field(alias="depot-id")
    kilometres: float = Field(alias="distance km")


def test_an_alias_is_known_everywhere(tmp_path: Path) -> None:
    """In CSV and JSON, under the alias or the name; in what is captured; for the Kafka key."""
    case = replace(CLINIC, event=Shipment, key="depot", features=Shipment.fields("kilometres"))
    sent = {
        "event_id": "s",
        "event_time": "2024-05-01T00:00:00Z",
        "depot-id": "n",
        "distance km": 2.5,
    }
    columns = Rows("events", types_of(case, "events"), NOTHING, aliases_of(case, "events"))
    columns.add(_Record(), sent)
    arrow = schema(types_of(case, "events"), {"riverrun.topic": "clinic.events"})
    captured = columns.table(arrow)
    assert captured.column("depot").to_pylist() == ["n"]
    assert captured.column("other").to_pylist() == [None]
    (tmp_path / "a.jsonl").write_text(json.dumps(sent))
    (tmp_path / "a.csv").write_text(
        "event_id,event_time,depot-id,distance km\ns,2024-05-01T00:00:00Z,n,2.5"
    )
    (tmp_path / "b.csv").write_text(
        "event_id,event_time,depot,kilometres\ns,2024-05-01T00:00:00Z,n,2.5"
    )
    pa.parquet.write_table(captured, tmp_path / "c.parquet")
    for name in ("a.jsonl", "a.csv", "b.csv", "c.parquet"):
        recorded = recording_of(case, [str(tmp_path / name)], [], lambda topic: [])
        ((kind, fields),) = list(recorded)
        assert (kind, fields["depot-id"], fields["distance km"]) == ("event", "n", 2.5), name
        done = run(case, recorded, partitions=4, definition="d")
        assert sum(task.counts["events"] for task in done.tasks.values()) == 1


class _Record:
    offset, timestamp, key = 0, 0, b"n"
