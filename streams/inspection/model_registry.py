"""The registry: every model of every segment and partition, as the topics and the workers tell it.

There is no database behind it. Who began and was promoted, when, by whom and why is on `lifecycle`,
what was learnt on `examples`, how good it is on `metrics`, its source on `definitions`, the journal
place on `journal`, and who owns the partition now is what workers tell in Redis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from models.kinds import metric_value
from models.usecase import UseCase
from schemas.errors import Unavailable
from streams import statuses
from streams.loading import Loaded
from streams.log import newest_entries
from streams.operating import group_of
from streams.past_definitions import Definitions
from streams.revealing import REVEALED
from streams.settings import Settings
from streams.tapes import Tapes

Scores = dict[tuple[str | None, str], dict[str, Any]]
"""(segment, model) → n, metric, kpi_sum and predictions, all windows and partitions together."""


@dataclass(slots=True)
class Entry:
    """One model of one segment (None: pooled) on one partition.

    `began` and `since` are when it was committed; `began_event_time` is the watermark then.
    """

    model: str
    segment: str | None
    partition: int
    state: str
    definition: str | None = None
    parent: str | None = None
    began: str | None = None
    began_event_time: str | None = None
    began_step: int = 0
    why: str = ""
    since: str | None = None
    cause: str = ""
    who: str = ""
    learnt: int = 0
    withheld: str | None = None
    frozen: bool = False
    journal_seq: int | None = None
    journal_step: int | None = None
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    worker: str | None = None

    @property
    def version(self) -> str:
        """As predictions name it."""
        return f"{self.model}@{self.definition}#{self.learnt}"


@dataclass(slots=True)
class Registry:
    """What was gathered; `changes` are lifecycle records with `time`, when they were committed."""

    use_case: UseCase
    topic: str
    entries: list[Entry] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    scores: Scores = field(default_factory=dict)
    definitions: Definitions = field(default_factory=lambda: Definitions({}))
    counts: Counter[str] = field(default_factory=Counter)
    first_event: str | None = None
    last_event: str | None = None

    def of(self, model: str, segment: str | None = None) -> list[Entry]:
        """One model of one segment, on all partitions."""
        return [e for e in self.entries if e.model == model and e.segment == segment]

    def rows(self) -> list[dict[str, Any]]:
        """Every entry as plain data."""
        return [
            asdict(entry) | {"version": entry.version, "owner": self.use_case.owner}
            for entry in self.entries
        ]


async def changes(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """All lifecycle records in the order of their commit, each with `time` (Kafka's)."""
    found = []
    async with Tapes([topic], settings) as tapes:
        if not tapes.places:
            raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
        for place in tapes.places:
            async for record in tapes.records(place):
                time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
                found.append(orjson.loads(record.value) | {"time": time.isoformat()})
    return sorted(found, key=lambda change: change["time"])


def together(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same change in several partitions as one, with `partitions` and `places`, PARTITION/STEP:
    by its command, else by what it says.
    """
    groups: dict[Any, dict[str, Any]] = {}
    for change in found:
        place = tuple(
            change[name]
            for name in ("command_id", "model", "segment", "from_state", "to_state", "why")
        )
        # Without a command, partitions change by themselves, and may do so again.
        if change["command_id"] is None and change["cause"] != "definition":
            place = (*place, change["partition"], change["step"])
        group = groups.setdefault(place, {**change, "partitions": [], "places": []})
        if change["partition"] not in group["partitions"]:
            group["partitions"].append(change["partition"])
            group["places"].append(f"{change['partition']}/{change['step']}")
    return list(groups.values())


def folded(found: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries that lifecycle records, in their order, lead to; retired ones stay as such."""
    entries: dict[tuple[int, str | None, str], Entry] = {}
    frozen: dict[int, bool] = {}
    for change in found:
        if change["to_state"] in (REVEALED, "released"):
            continue  # about no model
        if change["to_state"] in ("frozen", "open"):
            frozen[change["partition"]] = change["to_state"] == "frozen"
            continue
        place = change["partition"], change["segment"], change["model"]
        entry = entries.get(place)
        if change["to_state"] == "withheld":
            if entry is not None:
                entry.withheld = change["why"]
            continue
        if entry is None or entry.state == "retired":
            entry = entries[place] = Entry(
                change["model"],
                change["segment"],
                change["partition"],
                change["to_state"],
                parent=(change["evidence"] or {}).get("parent"),
                began=change["time"],
                began_event_time=change["event_time"],
                began_step=change["step"],
                why=change["why"],
            )
        entry.state, entry.since = change["to_state"], change["time"]
        entry.cause, entry.who = change["cause"], change["who"]
    for entry in entries.values():
        entry.frozen = frozen.get(entry.partition, False)
    return sorted(entries.values(), key=lambda e: (e.segment or "", e.model, e.partition))


async def gather(
    loaded: Loaded,
    settings: Settings,
    names: Mapping[str, str],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Registry:
    """Everything that is known of a use case's models. Reads the examples from end to end."""
    registry = Registry(loaded.use_case, names["lifecycle"])
    registry.changes = await changes(settings, names["lifecycle"])
    registry.entries = folded(registry.changes)
    registry.definitions = await Definitions.read(names["definitions"], settings)
    await _count_examples(registry, settings, names["examples"], on_progress)
    registry.scores = await scores(loaded.use_case, settings, names["metrics"])
    await _add_places(registry, settings, names)
    await _add_workers(registry, loaded, settings)
    return registry


async def _count_examples(
    registry: Registry, settings: Settings, topic: str, on_progress: Callable[[int], None]
) -> None:
    by_place: dict[tuple[int, str | None], list[Entry]] = {}
    for entry in registry.entries:
        by_place.setdefault((entry.partition, entry.segment), []).append(entry)
    counts, done = registry.counts, 0
    async with Tapes([topic], settings) as tapes:
        for place in tapes.places:
            async for record in tapes.records(place):
                example = orjson.loads(record.value)
                done += 1
                if done % 1_000 == 0:
                    on_progress(done)
                counts[example["source"]] += 1
                time = example["event_time"]
                registry.first_event = min(registry.first_event or time, time)
                registry.last_event = max(registry.last_event or time, time)
                if not example["learnt"]:
                    counts["late"] += 1
                    continue
                segments = {None, example["segment"]}
                for entry in (e for s in segments for e in by_place.get((place.partition, s), ())):
                    if example["step"] >= entry.began_step and entry.state != "retired":
                        entry.learnt += 1


async def scores(use_case: UseCase, settings: Settings, topic: str) -> Scores:
    """Metric and KPI of each segment and model, from the newest record of each key."""
    cells: dict[tuple[int, bytes], dict[str, Any]] = {}
    async with Tapes([topic], settings) as tapes:
        for place in tapes.places:
            async for record in tapes.records(place):
                if record.value is not None:
                    cells[place.partition, record.key] = orjson.loads(record.value)
    found: Scores = {}
    for cell in cells.values():
        if cell["slice"] is not None:
            continue
        row = found.setdefault(
            (cell["segment"], cell["model"]),
            {"sums": Counter(), "kpi_sum": 0.0, "predictions": 0, "guarded": 0, "expired": 0},
        )
        row["sums"].update(cell["sums"])
        row["kpi_sum"] += cell["kpi_sum"] or 0.0
        for name in ("predictions", "guarded", "expired"):
            row[name] += cell[name]
    for row in found.values():
        sums = row.pop("sums")
        row["n"] = int(sums["n"])
        row["metric"] = metric_value(use_case.metric, sums["n"], sums)
        row["kpi"] = row["kpi_sum"] / sums["n"] if sums["n"] else None
        row["maturity"] = sums["n"] / row["predictions"] if row["predictions"] else None
    return found


async def _add_places(registry: Registry, settings: Settings, names: Mapping[str, str]) -> None:
    numbers = sorted({entry.partition for entry in registry.entries})
    newest = await newest_entries(settings.kafka_client(), names, numbers)
    for entry in registry.entries:
        last = newest[entry.partition]
        if last is not None:
            entry.definition = last.definition
            entry.journal_seq, entry.journal_step = last.seq, last.step


async def _add_workers(registry: Registry, loaded: Loaded, settings: Settings) -> None:
    if settings.redis_url is None:
        return
    try:
        workers = await statuses.workers(group_of(loaded, settings), settings)
    except Unavailable:
        return  # the registry is what the topics say; who works now is a comfort
    told = {row["partition"]: row for row in statuses.partitions(workers, 0)}
    for entry in registry.entries:
        row = told.get(entry.partition)
        if row is not None:
            entry.worker, entry.snapshot = row["worker"], row["snapshot"]
