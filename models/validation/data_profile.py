"""A profile of data before there is a model: fields, time, keys and label delays.

One pass, bounded: at most `DISTINCT_MAX` values of a field are told apart, `IDS_MAX` ids are
remembered for the delays; beyond that, counts are lower bounds and say so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.values.absent_texts import ABSENT
from models.values.durations import spoken
from schemas.partitioner import partition_of
from schemas.timestamps import moment, unix_seconds

DISTINCT_MAX = 50_000
IDS_MAX = 1_000_000
BUCKETS_MAX = 100_000
PARTITIONS = 4
"""For how many partitions a candidate key's balance is shown."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


class FieldCounts:
    """One field over all records."""

    __slots__ = ("absent", "bounds", "longest", "missing", "types", "values")

    def __init__(self) -> None:
        self.missing = 0
        self.types: Counter[str] = Counter()
        self.values: Counter[Any] = Counter()
        self.absent: Counter[str] = Counter()
        self.bounds: dict[str, tuple[Any, Any]] = {}
        self.longest = 0

    def add(self, value: Any) -> None:
        """Count one record's value; None is missing."""
        if value is None:
            self.missing += 1
            return
        if isinstance(value, float) and value != value:
            value = "NaN"
        if isinstance(value, str) and value in ABSENT:
            self.absent[value] += 1
            return
        self._count(value)

    def _count(self, value: Any, times: int = 1) -> None:
        kind = _type(value)
        self.types[kind] += times
        if kind in ("whole", "decimal", "time"):
            value = _as_text(value)
            group = "time" if kind == "time" else "number"
            least, most = self.bounds.get(group, (value, value))
            self.bounds[group] = min(least, value), max(most, value)
        if kind in ("list", "object"):
            return
        text = value if isinstance(value, str) else repr(value)
        self.longest = max(self.longest, len(text))
        if value in self.values or len(self.values) < DISTINCT_MAX:
            self.values[value] += times

    def settle(self) -> None:
        """Count "NA" and its like as text if the field has other text or nothing else."""
        if self.absent and ("text" in self.types or not self.types):
            for value, times in self.absent.items():
                self._count(value, times)
            self.absent.clear()

    def report(self, records: int) -> dict[str, Any]:
        """Return what is known of the field; shares are of all records."""
        self.settle()
        present = sum(self.types.values())
        distinct = len(self.values)
        numbers = self.types["whole"] + self.types["decimal"]
        group = "time" if self.types["time"] > numbers else "number"
        least, most = self.bounds.get(group, (None, None))
        return {
            "types": dict(self.types.most_common()),
            "missing": (records - present) / records if records else 0.0,
            "absent": dict(self.absent.most_common(3)),
            "least": least,
            "most": most,
            "distinct": distinct,
            "distinct_at_least": distinct >= DISTINCT_MAX,
            "common": [[value, count / records] for value, count in self.values.most_common(3)],
        }


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "yes/no"
    if isinstance(value, int):
        return "whole"
    if isinstance(value, float):
        return "decimal"
    if isinstance(value, datetime):
        return "time"
    if isinstance(value, str):
        if _TIME.match(value) and moment(value) is not None:
            return "time"
        return "text"
    return "list" if isinstance(value, list) else "object"


def _as_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


