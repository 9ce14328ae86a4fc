"""The mapping of records to table rows: pure, so that the same topics give the same figures.

A table maps fields to values; its fields sort by time, newest last. A row is written, never added
to: reading a record again, or a later one of the same key, replaces it. Only the newest entries of
each table count (`entries_max`). Older ones are not read, whether they were removed yet or not, so
that figures do not depend on when tables were trimmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from schemas.unreadable_records import Unreadable
from streams.kafka.record_decoder import content

KINDS = (
    "metrics",
    "evidence",
    "verdicts",
    "delays",
    "drift",
    "lifecycle",
    "alerts",
    "dead-letter",
    "definitions",
)
"""The topics that are read."""

WINDOWS_MAX, GROUP_WINDOWS_MAX = 400, 60
"""Windows stored of a whole partition, and of one segment or slice."""

ROWS_MAX = 2_000
"""Drift, lifecycle and alert records stored, of all partitions together."""

DEAD_LETTERS_MAX = 1_000
"""Dead letters stored of a partition."""

SAMPLES_MAX = 1_440
STANDINGS_MAX = 400
TEXT_MAX = 500


WHOLE = "whole"
"""The group of a whole partition."""


class Row(NamedTuple):
    """A field of a table; `value` is JSON."""

    table: str
    field: str
    value: bytes


def group_name(segment: str | None, slice: str | None) -> str:
    """Return a segment's or slice's name in tables; the whole partition's is `whole`.

    >>> group_name(None, None), group_name("UA", None), group_name(None, "hour=8")
    ('whole', 'segment:UA', 'slice:hour=8')
    """
    if segment is not None:
        return f"segment:{segment}" if slice is None else f"segment:{segment}:slice:{slice}"
    return WHOLE if slice is None else f"slice:{slice}"


def metrics_table(partition: int, group: str) -> str:
    """Return the table of a partition's metric windows of one group."""
    return f"metrics:{partition}:{group}"


def evidence_table(partition: int, group: str) -> str:
    """Return the table of a partition's closed blocks of one group."""
    return f"evidence:{partition}:{group}"


def standing_name(record: Mapping[str, Any]) -> str:
    """Return the name of a comparison: question, model, opponent, segment."""
    return "|".join(str(record[n] or "") for n in ("question", "model", "against", "segment"))


def entries_max(table: str) -> int | None:
    """Return how many entries of a table count, newest first; None: all.

    Entries of windowed tables are windows.
    """
    kind, _, rest = table.partition(":")
    if kind in ("metrics", "evidence"):
        return WINDOWS_MAX if rest.endswith(f":{WHOLE}") else GROUP_WINDOWS_MAX
    bounds = {
        "windows": WINDOWS_MAX,
        "drift": ROWS_MAX,
        "lifecycle": ROWS_MAX,
        "alerts": ROWS_MAX,
        "dead-letter": DEAD_LETTERS_MAX,
        "restarts": STANDINGS_MAX,
    }
    return bounds.get(kind) or {"samples": SAMPLES_MAX, "standings": STANDINGS_MAX}.get(kind)


def entry_name(field: str) -> str:
    """Return the entry that a field belongs to: the window of `<window>|<model>`, or itself."""
    return field.partition("|")[0]


def newest_names(fields: Iterable[str], keep: int | None) -> set[str]:
    """Return the names of the entries that count."""
    entries = sorted({entry_name(field) for field in fields})
    return set(entries if keep is None else entries[-keep:])


def rows_of(kind: str, record: Any, unreadable: Unreadable) -> list[Row]:
    """Return the rows of one record; none for a tombstone or an unreadable record.

    An unreadable record is counted in `unreadable`.
    """
    if record.value is None:
        return []
    try:
        row = content(kind, record)
    except ValueError as error:
        unreadable.note(record, error)
        return []
    row["time_ms"] = record.timestamp
    row["partition"] = row.get("partition", record.partition)
    order = f"{record.timestamp:013d}-{record.partition}-{record.offset:012d}"
    return _MAPPERS[kind](row, order, record.partition, record.offset)


def _metric(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    group = group_name(record["segment"], record.get("slice"))
    field = f"{record['window_start']}|{record['model']}"
    value = {name: record[name] for name in _METRIC_FIELDS}
    value |= {name: record[name] for name in _METRIC_EXTRAS if record.get(name)}
    rows = [Row(metrics_table(partition, group), field, orjson.dumps(value))]
    if record["model"] == "served":
        identity = [record["segment"], record.get("slice"), record["window_start"]]
        rows.append(Row(f"groups:{partition}", group, orjson.dumps(identity)))
        if group == WHOLE:
            rows.append(Row(f"windows:{partition}", record["window_start"], b"1"))
    return rows


_METRIC_EXTRAS = ("reliability", "importance")
_METRIC_FIELDS = (
    "predictions",
    "outcomes",
    "sums",
    "kpi_sum",
    "kpi_n",
    "guarded",
    "expired",
    "late",
    "window_s",
    "definition",
    "step",
    "time_ms",
)


def _evidence(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    table = evidence_table(partition, group_name(record["segment"], record.get("slice")))
    value = {name: record[name] for name in ("block_s", "predictions", "missing", "kpi_n", "kpi")}
    return [Row(table, str(record["block_start"]), orjson.dumps(value))]


def _standing(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    name, value = standing_name(record), orjson.dumps(record)
    table = f"standings:{name}"
    return [Row("verdicts", name, value), Row(table, str(record["block_start"]), value)]


def _delays(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    return [Row(f"delays:{partition}", record["segment"] or "", orjson.dumps(record))]


def _drift(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    return [Row("drift", order, orjson.dumps(record))]


def _lifecycle(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    value = orjson.dumps(record)
    state = record["to_state"]
    kind = {"frozen": "frozen", "open": "frozen", "withheld": "withheld"}.get(state, "state")
    rows = [Row("lifecycle", order, value)]
    if record["segment"] is None:  # segments come and go without end
        suffix = "" if kind == "frozen" else f"|{record['model']}"
        rows.append(Row(f"states:{partition}", kind + suffix, value))
    return rows


def _alert(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    field = f"{record['opened_at']}|{record['alert_id']}"
    return [Row("alerts", field, orjson.dumps(record))]


def _dead_letter(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    # The bytes stay on the topic: they may be personal, and are read one by one.
    value = {
        "position": f"{partition}/{offset}",
        "partition": partition,
        "time_ms": record["time_ms"],
        "topic": record["topic"],
        "offset": record["offset"],
        "stage": record["stage"],
        "error_class": record["error_class"],
        "error": str(record["error"])[:TEXT_MAX],
        "value_bytes": record["value_bytes"],
    }
    return [Row(f"dead-letter:{partition}", order, orjson.dumps(value))]


def _definition(record: dict[str, Any], order: str, partition: int, offset: int) -> list[Row]:
    names = ("definition", "file", "python", "river", "riverrun", "time_ms")
    value = {name: record[name] for name in names}
    return [Row("definitions", str(record["definition"]), orjson.dumps(value))]


_MAPPERS = {
    "metrics": _metric,
    "evidence": _evidence,
    "verdicts": _standing,
    "delays": _delays,
    "drift": _drift,
    "lifecycle": _lifecycle,
    "alerts": _alert,
    "dead-letter": _dead_letter,
    "definitions": _definition,
}
