"""The registry: every model of every segment and partition, as the topics and the workers tell it.

There is no database behind it. Which model began or was promoted, when, by whom and why is on
`lifecycle`, what was learnt on `examples`, how good it is on `metrics`, its source on
`definitions`, the journal position on `journal`, and the partition's present owner is what workers
report in Redis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from models.spec.problem_types import metric_value
from models.spec.use_case import UseCase
from schemas.errors import Unavailable
from schemas.topics import LEARNER
from streams.config.naming import group_of, position_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.record_decoder import time_of
from streams.kafka.topic_reader import TopicReader
from streams.operations.dead_letter_states import RELEASED
from streams.operations.operator_actions import SUBJECTS
from streams.operations.redefine import FRESH
from streams.replay.definition_history import DefinitionHistory
from streams.replay.kafka_log import newest_entries
from streams.telemetry import partition_table

Scores = dict[tuple[str | None, str], dict[str, Any]]
"""(segment, model) → n, metric, kpi_sum and predictions, all windows and partitions together."""


@dataclass(slots=True)
class RegistryEntry:
    """One model of one segment (None: pooled) on one partition, or the learner's (`LEARNER`).

    `began` and `since` are when it was committed; `began_event_time` is the watermark then.
    `cause`, `who` and `why` are of its last change. It learnt `learnt` examples, of which those
    from `began_step` on are counted on `examples`.
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
    began_why: str = ""
    since: str | None = None
    cause: str = ""
    who: str = ""
    why: str = ""
    learnt: int = 0
    withheld: str | None = None
    frozen: bool = False
    journal_seq: int | None = None
    journal_step: int | None = None
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    worker: str | None = None

    @property
    def version(self) -> str:
        """Return the version as predictions name it."""
        return f"{self.model}@{self.definition}#{self.learnt}"


@dataclass(slots=True)
class Registry:
    """The collected entries; `changes` are lifecycle records with `time`, that of their commit."""

    use_case: UseCase
    topic: str
    entries: list[RegistryEntry] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    scores: Scores = field(default_factory=dict)
    definitions: DefinitionHistory = field(default_factory=lambda: DefinitionHistory({}))
    counts: Counter[str] = field(default_factory=Counter)
    first_event: str | None = None
    last_event: str | None = None

    def of(self, model: str, segment: str | None = None) -> list[RegistryEntry]:
        """Return the entries of one model of one segment, on all partitions."""
        return [e for e in self.entries if e.model == model and e.segment == segment]

    def rows(self) -> list[dict[str, Any]]:
        """Return every entry as plain data."""
        return [
            asdict(entry) | {"version": entry.version, "owner": self.use_case.owner}
            for entry in self.entries
        ]


