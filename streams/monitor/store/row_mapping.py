"""From a record to rows on shelves: pure, so that the same topics give the same figures.

A shelf is a mapping of fields to values whose fields sort by time, newest last. A row is put, never
added to: reading a record again, or a later one of the same key, replaces it. Each shelf keeps its
newest entries only (`keep_of`); what is older than that is not looked at, whether it was removed
yet or not, so that figures do not depend on when shelves were tidied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

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

WINDOWS, GROUP_WINDOWS = 400, 60
"""Windows kept of a whole partition, and of one segment or slice."""

ROWS = 2_000
"""Drift, lifecycle and alert records kept, of all partitions together."""

LETTERS = 1_000
"""Dead letters kept of a partition."""

SAMPLES = 1_440
STANDINGS = 400
WORDS_MAX = 500


WHOLE = "whole"
"""The group of a whole partition."""


class Row(NamedTuple):
    """What is put where; `value` is JSON."""

    shelf: str
    field: str
    value: bytes


def group_name(segment: str | None, slice: str | None) -> str:
    """A segment's or slice's name on shelves; the whole partition's is `whole`.

    >>> group_name(None, None), group_name("UA", None), group_name(None, "hour=8")
    ('whole', 'segment:UA', 'slice:hour=8')
    """
    if segment is not None:
        return f"segment:{segment}" if slice is None else f"segment:{segment}:slice:{slice}"
    return WHOLE if slice is None else f"slice:{slice}"


def metrics_shelf(partition: int, group: str) -> str:
    """Where a partition's metric windows of one group are."""
    return f"metrics:{partition}:{group}"


def evidence_shelf(partition: int, group: str) -> str:
    """Where a partition's settled blocks of one group are."""
    return f"evidence:{partition}:{group}"


def standing_name(record: Mapping[str, Any]) -> str:
    """One comparison: what is asked of whom, against whom, where."""
    return "|".join(str(record[n] or "") for n in ("question", "model", "against", "segment"))


def keep_of(shelf: str) -> int | None:
    """How many entries of a shelf count, newest first; of windowed shelves: windows. None: all."""
    kind, _, rest = shelf.partition(":")
    if kind in ("metrics", "evidence"):
        return WINDOWS if rest.endswith(f":{WHOLE}") else GROUP_WINDOWS
    kept = {
        "windows": WINDOWS,
        "drift": ROWS,
        "lifecycle": ROWS,
        "alerts": ROWS,
        "dead-letter": LETTERS,
        "restarts": STANDINGS,
    }
    return kept.get(kind) or {"samples": SAMPLES, "standings": STANDINGS}.get(kind)


def entry_of(field: str) -> str:
    """What of a field names its entry: the window of `<window>|<model>`, else the field."""
    return field.partition("|")[0]


def newest(fields: Iterable[str], keep: int | None) -> set[str]:
    """The entries that count."""
    entries = sorted({entry_of(field) for field in fields})
    return set(entries if keep is None else entries[-keep:])


def rows_of(
    kind: str, partition: int, offset: int, timestamp_ms: int, value: bytes | None
) -> list[Row]:
    """The rows that one record puts; none for what is no JSON object, which is not ours."""
    try:
        record = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(record, dict):
        return []
    record["time_ms"], record["partition"] = timestamp_ms, record.get("partition", partition)
    place = f"{timestamp_ms:013d}-{partition}-{offset:012d}"
    try:
        return _MAKERS[kind](record, place, partition, offset)
    except (KeyError, TypeError):
        return []


def _metric(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    group = group_name(record["segment"], record.get("slice"))
    field = f"{record['window_start']}|{record['model']}"
    kept = {name: record[name] for name in _METRIC_FIELDS}
    kept |= {name: record[name] for name in _METRIC_EXTRAS if record.get(name)}
    rows = [Row(metrics_shelf(partition, group), field, orjson.dumps(kept))]
    if record["model"] == "served":
        told = [record["segment"], record.get("slice"), record["window_start"]]
        rows.append(Row(f"groups:{partition}", group, orjson.dumps(told)))
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


def _evidence(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    shelf = evidence_shelf(partition, group_name(record["segment"], record.get("slice")))
    kept = {name: record[name] for name in ("block_s", "predictions", "missing", "kpi_n", "kpi")}
    return [Row(shelf, str(record["block_start"]), orjson.dumps(kept))]


def _standing(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    name, value = standing_name(record), orjson.dumps(record)
    shelf = f"standings:{name}"
    return [Row("verdicts", name, value), Row(shelf, str(record["block_start"]), value)]


def _delays(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    return [Row(f"delays:{partition}", record["segment"] or "", orjson.dumps(record))]


def _drift(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    return [Row("drift", place, orjson.dumps(record))]


def _lifecycle(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    value = orjson.dumps(record)
    state = record["to_state"]
    whose = {"frozen": "frozen", "open": "frozen", "withheld": "withheld"}.get(state, "state")
    rows = [Row("lifecycle", place, value)]
    if record["segment"] is None:  # segments come and go without end
        of = "" if whose == "frozen" else f"|{record['model']}"
        rows.append(Row(f"states:{partition}", whose + of, value))
    return rows


def _alert(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    field = f"{record['opened_at']}|{record['alert_id']}"
    return [Row("alerts", field, orjson.dumps(record))]


def _letter(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    # The bytes stay on the topic: they may be personal, and are looked at one by one.
    kept = {
        "place": f"{partition}/{offset}",
        "partition": partition,
        "time_ms": record["time_ms"],
        "topic": record["topic"],
        "offset": record["offset"],
        "stage": record["stage"],
        "error_class": record["error_class"],
        "error": str(record["error"])[:WORDS_MAX],
        "value_bytes": record["value_bytes"],
    }
    return [Row(f"dead-letter:{partition}", place, orjson.dumps(kept))]


def _definition(record: dict[str, Any], place: str, partition: int, offset: int) -> list[Row]:
    names = ("definition", "file", "python", "river", "riverrun", "time_ms")
    kept = {name: record[name] for name in names}
    return [Row("definitions", str(record["definition"]), orjson.dumps(kept))]


_MAKERS = {
    "metrics": _metric,
    "evidence": _evidence,
    "verdicts": _standing,
    "delays": _delays,
    "drift": _drift,
    "lifecycle": _lifecycle,
    "alerts": _alert,
    "dead-letter": _letter,
    "definitions": _definition,
}
