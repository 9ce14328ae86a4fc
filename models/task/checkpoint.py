"""A partition task's whole state as named parts, and back: what a snapshot is made of.

A part is plain data or a River model; what a use case's file defines (lambdas, classes) is in no
part, since it comes with the definition. Parts that did not change since they were last taken can
be left out by whoever keeps them: `slot/…` by `ModelSlot.changed`, waiting predictions by
`Ledger.changed`.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from models.inputs.decoder import DecodedRecord, PlainRecord
from models.inputs.skipped_records import Skip
from models.pending.collected_outcomes import CollectedOutcome
from models.pending.quarantine import Held
from models.serving.model_slot import ModelSlot
from models.task.journaled_task import JournaledTask
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from models.training.version_schedule import Published

FORMAT = 21
"""Raised whenever a part's shape changes; another number is refused."""


def parts_of(task: PartitionTask | LearnerTask) -> dict[str, Any]:
    """Return all parts by name; waiting predictions and ids are `ids_of`, as they go by delta."""
    return _learner_parts(task) if isinstance(task, LearnerTask) else _partition_parts(task)


def take_parts(
    task: PartitionTask | LearnerTask, parts: dict[str, Any], ids: dict[str, Any]
) -> None:
    """Put a saved state into a fresh task of the same use case and partition."""
    if isinstance(task, LearnerTask):
        _take_learner_parts(task, parts)
    else:
        _take_partition_parts(task, parts, ids)


def _journal_parts(task: JournaledTask) -> dict[str, Any]:
    return {
        "position": (task.seq, task.step, list(task.next), list(task.journal.marks)),
        "sealed": task.sealed,
        "skips": (
            {input_offset: tuple(skip) for input_offset, skip in task.skips.wanted.items()},
            dict(task.skips.done),
        ),
        "counts": dict(task.counts),
    }


def _take_journal_parts(task: JournaledTask, parts: dict[str, Any]) -> None:
    seq, step, following, marks = parts["position"]
    task.journal.seq, task.journal.step, task.journal.next = seq, step, list(following)
    task.sealed = parts["sealed"]
    task.journal.marks = list(marks)
    wanted, task.skips.done = parts["skips"]
    task.skips.wanted = {input_offset: Skip(*skip) for input_offset, skip in wanted.items()}
    task.counts.update(parts["counts"])


def _router_parts(task: PartitionTask | LearnerTask) -> dict[str, Any]:
    """Return who answers, what is compared, and what guards it: the same of both tasks."""
    router = task.router
    guards = {name: guard.breaker for name, guard in router.guards.items()}
    return {
        "router": (router.champion, router.before, router.frozen, router.applied_commands),
        "contest": (router.experiment, router.retired, guards),
        "bounds": router.bounds,
        "since": (router.since, router.began, router.experiment_since),
        "breaker": router.safeguard.breaker,
        "replacements": router.replacements,
        "drift": task.watcher.monitor,
        "told": sorted(task.lifecycle_log.announced),
        "restoring": (task.restoring.of, list(task.restoring.pieces)),
    }


def _take_router_parts(task: PartitionTask | LearnerTask, parts: dict[str, Any]) -> list[ModelSlot]:
    """Take over what `_router_parts` gave, and the global models; return all slots."""
    router = task.router
    router.champion, router.before, router.frozen, router.applied_commands = parts["router"]
    router.experiment, router.retired, guards = parts["contest"]
    router.guards.clear()
    for name, breaker in guards.items():
        router.guard(name).breaker = breaker
    router.bounds = parts["bounds"]
    router.since, router.began, router.experiment_since = parts["since"]
    router.safeguard.breaker, router.replacements = parts["breaker"], parts["replacements"]
    slots = [part for name, part in parts.items() if name.startswith("slot/")]
    router.pooled.update({slot.name: slot for slot in slots if slot.segment is None})
    task.watcher.monitor = parts["drift"]
    task.lifecycle_log.announced = set(parts["told"])
    task.restoring.of, task.restoring.pieces = parts["restoring"]
    return slots


def _partition_parts(task: PartitionTask) -> dict[str, Any]:
    ledger, router, metrics = task.ledger, task.router, task.metrics
    task.windows.settle()
    parts: dict[str, Any] = {
        **_journal_parts(task),
        "watermark": (task.watermark.time, [_raw(held) for held in task.watermark.aside]),
        "early": {event_id: _raw(held) for event_id, held in ledger.early.items()},
        "quarantine": {
            event_id: (_raw(held.taken), held.arrived, held.until)
            for event_id, held in task.quarantine.held.items()
        },
        "windows": {name: state.saved() for name, state in task.featurizer.states.items()},
        **_router_parts(task),
        "segments": list(router.own.slots),
        "earning": (router.own.earning, router.own.budget),
        "metrics": (metrics.cells, metrics.closed, metrics.open, metrics.settled),
        "influence": (task.influence.champion, task.influence.importance),
        "maturity": (task.maturity.arrivals, task.maturity.segments),
        "certainty": task.intervals.tracker,
        "means": (task.explainer.means, sorted(task.explainer.mute)),
        "accepted": dict(task.accepted),
        "window_token": task.windows.token,
        "tables": {name: state.saved() for name, state in task.featurizer.tables.items()},
    }
    if task.fold is not None:
        parts["collected"] = _collected(task)
    if task.shared is not None:
        parts["shared"] = task.shared.state()
    for slot in router.slots() if task.shared is None else router.own:
        parts[slot_part(slot)] = slot
    return parts


