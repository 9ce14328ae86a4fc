"""Batch scoring: predictions of the models at a log position for the events in a file.

The same definition, state and code as the stream's, so the same floats: see
`models.replay.offline_predictor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from models.inputs.decoder import PlainRecord
from models.inputs.json_bytes import encoded
from models.replay.backtest import LONG_AFTER_MS, identity
from models.replay.offline_predictor import OfflinePredictor
from models.spec.use_case import UseCase
from models.task.partition_task import PartitionTask
from schemas.errors import ConfigError, Rejected
from schemas.partitioner import partition_of
from schemas.timestamps import moment
from streams.recordings import Refusal
from streams.recordings.arrow_columns import arrow
from streams.replay.past_states import Checkpoints, Positions

WRITTEN = (".parquet", ".csv", ".jsonl", ".ndjson")


@dataclass(slots=True)
class Scored:
    """Rows in the file's order: predictions, or where it could not be had, `error`."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Return how many events could not be scored."""
        return sum("error" in row for row in self.rows)


async def score(
    events: Sequence[Mapping[str, Any] | Refusal],
    use_case: UseCase,
    historian: Checkpoints,
    positions: Positions,
    partitions: int,
    model: str | None,
) -> Scored:
    """Return each event's prediction by the state of its partition at its position.

    A refused event has an `error`.
    """
    done = Scored([{} for _ in events])
    by_partition: dict[int, list[tuple[int, PlainRecord]]] = {}
    read: dict[int, Mapping[str, Any]] = {}
    for number, fields in enumerate(events):
        if isinstance(fields, Refusal):
            done.rows[number] = {"event_id": fields.event_id, "error": str(fields.fault)}
            continue
        read[number] = fields
        record = _record(fields, use_case, partitions)
        by_partition.setdefault(record.partition, []).append((number, record))
    for partition, records in sorted(by_partition.items()):
        records.sort(key=lambda one: moment(read[one[0]].get("event_time")) or 0.0)
        if partition not in positions:
            for number, _ in records:
                done.rows[number] = _refused(
                    read[number], f"its partition {partition} has no state at that position"
                )
            continue

        def look(task: PartitionTask, records: Any = records) -> None:
            consultant = OfflinePredictor(task, model)
            for number, record in records:
                try:
                    done.rows[number] = consultant.say(record)
                except Rejected as error:
                    done.rows[number] = _refused(read[number], str(error))

        await historian.visit(partition, positions[partition], look)
    return done


def _record(fields: Mapping[str, Any], use_case: UseCase, partitions: int) -> PlainRecord:
    value = encoded(fields)
    _, key = identity(use_case, "event", fields, value)
    partition = partition_of(key or b"", partitions)
    return PlainRecord("file", partition, 0, LONG_AFTER_MS, key, value)


def _refused(fields: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {"event_id": fields.get("event_id"), "error": why}


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for a table: the interval as two columns, other lists and objects as JSON."""
    interval = row.get("interval")
    plain = {
        name: orjson.dumps(value).decode() if isinstance(value, dict | list) else value
        for name, value in row.items()
        if name != "interval"
    }
    bounds = interval or (None, None)
    return plain | {"interval_lower": bounds[0], "interval_upper": bounds[1]}


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write them in the format of the file's name; raises `ConfigError` for another."""
    table = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in table for name in row))
    if path.suffix == ".parquet":
        pa = arrow(str(path))
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
        raise ConfigError(
            f"{path} is of no format that is known here.", hint=f"End it in {', '.join(WRITTEN)}."
        )