class Profile:
    """A profile of events and, if there are any, their outcomes. Add rows in their order."""

    def __init__(self, *, time: str | None = None, id: str = "event_id") -> None:
        self.records = 0
        self.outcomes = 0
        self.fields: dict[str, FieldCounts] = {}
        self.time = time
        self._id = id
        self._first: float | None = None
        self._newest = float("-inf")
        self._behind = 0
        self._behind_most = 0.0
        self._hours: Counter[int] = Counter()
        self._asked: dict[Any, float] = {}
        self._delays: list[float] = []
        self._unmatched = 0
        self._untimed = 0
        self._untimed_first: Any = None

    def event(self, fields: Mapping[str, Any]) -> None:
        """Count one event, or one row of whatever this is."""
        self.records += 1
        for name, value in fields.items():
            field = self.fields.get(name)
            if field is None:
                field = self.fields[name] = FieldCounts()
            field.add(value)
        if self.time is None:
            self.time = self._time_field()
        time = seconds_of(fields.get(self.time)) if self.time else None
        if time is None:
            self._no_time(fields.get(self.time or ""))
            return
        self._timed(time)
        event_id = fields.get(self._id)
        if event_id is not None and len(self._asked) < IDS_MAX:
            self._asked[event_id] = time

    def _no_time(self, value: Any) -> None:
        if value is not None:
            self._untimed_first = value if not self._untimed else self._untimed_first
            self._untimed += 1

    def _time_field(self) -> str | None:
        if "event_time" in self.fields:
            return "event_time"
        times = (
            name
            for name, field in self.fields.items()
            if set(field.types) == {"time"} and name != "outcome_time"
        )
        return next(times, None)

    def _timed(self, time: float) -> None:
        self._first = time if self._first is None else min(self._first, time)
        if time < self._newest:
            self._behind += 1
            self._behind_most = max(self._behind_most, self._newest - time)
        self._newest = max(self._newest, time)
        if len(self._hours) < BUCKETS_MAX:
            self._hours[int(time // 3600)] += 1

    def outcome(self, fields: Mapping[str, Any]) -> None:
        """Count one outcome, after its event."""
        self.outcomes += 1
        asked = self._asked.pop(fields.get(self._id), None)
        known = seconds_of(fields.get("outcome_time"))
        if asked is None or known is None:
            self._unmatched += 1
        else:
            self._delays.append(known - asked)

    def report(self) -> dict[str, Any]:
        """Return the whole profile, as JSON."""
        for field in self.fields.values():
            field.settle()
        return {
            "records": self.records,
            "fields": {name: field.report(self.records) for name, field in self.fields.items()},
            "time": self._time_report(),
            "keys": self._keys(),
            "ids": self._ids(),
            "delays": self._delay_report(),
        }

    def _time_report(self) -> dict[str, Any] | None:
        if self._first is None:
            return None if not self._untimed else self._untimed_report()
        counted = sum(self._hours.values())
        span = self._newest - self._first
        return {
            "from": datetime.fromtimestamp(self._first, UTC).isoformat(),
            "to": datetime.fromtimestamp(self._newest, UTC).isoformat(),
            "span_s": span,
            "per_hour": counted / (span / 3600) if span else None,
            "per_hour_most": max(self._hours.values()),
            "out_of_order": self._behind / counted,
            "out_of_order_s_most": self._behind_most,
            **self._untimed_report(),
        }

    def _untimed_report(self) -> dict[str, Any]:
        return {
            "field": self.time,
            "not_a_time": self._untimed,
            "not_a_time_first": self._untimed_first,
        }

    def _ids(self) -> list[str]:
        """Return the fields that differ in every record."""
        return [
            name
            for name, field in self.fields.items()
            if sum(field.types.values()) == self.records > 1
            and field.values
            and len(field.values) == min(self.records, DISTINCT_MAX)
            and set(field.types) <= {"text", "whole"}
        ]

    def _keys(self) -> list[dict[str, Any]]:
        """Return fields that could be the Kafka key: never missing, neither unique nor constant."""
        candidates = []
        for name, field in self.fields.items():
            n, distinct = sum(field.types.values()), len(field.values)
            plain = set(field.types) <= {"text", "whole"}
            if not plain or n < self.records or not 2 <= distinct <= n / 2:
                continue
            load = [0] * PARTITIONS
            for value, count in field.values.items():
                load[partition_of(str(value).encode(), PARTITIONS)] += count
            candidates.append(
                {
                    "field": name,
                    "distinct": distinct,
                    "largest": field.values.most_common(1)[0][1] / n,
                    "partition_most": max(load) / sum(load),
                }
            )
        # Text first: numbers are mostly amounts.
        return sorted(
            candidates,
            key=lambda key: ("text" not in self.fields[key["field"]].types, key["partition_most"]),
        )

    def _delay_report(self) -> dict[str, Any] | None:
        if not self.outcomes:
            return None
        delays = sorted(self._delays)
        report: dict[str, Any] = {
            "outcomes": self.outcomes,
            "labelled": len(delays) / self.records if self.records else 0.0,
            "unmatched": self._unmatched,
            "negative": sum(delay < 0 for delay in delays),
        }
        if delays:
            for name, share in (("half", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("all", 1.0)):
                report[name] = delays[min(int(share * len(delays)), len(delays) - 1)]
            report["horizon"] = _horizon(report["99 %"])
        return report


def seconds_of(value: Any) -> float | None:
    """Return a time, as text, datetime or Unix time, as seconds UTC; None if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return unix_seconds(value)
    return moment(value)


def _horizon(delay_s: float) -> str:
    """Return a round length that is not shorter, as it is declared.

    >>> _horizon(5000.0)
    'minutes(84)'
    """
    for unit, size in (("minutes", 60), ("hours", 3600), ("days", 86_400)):
        n = max(1, -int(-delay_s // size))
        if n <= {"minutes": 90, "hours": 72, "days": n}[unit]:
            return f"{unit}({n})"
    return spoken(delay_s)
