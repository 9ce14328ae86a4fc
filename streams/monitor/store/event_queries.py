"""What happened: lifecycle, drift, dead letters, definitions, alerts, label delays, standings."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson

from models.delays import delays_of
from streams.monitor.figures import (
    AlertRow,
    Change,
    DefinitionRow,
    DelayPoint,
    Drifted,
    Letters,
    Restart,
)
from streams.monitor.shelves import Source
from streams.registry import together

PLACES = 100
GRAVITY = {"alarm": 0, "warning": 1, "notice": 2}
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.:+TZ-]*")


async def lifecycle(source: Source) -> tuple[Change, ...]:
    """Every change of every model that is kept, oldest first."""
    (shelf,) = await source.shelves(["lifecycle"])
    found = []
    for value in shelf.values():
        record = orjson.loads(value)
        found.append(record | {"time": _moment(record["time_ms"])})
    names = [name for name in Change.__slots__ if name != "partitions"]
    return tuple(
        Change(**{n: change[n] for n in names}, partitions=tuple(sorted(change["partitions"])))
        for change in together(found)
    )


async def states(source: Source, count: int) -> tuple[dict[str, tuple[int, ...]], bool]:
    """Champion → the partitions that have it; and whether promotions are frozen anywhere."""
    champions: dict[str, list[int]] = {}
    frozen = False
    for number, shelf in enumerate(await source.shelves([f"states:{n}" for n in range(count)])):
        for field, value in shelf.items():
            record = orjson.loads(value)
            if field == "frozen":
                frozen = frozen or record["to_state"] == "frozen"
            elif field.startswith("state|") and record["to_state"] == "champion":
                champions.setdefault(record["model"], []).append(number)
    return {model: tuple(numbers) for model, numbers in sorted(champions.items())}, frozen


async def drift(source: Source) -> tuple[Drifted, ...]:
    """Every change that was noticed, oldest first."""
    (shelf,) = await source.shelves(["drift"])
    names = ("partition", "detector", "subject", "was", "now", "since", "severity")
    found = []
    for value in shelf.values():
        record = orjson.loads(value)
        told = {name: record[name] for name in names}
        found.append(Drifted(time=_moment(record["time_ms"]), record=record, **told))
    return tuple(found)


async def restarts(source: Source) -> tuple[Restart, ...]:
    """Every partition that began anew at a worker while the monitor looked, oldest first."""
    (shelf,) = await source.shelves(["restarts"])
    return tuple(Restart(**orjson.loads(value)) for value in shelf.values())


async def dead_letters(source: Source, count: int) -> tuple[Letters, ...]:
    """The newest dead letters of each partition by cause, the most frequent first."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for shelf in await source.shelves([f"dead-letter:{n}" for n in range(count)]):
        for value in shelf.values():
            letter = orjson.loads(value)
            cause = _VARYING.sub("…", letter["error"])
            place = letter["error_class"], letter["stage"], letter["topic"], cause
            groups.setdefault(place, []).append(letter)
    found = [_letters(place, letters) for place, letters in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.count, group.cause)))


async def letters_since(source: Source, count: int, since_s: float) -> int:
    """How many of those were refused since (Unix time)."""
    shelves = await source.shelves([f"dead-letter:{n}" for n in range(count)])
    begin = f"{max(0, int(since_s * 1000)):013d}"
    return sum(field >= begin for shelf in shelves for field in shelf)


def _letters(place: tuple[str, ...], letters: list[dict[str, Any]]) -> Letters:
    letters.sort(key=lambda letter: letter["time_ms"])
    newest = letters[-1]
    error_class, stage, topic, cause = place
    return Letters(
        error_class=error_class,
        stage=stage,
        topic=topic,
        cause=cause,
        count=len(letters),
        first=_moment(letters[0]["time_ms"]),
        last=_moment(newest["time_ms"]),
        example=newest["error"],
        places=tuple(letter["place"] for letter in reversed(letters[-PLACES:])),
    )


async def delays(source: Source, count: int, segment: str | None = None) -> tuple[DelayPoint, ...]:
    """The share of predictions that have their label, by age (models/delays.py)."""
    shelves = await source.shelves([f"delays:{n}" for n in range(count)])
    rows = [orjson.loads(shelf[segment or ""]) for shelf in shelves if (segment or "") in shelf]
    found = delays_of(rows, horizon_s=0.0).get(segment)
    curve = [] if found is None else found["curve"]
    at_risk: Counter[float] = Counter()
    for row in rows:
        at_risk.update(dict(zip(row["edges_s"], row["exposed"], strict=True)))
    return tuple(DelayPoint(age_s, share, round(at_risk[age_s])) for age_s, share in curve)


async def standings(source: Source) -> tuple[dict[str, Any], ...]:
    """Every comparison as it stands now: the fields of `schemas.records.Standing`."""
    (shelf,) = await source.shelves(["verdicts"])
    return tuple(orjson.loads(value) for value in shelf.values())


async def standing_history(source: Source, name: str) -> tuple[dict[str, Any], ...]:
    """One comparison (rows.standing_name) over time, oldest first."""
    (shelf,) = await source.shelves([f"standings:{name}"])
    return tuple(orjson.loads(value) for value in shelf.values())


async def alerts(source: Source, *, open_only: bool = False) -> tuple[AlertRow, ...]:
    """Alerts by their newest record: the open ones by gravity, then the closed, newest first."""
    (shelf,) = await source.shelves(["alerts"])
    records = [orjson.loads(value) for value in shelf.values()]
    rows = [AlertRow(**{name: record[name] for name in AlertRow.__slots__}) for record in records]
    chosen = [row for row in rows if not open_only or row.state == "open"]
    return tuple(
        sorted(chosen, key=lambda row: (row.state != "open", _gravity(row), _descending(row)))
    )


def _gravity(row: AlertRow) -> int:
    return GRAVITY[row.severity] if row.state == "open" else 0


def _descending(row: AlertRow) -> float:
    return -datetime.fromisoformat(row.opened_at).timestamp()


async def definitions(source: Source) -> tuple[DefinitionRow, ...]:
    """Every definition that ran, in the order in which a worker last began with it."""
    (shelf,) = await source.shelves(["definitions"])
    rows = [orjson.loads(value) for value in shelf.values()]
    rows.sort(key=lambda row: row["time_ms"])
    return tuple(DefinitionRow(**row | {"time": _moment(row.pop("time_ms"))}) for row in rows)


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
