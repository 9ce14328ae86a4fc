"""A model card: purpose, data, metrics, limits and lineage of one model, as data and as Markdown.

After Mitchell et al. 2019, Model Cards for Model Reporting (FAT*), as far as a machine can know it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from models.spec.use_case import UseCase
from models.values.durations import spoken
from schemas.errors import ConfigError
from streams.config.naming import number_of, title_of
from streams.inspection.model_registry import Registry
from streams.replay.definition_history import Unprovable


def card(registry: Registry, model: str, segment: str | None = None) -> dict[str, Any]:
    """Return the card as plain data; raise `ConfigError` if there is no such model."""
    entries = registry.of(model, segment)
    if not entries:
        known = sorted(
            {
                e.model if e.segment is None else f"{e.model} --segment {e.segment}"
                for e in registry.entries
            }
        )
        raise ConfigError(
            f"{registry.topic} knows no model {model!r} of segment {segment!r}.",
            hint=f"It knows: {', '.join(known) or 'none; has a worker run?'}.",
        )
    use_case, about, described_by = _described(registry, entries[0].definition)
    return {
        "model": model,
        "segment": segment,
        "described_by": described_by,
        "use_case": use_case.name,
        "owner": use_case.owner,
        "states": [
            {"partition": e.partition, "state": e.state, "since": e.since, "version": e.version}
            for e in entries
        ],
        "purpose": _purpose(use_case, about),
        "data": _data(registry, use_case),
        "metrics": _metrics(registry, use_case, model, segment),
        "limits": _limits(registry, use_case, model),
        "lineage": _lineage(registry, model, segment),
    }


def _described(registry: Registry, definition: str | None) -> tuple[UseCase, str, str]:
    """Return the use case as the model runs it, its docstring, and which source that is."""
    definitions = registry.definitions
    record = definitions.records.get(definition or "")
    try:
        loaded = definitions.loaded(definition or "")
    except Unprovable:
        return registry.use_case, "", "the file at hand"
    source = "" if record is None else record.source
    return loaded.use_case, ast.get_docstring(ast.parse(source)) or "", f"definition {definition}"


def _purpose(use_case: UseCase, about: str) -> dict[str, Any]:
    return {
        "about": about,
        "kind": use_case.kind,
        "learns": use_case.target,
        "champion": use_case.champion,
        "models": list(use_case.models),
    }


def _data(registry: Registry, use_case: UseCase) -> dict[str, Any]:
    counts = registry.counts
    return {
        "events_topic": use_case.topics.get("events", f"{use_case.name}.events"),
        "key": use_case.key,
        "event": _fields(use_case.event),
        "outcome": _fields(use_case.outcome),
        "features": list(use_case.features),
        "examples": counts["outcome"] + counts["default"] + counts["history"],
        "of_which_history": counts["history"],
        "of_which_default_labels": counts["default"],
        "too_late_to_learn": counts["late"],
        "first_event": registry.first_event,
        "last_event": registry.last_event,
    }


def _fields(model: Any) -> dict[str, str]:
    return {name: field.description or "" for name, field in model.model_fields.items()}


def _metrics(
    registry: Registry, use_case: UseCase, model: str, segment: str | None
) -> dict[str, Any]:
    # A segment's own model has no sums of its own; what was served there has.
    names = ("served", "baseline") if segment is not None else (model, "served", "baseline")
    segments = sorted({s for s, _ in registry.scores if s is not None})
    return {
        "metric": use_case.metric,
        "kpi_unit": use_case.kpi.unit,
        "kpi_better": use_case.kpi.better,
        "targets": dict(use_case.targets),
        "scores": {name: registry.scores.get((segment, name)) for name in names},
        "segments": {
            s: {name: registry.scores.get((s, name)) for name in names}
            for s in (segments if segment is None else [])
        },
    }


def _limits(registry: Registry, use_case: UseCase, model: str) -> dict[str, Any]:
    withheld = {e.partition: e.withheld for e in registry.of(model) if e.withheld}
    return {
        "values": use_case.limits_of(model),
        "interval": use_case.interval,
        "horizon": spoken(use_case.horizon),
        "default_label": use_case.label_on_timeout,
        "warmup_examples": use_case.warmup_of(model),
        "shadow_share": use_case.contest.shadow,
        "outcome_depends_on_answer": use_case.contest.acts_on_outcome,
        "withheld": withheld,
    }


def _lineage(registry: Registry, model: str, segment: str | None) -> dict[str, Any]:
    entries = registry.of(model, segment)
    hashes = sorted({e.definition for e in entries if e.definition})
    return {
        "began": min((e.began for e in entries if e.began), default=None),
        "why": entries[0].began_why,
        "parents": sorted({e.parent for e in entries if e.parent}),
        "definitions": [_definition(registry, definition) for definition in hashes],
        "journal": {e.partition: {"seq": e.journal_seq, "step": e.journal_step} for e in entries},
        "snapshots": {e.partition: dict(e.snapshot) for e in entries if e.snapshot},
        "changes": [
            change
            for change in registry.changes
            if change["model"] == model and change["segment"] == segment
        ],
    }


def _definition(registry: Registry, definition: str) -> dict[str, Any]:
    record = registry.definitions.records.get(definition)
    if record is None:
        return {"definition": definition}
    return record.model_dump(exclude={"source", "lock", "use_case"})


# As Markdown.


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    of = "" if card["segment"] is None else f", segment {card['segment']}"
    yield f"# {card['model']} of {card['use_case']}{of}\n"
    yield f"{card['purpose']['about']}\n"
    yield f"Owner: {card['owner']}. Kind: {card['purpose']['kind']}, learning "
    yield f"{card['purpose']['learns']}. Described by {card['described_by']}.\n"
    yield "| partition | state | since | version |\n| --- | --- | --- | --- |"
    for row in card["states"]:
        where, version = number_of(row["partition"]), row["version"]
        yield f"| {where} | {row['state']} | {row['since']} | `{version}` |"
    yield from _data_lines(card["data"])
    yield from _metric_lines(card["metrics"])
    yield "\n## Limits\n"
    for name, value in card["limits"].items():
        if value not in (None, {}):
            yield f"- {name.replace('_', ' ')}: {value}"
    yield from _lineage_lines(card["lineage"])


def _data_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Data\n"
    yield f"- {data['examples']:,} examples, {data['first_event']} to {data['last_event']}"
    yield f"- of which backfilled: {data['of_which_history']:,}, default labels: "
    yield f"  {data['of_which_default_labels']:,}, too late to learn: {data['too_late_to_learn']:,}"
    yield f"- key: `{data['key']}`, features: {', '.join(f'`{f}`' for f in data['features'])}\n"
    yield "| field | of | meaning |\n| --- | --- | --- |"
    for of in ("event", "outcome"):
        for name, about in data[of].items():
            yield f"| `{name}` | {of} | {about} |"


def _metric_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## Metrics\n\n{metrics['metric']}, and {metrics['kpi_unit']} an event "
    yield f"({metrics['kpi_better']} is better), scored when the outcome came.\n"
    yield f"| who | segment | scored | {metrics['metric']} | {metrics['kpi_unit']} an event |"
    yield "| --- | --- | --- | --- | --- |"
    for segment, rows in [("all", metrics["scores"]), *metrics["segments"].items()]:
        for name, row in rows.items():
            if row is not None:
                figures = f"{_number(row['metric'])} | {_number(row['kpi'])}"
                yield f"| {name} | {segment} | {row['n']:,} | {figures} |"
    if metrics["targets"]:
        yield f"\nTargets: {', '.join(f'{n} {v:g}' for n, v in metrics['targets'].items())}."


def _lineage_lines(lineage: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## Lineage\n\nBegan {lineage['began']}: {lineage['why']}."
    if lineage["parents"]:
        yield f"Parents: {', '.join(lineage['parents'])}."
    for definition in lineage["definitions"]:
        parts = ", ".join(f"{name} {value}" for name, value in definition.items())
        yield f"\n- {parts}"
    for partition, entry in lineage["journal"].items():
        yield f"- {title_of(partition)}: journal entry {entry['seq']}, step {entry['step']}"
    yield "\n| when | partition | from | to | who | why |\n| --- | --- | --- | --- | --- | --- |"
    for change in lineage["changes"]:
        yield (
            f"| {change['event_time'] or change['time']} | {number_of(change['partition'])} "
            f"| {change['from_state'] or ''} | {change['to_state']} | {change['who']} "
            f"| {change['why']} |"
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
