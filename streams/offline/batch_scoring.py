"""Batch scoring: what the models of a place in the log say of the events in a file.

The same definition, state and code as the stream's, so the same floats: see `models.consulting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from models.backtest import LONG_AFTER_MS
from models.consulting import Consultant
from models.moments import moment
from models.reading import PlainRecord
from models.task import PartitionTask
from models.usecase import UseCase
from schemas.errors import Misdeclared, Rejected
from schemas.partitioner import partition_of
from streams.places import Historian, Places
from streams.recordings import kind_of, rows_of, typed

WRITTEN = (".parquet", ".csv", ".jsonl", ".ndjson")


@dataclass(slots=True)
class Scored:
    """Rows in the file's order: predictions, or where it could not be had, `error`."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """How many could not be answered."""
        return sum("error" in row for row in self.rows)


def events_of(path: Path, use_case: UseCase) -> list[Mapping[str, Any]]:
    """The events in a file: Parquet, or what `streams.recordings` reads. Memory: all of them."""
    if path.suffix == ".parquet":
        from streams.columns import arrow

        rows: Iterable[Any] = arrow().parquet.read_table(path).to_pylist()
    else:
        rows = (typed(fields, use_case.event) for fields in rows_of(path))
    found = ({name: v for name, v in row.items() if v is not None} for row in rows)
    events: list[Mapping[str, Any]] = [fields for fields in found if kind_of(fields) != "outcome"]
    if not events:
        raise Misdeclared(f"{path} has no events.", mend="Each has event_id and event_time.")
    return events


async def score(
    events: Sequence[Mapping[str, Any]],
    use_case: UseCase,
    historian: Historian,
    places: Places,
    partitions: int,
    model: str | None,
) -> Scored:
    """Each event's answer by the state of its partition at its place."""
    done = Scored([{} for _ in events])
    by_partition: dict[int, list[tuple[int, PlainRecord]]] = {}
    for number, fields in enumerate(events):
        record = _record(fields, use_case, partitions)
        by_partition.setdefault(record.partition, []).append((number, record))
    for partition, records in sorted(by_partition.items()):
        records.sort(key=lambda one: moment(events[one[0]].get("event_time")) or 0.0)
        if partition not in places:
            for number, _ in records:
                done.rows[number] = _refused(
                    events[number], f"its partition {partition} has no state at that place"
                )
            continue

        def look(task: PartitionTask, records: Any = records) -> None:
            consultant = Consultant(task, model)
            for number, record in records:
                try:
                    done.rows[number] = consultant.say(record)
                except Rejected as error:
                    done.rows[number] = _refused(events[number], str(error))

        await historian.visit(partition, places[partition], look)
    return done


def _record(fields: Mapping[str, Any], use_case: UseCase, partitions: int) -> PlainRecord:
    key = str(fields.get(use_case.key, "")).encode()
    value = orjson.dumps(fields, default=str)
    return PlainRecord("file", partition_of(key, partitions), 0, LONG_AFTER_MS, key, value)


def _refused(fields: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {"event_id": fields.get("event_id"), "error": why}


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a table: the interval as two columns, other lists and dictionaries as JSON."""
    interval = row.get("interval")
    plain = {
        name: orjson.dumps(value).decode() if isinstance(value, dict | list) else value
        for name, value in row.items()
        if name != "interval"
    }
    bounds = interval or (None, None)
    return plain | {"interval_lower": bounds[0], "interval_upper": bounds[1]}


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write them in the format of the file's name; raises `Misdeclared` for another."""
    table = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in table for name in row))
    if path.suffix == ".parquet":
        from streams.columns import arrow

        pa = arrow()
        columns = {name: [row.get(name) for row in table] for name in names}
        pa.parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".csv":
        import csv

        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(table)
    elif path.suffix in WRITTEN:
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    else:
        raise Misdeclared(
            f"{path} is of no format that is known here.", mend=f"End it in {', '.join(WRITTEN)}."
        )
