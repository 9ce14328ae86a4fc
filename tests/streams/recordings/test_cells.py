"""How the text and the values of a recording are understood, and what is said of what is not."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigError
from schemas.timestamps import unix_seconds
from tests.support.use_cases.clinic import HEADER, events, faults, ids, opened, row, table, visit


def _written(folder: Path, content: str | bytes, name: str = "visits.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> list[dict[str, Any]]:
    """What the same visits are in an ordinary file."""
    return events(opened(_written(tmp_path, table(), "plain.csv")))


DIALECTS = {
    "tab": table().replace(",", "\t"),
    "pipe": table().replace(",", "|"),
    "semicolon, decimal comma": table().replace(",", ";").replace(".5", ",5"),
    "tab, decimal comma": table().replace(",", "\t").replace(".5", ",5"),
    "Windows line ends": table().replace("\n", "\r\n"),
    "old line ends": table().replace("\n", "\r"),
    "mixed line ends": table().replace("\n", "\r\n", 2),
    "trailing delimiter": table().replace("\n", ",\n"),
    "trailing delimiter in rows": HEADER + table()[len(HEADER) :].replace("\n", ",\n")[1:],
    "blank lines": "\n\n" + table().replace("\n", "\n\n") + "   \n",
    "comments": "# exported, yesterday\n" + table() + "# the end\n",
    "commented header": "#" + table(),
    "title": "Visits of May\n\n" + table(),
    "sep=": "sep=;\n" + table().replace(",", ";"),
    "spaces after the delimiter": table().replace(",", ", "),
    "spaces in the header": table().replace("event_id,event_time", " event_id, event_time "),
    "quoted": table().replace("west", '"west"'),
    "single quotes": table().replace("west", "'west'"),
    "no end of the last line": table().rstrip("\n"),
    "row numbers": "," + HEADER + "\n" + "".join(f"{n},{row(n)}\n" for n in range(4)),
    "empty rows": table() + ",,,,,,\n",
}
DIALECTS["trailing delimiter in rows"] = HEADER + "\n" + "".join(f"{row(n)},\n" for n in range(4))


@pytest.mark.parametrize("content", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_is_seen_from_the_file(
    content: str, plain: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The same visits, whoever exported them; nothing is left out."""
    recording = opened(_written(tmp_path, content))
    assert events(recording) == plain
    assert recording.report.refused == recording.report.labels_refused == 0


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8-sig", "UTF-8 with BOM"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("latin-1", "Windows-1252 (guessed"),
        ("cp1252", "Windows-1252 (guessed"),
    ],
)
def test_an_encoding_is_detected_and_told(encoding: str, told: str, tmp_path: Path) -> None:
    """CSV and JSON lines; a guess is called one."""
    text = table().replace("west", "Süd")
    lines = json.dumps(visit(0, ward="Süd"), ensure_ascii=False) + "\n"
    for content, name in ((text, "a.csv"), (lines, "a.jsonl")):
        recording = opened(_written(tmp_path, content.encode(encoding), name))
        assert {event["ward"] for event in events(recording)} == {"Süd"}
        assert told in recording.report.sources[0].format


def test_one_line_of_another_encoding_costs_one_record(tmp_path: Path) -> None:
    """It is named; the other lines are read as what they are."""
    content = table(row(0, ward="Süd"), row(1, ward="Nord-Süd")).encode()
    content += row(2, ward="Süd").encode("latin-1") + b"\n" + row(3).encode() + b"\n"
    recording = opened(_written(tmp_path, content))
    assert ids(recording) == ["v0", "v1", "v3"]
    assert "line 4, column ward: it has bytes that are not of this encoding" in faults(recording)[0]


def test_half_a_character_costs_one_record_in_any_encoding(tmp_path: Path) -> None:
    """Also where every character has two bytes."""
    content = table(row(0, ward="Süd")).encode("utf-16") + b"\x00\xd8"
    content += (row(1) + "\n" + row(2) + "\n").encode("utf-16-le")
    assert ids(opened(_written(tmp_path, content))) == ["v0", "v2"]


