"""Lifecycle, drift, dead letters, definitions, alerts, label delays and standings."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson

from models.metrics.label_delays import delays_of
from streams.inspection.model_registry import together
from streams.monitor.store.table_store import MetricsSource
from streams.monitor.store.view_models import (
    AlertRow,
    DeadLetterGroup,
    DefinitionRow,
    DelayPoint,
    Delivery,
    DriftRow,
    Mute,
    Restart,
    StateChange,
)
from streams.operations.alert_mutes import MUTED
from streams.operations.operator_actions import ALERTS

POSITIONS_MAX = 100
DELIVERY = "delivery"
"""The table, and its only field, of alerts that the webhook does not accept."""

SEVERITY_RANK = {"alarm": 0, "warning": 1, "notice": 2}
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.:+TZ-]*")


async def lifecycle(source: MetricsSource) -> tuple[StateChange, ...]:
    """Return the newest `ROWS_MAX` changes of models, oldest first."""
    (table,) = await source.tables(["lifecycle"])
    changes = []
    for value in table.values():
        record = orjson.loads(value)
        changes.append(record | {"time": _moment(record["time_ms"])})
    names = [name for name in StateChange.__slots__ if name != "partitions"]
    return tuple(
        StateChange(**{n: group[n] for n in names}, partitions=tuple(sorted(group["partitions"])))
        for group in together(changes)
    )


async def muted(source: MetricsSource, now_s: float) -> Mute | None:
    """Return the mute that an operator set last, if it is still in force.

    The records are written by streams/operations/alert_mutes.py.
    """
    mutes = [change for change in await lifecycle(source) if change.model == ALERTS]
    if not mutes or mutes[-1].to_state != MUTED:
        return None
    evidence = mutes[-1].evidence or {}
    try:
        until = datetime.fromisoformat(evidence["until"])
        rules = tuple(map(str, evidence["rules"]))
    except (KeyError, TypeError, ValueError):
        return None  # alert_mutes.py writes no such record
    if until.timestamp() <= now_s:
        return None
    return Mute(until.isoformat(), rules, mutes[-1].who, mutes[-1].why)


async def delivery(source: MetricsSource) -> Delivery | None:
    """Return the alerts that the webhook refuses; None if it accepts all, or none is set."""
    (table,) = await source.tables([DELIVERY])
    return Delivery(**orjson.loads(table[DELIVERY])) if DELIVERY in table else None


async def states(source: MetricsSource, count: int) -> tuple[dict[str, tuple[int, ...]], bool]:
    """Return champion → its partitions, and whether promotions are frozen in any partition."""
    champions: dict[str, list[int]] = {}
    frozen = False
    for number, table in enumerate(await source.tables([f"states:{n}" for n in range(count)])):
        for field, value in table.items():
            record = orjson.loads(value)
            if field == "frozen":
                frozen = frozen or record["to_state"] == "frozen"
            elif field.startswith("state|") and record["to_state"] == "champion":
                champions.setdefault(record["model"], []).append(number)
    return {model: tuple(numbers) for model, numbers in sorted(champions.items())}, frozen


async def drift(source: MetricsSource) -> tuple[DriftRow, ...]:
    """Return every detected change, oldest first."""
    (table,) = await source.tables(["drift"])
    names = ("partition", "detector", "subject", "was", "now", "since", "severity")
    rows = []
    for value in table.values():
        record = orjson.loads(value)
        fields = {name: record[name] for name in names}
        rows.append(DriftRow(time=_moment(record["time_ms"]), record=record, **fields))
    return tuple(rows)


async def restarts(source: MetricsSource) -> tuple[Restart, ...]:
    """Return every recovery of a partition that the monitor saw, oldest first."""
    (table,) = await source.tables(["restarts"])
    return tuple(Restart(**orjson.loads(value)) for value in table.values())


async def dead_letters(source: MetricsSource, count: int) -> tuple[DeadLetterGroup, ...]:
    """Return the newest dead letters of each partition by cause, the most frequent first."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for table in await source.tables([f"dead-letter:{n}" for n in range(count)]):
        for value in table.values():
            letter = orjson.loads(value)
            cause = _VARYING.sub("…", letter["error"])
            key = letter["error_class"], letter["stage"], letter["topic"], cause
            groups.setdefault(key, []).append(letter)
    summaries = [_dead_letter_group(key, letters) for key, letters in groups.items()]
    return tuple(sorted(summaries, key=lambda group: (-group.count, group.cause)))


def _dead_letter_group(key: tuple[str, ...], letters: list[dict[str, Any]]) -> DeadLetterGroup:
    letters.sort(key=lambda letter: letter["time_ms"])
    newest = letters[-1]
    error_class, stage, topic, cause = key
    return DeadLetterGroup(
        error_class=error_class,
        stage=stage,
        topic=topic,
        cause=cause,
        count=len(letters),
        first=_moment(letters[0]["time_ms"]),
        last=_moment(newest["time_ms"]),
        example=newest["error"],
        positions=tuple(letter["position"] for letter in reversed(letters[-POSITIONS_MAX:])),
    )


async def delays(
    source: MetricsSource, count: int, segment: str | None = None
) -> tuple[DelayPoint, ...]:
    """Return the share of labelled predictions by age (models/metrics/label_delays.py)."""
    tables = await source.tables([f"delays:{n}" for n in range(count)])
    rows = [orjson.loads(table[segment or ""]) for table in tables if (segment or "") in table]
    curves = delays_of(rows, horizon_s=0.0).get(segment)
    curve = [] if curves is None else curves["curve"]
    at_risk: Counter[float] = Counter()
    for row in rows:
        at_risk.update(dict(zip(row["edges_s"], row["exposed"], strict=True)))
    return tuple(DelayPoint(age_s, share, round(at_risk[age_s])) for age_s, share in curve)


async def standings(source: MetricsSource) -> tuple[dict[str, Any], ...]:
    """Return every comparison as it stands now: the fields of `schemas.records.Standing`."""
    (table,) = await source.tables(["verdicts"])
    return tuple(orjson.loads(value) for value in table.values())


async def standing_history(source: MetricsSource, name: str) -> tuple[dict[str, Any], ...]:
    """Return one comparison (row_mapping.standing_name) over time, oldest first."""
    (table,) = await source.tables([f"standings:{name}"])
    return tuple(orjson.loads(value) for value in table.values())


async def alerts(source: MetricsSource, *, open_only: bool = False) -> tuple[AlertRow, ...]:
    """Return alerts by their newest record: open ones by severity, then closed, newest first."""
    (table,) = await source.tables(["alerts"])
    records = [orjson.loads(value) for value in table.values()]
    rows = [AlertRow(**{name: record[name] for name in AlertRow.__slots__}) for record in records]
    chosen = [row for row in rows if not open_only or row.state == "open"]
    return tuple(
        sorted(chosen, key=lambda row: (row.state != "open", _severity_rank(row), _descending(row)))
    )


def _severity_rank(row: AlertRow) -> int:
    return SEVERITY_RANK[row.severity] if row.state == "open" else 0


def _descending(row: AlertRow) -> float:
    return -datetime.fromisoformat(row.opened_at).timestamp()


async def definitions(source: MetricsSource) -> tuple[DefinitionRow, ...]:
    """Return every definition that ran, ordered by when a worker last started with it."""
    (table,) = await source.tables(["definitions"])
    rows = [orjson.loads(value) for value in table.values()]
    rows.sort(key=lambda row: row["time_ms"])
    return tuple(DefinitionRow(**row | {"time": _moment(row.pop("time_ms"))}) for row in rows)


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