async def changes(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """Return all lifecycle records in the order of their commit, each with Kafka's `time`."""
    rows = []
    async with TopicReader([topic], settings) as reader:
        if not reader.topic_partitions:
            raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
        for topic_partition in reader.topic_partitions:
            async for record, change in reader.rows("lifecycle", topic_partition):
                rows.append(change | {"time": time_of(record.timestamp)})
    return sorted(rows, key=lambda change: change["time"])


def together(changes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the same change in several partitions as one, with `partitions` and `positions`.

    Changes are the same if one command made them, else if their content is equal. A place is
    PARTITION/STEP.
    """
    groups: dict[Any, dict[str, Any]] = {}
    for change in changes:
        key = tuple(
            change[name]
            for name in ("command_id", "model", "segment", "from_state", "to_state", "why")
        )
        # Without a command, partitions change by themselves, and may do so again.
        if change["command_id"] is None and change["cause"] != "definition":
            key = (*key, change["partition"], change["step"])
        group = groups.setdefault(key, {**change, "partitions": [], "positions": []})
        if change["partition"] not in group["partitions"]:
            group["partitions"].append(change["partition"])
            group["positions"].append(position_of(change["partition"], change["step"]))
    return list(groups.values())


ABOUT_NO_MODEL = (RELEASED, "set back", "unchanged", "skipped", "halted")
"""The names of states that are of the partition and not of a model."""


def folded(changes: Iterable[Mapping[str, Any]]) -> list[RegistryEntry]:
    """Return the entries that lifecycle records, in their order, result in.

    Retired ones are included.
    """
    entries: dict[tuple[int, str | None, str], RegistryEntry] = {}
    frozen: dict[int, bool] = {}
    for change in changes:
        if change["model"] in SUBJECTS or change["to_state"] in ABOUT_NO_MODEL:
            continue
        if change["to_state"] in ("frozen", "open"):
            frozen[change["partition"]] = change["to_state"] == "frozen"
            continue
        key = change["partition"], change["segment"], change["model"]
        entry = entries.get(key)
        if change["to_state"] == "withheld":
            if entry is not None:
                entry.withheld = change["why"]
            continue
        evidence = change["evidence"] or {}
        if entry is None or entry.state == "retired" or evidence.get("begun") == FRESH:
            entry = entries[key] = RegistryEntry(
                change["model"],
                change["segment"],
                change["partition"],
                change["to_state"],
                parent=evidence.get("parent"),
                began=change["time"],
                began_event_time=change["event_time"],
                began_step=change["step"],
                began_why=change["why"],
            )
        learnt = evidence.get("learnt") or {}
        if change["model"] in learnt:  # another model has replaced it since: what it had learnt
            entry.learnt, entry.began_step = learnt[change["model"]], change["step"] + 1
        entry.state, entry.since = change["to_state"], change["time"]
        entry.cause, entry.who, entry.why = change["cause"], change["who"], change["why"]
    for entry in entries.values():
        entry.frozen = frozen.get(entry.partition, False)
    return sorted(entries.values(), key=lambda e: (e.segment or "", e.model, e.partition))


async def gather(
    loaded: LoadedUseCase,
    settings: Settings,
    names: Mapping[str, str],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Registry:
    """Return the registry of a use case's models; reads the examples from end to end."""
    registry = Registry(loaded.use_case, names["lifecycle"])
    registry.changes = await changes(settings, names["lifecycle"])
    registry.entries = folded(registry.changes)
    registry.definitions = await DefinitionHistory.read(names["definitions"], settings)
    await _count_examples(registry, settings, names["examples"], on_progress)
    await _count_versions(registry, settings, names["models"])
    registry.scores = await scores(loaded.use_case, settings, names["metrics"])
    await _add_places(registry, settings, names)
    await _add_workers(registry, loaded, settings)
    return registry


async def _count_examples(
    registry: Registry, settings: Settings, topic: str, on_progress: Callable[[int], None]
) -> None:
    by_place: dict[tuple[int, str | None], list[RegistryEntry]] = {}
    for entry in registry.entries:
        by_place.setdefault((entry.partition, entry.segment), []).append(entry)
    counts, done = registry.counts, 0
    async with TopicReader([topic], settings) as reader:
        for each in reader.topic_partitions:
            async for _, example in reader.rows("examples", each):
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
                for entry in (e for s in segments for e in by_place.get((each.partition, s), ())):
                    if example["step"] >= entry.began_step and entry.state != "retired":
                        entry.learnt += 1


async def _count_versions(registry: Registry, settings: Settings, topic: str) -> None:
    """Count for shared models the examples that their newest versions have learnt."""
    shared = {e.model: e for e in registry.entries if e.partition == LEARNER}
    if not shared:
        return
    async with TopicReader([topic], settings) as reader:
        for each in reader.topic_partitions:
            async for _, update in reader.rows("models", each):
                version = update["version"]
                if version is not None and version["model"] in shared:
                    shared[version["model"]].learnt = version["trained_on"]


async def scores(use_case: UseCase, settings: Settings, topic: str) -> Scores:
    """Return metric and KPI of each segment and model, from the newest record of each key."""
    cells: dict[tuple[int, bytes], dict[str, Any]] = {}
    async with TopicReader([topic], settings) as reader:
        for topic_partition in reader.topic_partitions:
            async for record, cell in reader.rows("metrics", topic_partition):
                cells[topic_partition.partition, record.key] = cell
    rows: Scores = {}
    for cell in cells.values():
        if cell["slice"] is not None:
            continue
        row = rows.setdefault(
            (cell["segment"], cell["model"]),
            {"sums": Counter(), "kpi_sum": 0.0, "predictions": 0, "guarded": 0, "expired": 0},
        )
        row["sums"].update(cell["sums"])
        row["kpi_sum"] += cell["kpi_sum"] or 0.0
        for name in ("predictions", "guarded", "expired"):
            row[name] += cell[name]
    for row in rows.values():
        sums = row.pop("sums")
        row["n"] = int(sums["n"])
        row["metric"] = metric_value(use_case.metric, sums["n"], sums)
        row["kpi"] = row["kpi_sum"] / sums["n"] if sums["n"] else None
        row["maturity"] = sums["n"] / row["predictions"] if row["predictions"] else None
    return rows


async def _add_places(registry: Registry, settings: Settings, names: Mapping[str, str]) -> None:
    numbers = sorted({entry.partition for entry in registry.entries})
    newest = await newest_entries(settings.kafka_client(), names, numbers)
    for entry in registry.entries:
        last = newest[entry.partition]
        if last is not None:
            entry.definition = last.definition
            entry.journal_seq, entry.journal_step = last.seq, last.step


async def _add_workers(registry: Registry, loaded: LoadedUseCase, settings: Settings) -> None:
    if settings.redis_url is None:
        return
    try:
        workers = await partition_table.workers(group_of(loaded, settings), settings)
    except Unavailable:
        return  # the registry is what the topics say; who works now is a comfort
    told = {row["partition"]: row for row in partition_table.partitions(workers, 0)}
    for entry in registry.entries:
        row = told.get(entry.partition)
        if row is not None:
            entry.worker, entry.snapshot = row["worker"], row["snapshot"]