def test_options_stand_above_detection(tmp_path: Path) -> None:
    """Encoding, delimiter and decimal sign; a wrong option is told in words."""
    path = _written(tmp_path, table().replace(",", "^").replace("west", "Bź").encode("cp1250"))
    (first, *_) = events(opened(path, encoding="cp1250", delimiter="^"))
    assert first["ward"] == "Bź"
    for wrong in ({"encoding": "x-1"}, {"delimiter": "ab"}, {"decimal": "!"}, {"zone": "Mars"}):
        with pytest.raises(ConfigError):
            opened(path, **wrong)


BROKEN_ROWS = {
    "too few cells": ("v1,2024-05-01T01:00:00Z,west", "the row has 3 cells and the header 7"),
    "too many cells": (row(1) + ",x,y", "the row has 9 cells and the header 7"),
    "quote closed amid a cell": (row(1, ward='"west" wing'), "is closed amid a cell"),
    "quote never closed": (row(1, ward='"west'), "is opened and not closed"),
    "bad number": (row(1, age="forty"), "column age: 'forty' is not a number"),
    "decimal comma": (row(1, age='"7,5"'), "column age: '7,5' is not a number. Write 7.5"),
    "thousands": (row(1, age='"1,234.5"'), "Write 1234.5, without separators of thousands"),
    "thousands of a whole number": (row(1, beds='"1,000"'), "Write 1000, without separators"),
    "underscore": (row(1, beds="1_000"), "column beds: '1_000' is not a whole number"),
    "fraction": (row(1, beds="1.5"), "column beds: '1.5' is not a whole number"),
    "infinite": (row(1, age="inf"), "column age: 'inf' is not a number"),
    "beyond": (row(1, age="1e999"), "column age: '1e999' is beyond"),
    "percent": (row(1, age="5%"), "column age: '5%' is not a number"),
    "no value": (row(1, age=""), "column age: it has no value"),
    "NA": (row(1, beds="NA"), "column beds: it has no value"),
    "no zone": (row(1, event_time="2024-05-01 01:00"), "has no time zone"),
    "day and month": (row(1, event_time="05/01/2024 01:00"), "which the month"),
    "words": (row(1, event_time="1 May 2024"), "is not a time of ISO 8601"),
    "no such day": (row(1, event_time="2024-05-32T00:00:00Z"), "is not a time of ISO 8601"),
    "microseconds": (
        row(1, event_time="1714525200000000"),
        "a Unix time in microseconds, 2024-05-01 01:00",
    ),
    "nanoseconds": (row(1, event_time="1714525200000000000"), "in nanoseconds, 2024-05-01 01:00"),
    "compact second and fraction": (row(1, event_time="20240501010000123"), "is not a time. Write"),
    "compact date": (row(1, event_time="20240501"), "20240501 is not a time"),
    "compact hour": (row(1, event_time="2024050101"), "2024050101 is not a time"),
    "compact minute": (row(1, event_time="202405010100"), "202405010100 is not a time"),
    "Excel's date": (row(1, event_time="45413.04"), "2024-05-01 00:57"),
    "empty id": (row(1, event_id=""), "column event_id"),
}