def slot_part(slot: ModelSlot) -> str:
    """Return the part's name of a slot."""
    return f"slot/{slot.name}" if slot.segment is None else f"slot/{slot.name}/{slot.segment}"


def _take_partition_parts(task: PartitionTask, parts: dict[str, Any], ids: dict[str, Any]) -> None:
    _take_journal_parts(task, parts)
    task.watermark.time, aside = parts["watermark"]
    task.watermark.aside = [_read(task, raw) for raw in aside]
    early = {event_id: _read(task, raw) for event_id, raw in parts["early"].items()}
    task.ledger.restore(ids, early)
    task.quarantine.restore(
        {
            event_id: Held(_read(task, raw), arrived, until)
            for event_id, (raw, arrived, until) in parts["quarantine"].items()
        }
    )
    for name, cells in parts["windows"].items():
        task.featurizer.states[name].restore(cells)
    router = task.router
    slots = _take_router_parts(task, parts)
    router.own.earning, router.own.budget = parts["earning"]
    own: dict[str, dict[str, ModelSlot]] = {segment: {} for segment in parts["segments"]}
    for name in router.names:
        for slot in slots:
            if slot.segment is not None and slot.name == name:
                own[slot.segment][name] = slot
    router.own.slots = own
    metrics = task.metrics
    metrics.cells, metrics.closed, metrics.open, metrics.settled = parts["metrics"]
    metrics.touch()
    task.maturity.arrivals, task.maturity.segments = parts["maturity"]
    task.intervals.tracker = parts["certainty"]
    task.explainer.means, mute = parts["means"]
    task.explainer.mute = set(mute)
    task.influence.champion, task.influence.importance = parts["influence"]
    task.accepted = parts["accepted"]
    task.windows.token = parts["window_token"]
    for name, rows in parts["tables"].items():
        task.featurizer.tables[name].restore(rows)
    if task.fold is not None:
        _take_collected(task, parts["collected"])
    if task.shared is not None:
        task.shared.restore(parts["shared"])


def _collected(task: PartitionTask) -> tuple[Any, ...]:
    collected = task.collected
    outcomes = {
        event_id: {name: (one.first, _raw(one.taken), one.digest) for name, one in of.items()}
        for event_id, of in collected.outcomes.items()
    }
    doubts = sorted(collected.withheld), dict(collected.released)
    return dict(collected.pending), outcomes, dict(collected.revisions), doubts


def _take_collected(task: PartitionTask, saved: tuple[Any, ...]) -> None:
    pending, outcomes, revisions, doubts = saved
    read = {
        event_id: {
            name: CollectedOutcome(first, _read(task, raw), digest)
            for name, (first, raw, digest) in of.items()
        }
        for event_id, of in outcomes.items()
    }
    task.collected.restore(dict(pending), read, dict(revisions), doubts)


def _learner_parts(task: LearnerTask) -> dict[str, Any]:
    parts: dict[str, Any] = {
        **_journal_parts(task),
        "clock": task.watermark.time,
        "taught_by": sorted(task.taught_by),
        "published": (
            task.number,
            dict(task.generations),
            {name: tuple(last) for name, last in task.schedule.published.items()},
            dict(task.schedule.sizes),
        ),
        "batches": (task.batches.saved(), dict(task.accepted)),
        **_router_parts(task),
    }
    for slot in task.router.pooled.values():
        parts[slot_part(slot)] = slot
    return parts


def _take_learner_parts(task: LearnerTask, parts: dict[str, Any]) -> None:
    _take_journal_parts(task, parts)
    task.watermark.time = parts["clock"]
    task.taught_by = frozenset(parts["taught_by"])
    task.number, generations, published, sizes = parts["published"]
    task.generations = dict(generations)
    task.schedule.published = {name: Published(*last) for name, last in published.items()}
    task.schedule.sizes = dict(sizes)
    batches, task.accepted = parts["batches"]
    task.batches.restore(batches)
    _take_router_parts(task, parts)


def _raw(taken: DecodedRecord) -> tuple[Any, ...]:
    return taken.input, *astuple(PlainRecord.of(taken.record))


def _read(task: PartitionTask, raw: tuple[Any, ...]) -> DecodedRecord:
    return task.read(raw[0], PlainRecord(*raw[1:]))