@pytest.mark.parametrize(("broken", "reason"), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_a_bad_row_is_named_with_its_line_and_costs_no_other(
    broken: str, reason: str, tmp_path: Path
) -> None:
    """Also after a cell with line breaks, and with what is right instead."""
    text = table(row(0, ward='"a ""b""\n\nc, d"'), broken, row(2), row(3))
    recording = opened(_written(tmp_path, text))
    assert ids(recording) == ids(recording, "outcome") == ["v0", "v2", "v3"]
    (fault,) = faults(recording)
    assert "visits.csv, line 5" in fault
    assert reason in fault
    assert recording.report.refused == 1


@pytest.mark.parametrize("number", ["1.234,5", "1 234,5", "1\u202f234,5", "1'234,5"])
def test_separators_of_thousands_are_told_of_with_a_decimal_comma(
    number: str, tmp_path: Path
) -> None:
    """With the number as it is to be written."""
    text = table(row(0), row(1, age="AGE")).replace(",", ";").replace(".", ",")
    recording = opened(_written(tmp_path, text.replace("AGE", number)), decimal=",")
    assert "Write 1234,5, without separators of thousands" in faults(recording)[0]


def test_a_bad_label_costs_the_label(tmp_path: Path) -> None:
    """The event can be answered; that its label is left out is told."""
    recording = opened(_written(tmp_path, table(row(0), row(1, nights="two"))))
    assert ids(recording) == ["v0", "v1"]
    assert ids(recording, "outcome") == ["v0"]
    assert recording.report.labels_refused == 1
    assert "line 3, column nights: 'two' is not a number" in faults(recording)[0]


def test_every_bad_cell_of_a_row_is_named_and_no_good_one(tmp_path: Path) -> None:
    """In one line."""
    recording = opened(_written(tmp_path, table(row(0), row(1, age="x", beds="y"))))
    assert "column age: 'x' is not a number; column beds: 'y'" in faults(recording)[0]
    assert "ward" not in faults(recording)[0]


def test_text_stays_text_and_the_field_decides_what_is_nothing(tmp_path: Path) -> None:
    """NA is Namibia in a text, nothing in an optional number; both are told."""
    header = HEADER + ",origin,weight,urgent,staff-on-duty"
    rows = [
        row(0) + ",NA,NA,yes,3",
        row(1, event_id="007", ward="0012") + ",,,0,",
        row(2, ward="") + ",null,70.5,TRUE,NaN",
    ]
    recording = opened(_written(tmp_path, table(*rows, header=header)))
    one, two, three = events(recording)
    assert (one["origin"], "weight" in one, one["urgent"], one["staff-on-duty"]) == (
        "NA",
        False,
        True,
        3,
    )
    assert (two["event_id"], two["ward"], two["urgent"]) == ("007", "0012", False)
    assert "origin" not in two
    assert (three["origin"], three["weight"], three["ward"]) == ("null", 70.5, "")
    notes = recording.report.notes
    assert notes["column origin: 'NA' is text there, and kept"] == 1
    assert notes["column weight: 'NA' is read as nothing"] == 1


def test_whole_numbers_are_exact(tmp_path: Path) -> None:
    """Beyond 2^53 and beyond 64 bits, in CSV and in JSON."""
    for number in (2**53 + 1, 2**63 - 1, 2**70):
        text = table(row(0, event_id=str(number), beds=str(number)))
        (event,) = events(opened(_written(tmp_path, text)))
        assert (event["event_id"], event["beds"]) == (str(number), number)
        line = json.dumps(visit(0, beds=number))
        (event,) = events(opened(_written(tmp_path, line, "a.jsonl")))
        assert event["beds"] == number


def test_a_personal_value_is_not_shown(tmp_path: Path) -> None:
    """What is wrong with it is told without it."""
    text = table(row(0) + ",1000", row(1) + ",12 pounds", header=HEADER + ",income")
    (fault,) = faults(opened(_written(tmp_path, text)))
    assert "column income: *** cannot be used" in fault
    assert "pounds" not in fault


TIMES = [
    ("2024-05-01 03:00:00+02:00", "2024-05-01T01:00:00+00:00"),
    ("20240501T010000Z", "2024-05-01T01:00:00+00:00"),
    ("2024-05-01 01:00:00 UTC", "2024-05-01T01:00:00+00:00"),
    ("1714525200", "2024-05-01T01:00:00+00:00"),
    ("1714525200000", "2024-05-01T01:00:00+00:00"),
    ("1714525200.5", "2024-05-01T01:00:00.500000+00:00"),
    ("2024-05-01T01:00:00.123456789Z", "2024-05-01T01:00:00.123456+00:00"),
]


@pytest.mark.parametrize(("text", "due"), TIMES)
def test_a_time_that_can_only_be_one_is_read(text: str, due: str, tmp_path: Path) -> None:
    """ISO 8601 with a zone, Unix seconds and milliseconds."""
    path = _written(tmp_path, table(row(1, event_time=text)))
    assert datetime.fromisoformat(events(opened(path))[0]["event_time"]) == (
        datetime.fromisoformat(due)
    )


def test_local_times_need_a_zone_and_its_clock(tmp_path: Path) -> None:
    """An hour that comes twice, or never, is no time."""
    rows = [
        row(0, event_time="2024-03-31 02:30", outcome_time=""),
        row(1, event_time="2024-10-27 02:30", outcome_time=""),
        row(2, event_time="2024-07-01", outcome_time=""),
        row(3, event_time="2024-12-01 08:00", outcome_time=""),
    ]
    recording = opened(_written(tmp_path, table(*rows)), zone="Europe/Berlin")
    assert [event["event_time"] for event in events(recording)] == [
        "2024-07-01T00:00:00+02:00",
        "2024-12-01T08:00:00+01:00",
    ]
    assert all("comes twice or never" in fault for fault in faults(recording))


def test_other_times_are_read_as_the_option_says(tmp_path: Path) -> None:
    """And by nothing else."""
    rows = [row(0, event_time="01.05.2024 00:00", outcome_time="01.05.2024 08:00"), row(1)]
    path = _written(tmp_path, table(*rows))
    recording = opened(path, zone="UTC", time_format="%d.%m.%Y %H:%M")
    assert events(recording)[0]["event_time"] == "2024-05-01T00:00:00+00:00"
    assert "does not fit '%d.%m.%Y %H:%M'. Write it as" in faults(recording)[0]


def test_no_calendar_date_is_a_unix_time() -> None:
    """Whatever its length; no date of Excel's, and nothing outside 1973 to 2199."""
    assert unix_seconds(1_714_525_200) == 1_714_525_200
    for number in (20240501, 2024050101, 202405010100, 20240501010000, 45413.04, -1, 9e9, 1e17):
        assert unix_seconds(number) is None


LINES = {
    "one a line": lambda rows: "".join(json.dumps(r) + "\n" for r in rows),
    "byte order mark": lambda rows: "\ufeff" + "".join(json.dumps(r) + "\n" for r in rows),
    "several on a line": lambda rows: " ".join(map(json.dumps, rows)),
    "without space": lambda rows: "".join(map(json.dumps, rows)),
    "a list": json.dumps,
    "an indented list": lambda rows: json.dumps(rows, indent=2),
    "indented objects": lambda rows: "\n".join(json.dumps(r, indent=2) for r in rows),
    "lists on lines": lambda rows: "\n".join(json.dumps([r]) for r in rows),
    "blank lines": lambda rows: "\n\n".join(map(json.dumps, rows)) + "\n\n",
}


@pytest.mark.parametrize("shape", LINES.values(), ids=LINES)
def test_json_is_read_however_it_is_laid_out(shape: Any, tmp_path: Path) -> None:
    """Objects as they are, with what the use case does not declare."""
    rows = [visit(n, extra={"deep": [n, None]}, kind="event", label=1) for n in range(3)]
    recording = opened(_written(tmp_path, shape(rows), "visits.json"))
    assert [event["extra"] for event in events(recording)] == [r["extra"] for r in rows]
    assert ids(recording, "outcome") == ["v0", "v1", "v2"]
    assert recording.report.refused == 0


BROKEN_JSON = {
    "truncated": (json.dumps(visit(1))[:-9], "it is not JSON"),
    "NaN": (json.dumps(visit(1, age=float("nan"))), "column age: nan is not a number"),
    "text for a number": (json.dumps(visit(1, beds="12")), "column beds"),
    "nested without end": (
        '{"event_id": ' + "[" * 100_000,
        "it is not JSON: it is nested too deep",
    ),
    "a number": ("17", "it is a number, not an object"),
    "null": ("null", "it is null, not an object"),
    "a calendar date": (json.dumps(visit(1, event_time=20240501)), "column event_time: 20240501"),
    "no zone": (json.dumps(visit(1, event_time="2024-05-01T01:00:00")), "--zone UTC"),
}


@pytest.mark.parametrize(("line", "reason"), BROKEN_JSON.values(), ids=BROKEN_JSON)
@pytest.mark.usefixtures("as_deep_as_a_worker")
def test_a_bad_line_of_json_is_named_and_costs_no_other(
    line: str, reason: str, tmp_path: Path
) -> None:
    """In the middle and at the end."""
    right = [json.dumps(visit(n)) for n in (0, 2)]
    for lines, line_number in (((right[0], line, right[1]), 2), ((*right, line), 3)):
        recording = opened(_written(tmp_path, "\n".join(lines), "a.jsonl"))
        assert ids(recording) == ["v0", "v2"]
        assert f"a.jsonl, line {line_number}" in faults(recording)[0]
        assert reason in faults(recording)[0]


@pytest.mark.usefixtures("as_deep_as_a_worker")
def test_a_document_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    """Objects and lists; alone in the file, where nothing else stops the parser."""
    for content in ("[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ConfigError, match="nested too deep"):
            opened(_written(tmp_path, content, "a.json"))
