"""A partition task's whole state as named parts, and back: what a snapshot is made of.

A part is plain data or a River model; what a use case's file defines (lambdas, classes) is in no
part, since it comes with the definition. Parts that did not change since they were last taken can
be left out by whoever keeps them: `slot/…` by `Slot.changed`, waiting predictions by
`Ledger.changed`.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from models.quarantine import Held
from models.reading import PlainRecord, Taken
from models.slot import Slot
from models.task import PartitionTask
from models.windows import Sliding

FORMAT = 10
"""Raised whenever a part's shape changes; another number is refused."""


def parts_of(task: PartitionTask) -> dict[str, Any]:
    """All parts by name; the waiting predictions and ids are `ids_of`, as they go by delta."""
    ledger, roster = task.ledger, task.roster
    parts: dict[str, Any] = {
        "position": (task.seq, task.step, list(task.next)),
        "counts": dict(task.counts),
        "watermark": (task.watermark.time, [_raw(held) for held in task.watermark.aside]),
        "early": {event_id: _raw(held) for event_id, held in ledger.early.items()},
        "quarantine": {
            event_id: (_raw(held.taken), held.arrived, held.until)
            for event_id, held in task.quarantine.held.items()
        },
        "windows": {name: _cells(state) for name, state in task.featurizer.states.items()},
        "roster": (
            roster.champion,
            roster.before,
            roster.frozen,
            roster.obeyed,
            list(roster.own.slots),
        ),
        "contest": (
            roster.experiment,
            roster.retired,
            {n: g.breaker for n, g in roster.guards.items()},
        ),
        "earning": (roster.own.earning, roster.own.budget),
        "bounds": roster.bounds,
        "since": (roster.since, roster.began, roster.experiment_since),
        "tally": (task.tally.cells, task.tally.closed, task.tally.open, task.tally.settled),
        "breaker": roster.safeguard.breaker,
        "heirs": roster.heirs,
        "influence": (task.influence.champion, task.influence.importance),
        "maturity": (task.maturity.arrivals, task.maturity.segments),
        "certainty": task.certainty.tracker,
        "means": (task.explainer.means, sorted(task.explainer.mute)),
        "drift": task.watcher.monitor,
        "told": sorted(task.teller.told),
        "restoring": (task.restoring.of, list(task.restoring.pieces)),
    }
    for slot in roster.slots():
        parts[slot_part(slot)] = slot
    return parts


def slot_part(slot: Slot) -> str:
    """The part's name of a slot."""
    return f"slot/{slot.name}" if slot.segment is None else f"slot/{slot.name}/{slot.segment}"


def take_parts(task: PartitionTask, parts: dict[str, Any], ids: dict[str, Any]) -> None:
    """Put a saved state into a fresh task of the same use case and partition."""
    seq, step, following = parts["position"]
    task.journal.seq, task.journal.step, task.journal.next = seq, step, list(following)
    task.counts.update(parts["counts"])
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
        _put_cells(task.featurizer.states[name], cells)
    roster = task.roster
    roster.champion, roster.before, roster.frozen, roster.obeyed, segments = parts["roster"]
    roster.experiment, roster.retired, guards = parts["contest"]
    roster.guards.clear()
    for name, breaker in guards.items():
        roster.guard(name).breaker = breaker
    roster.own.earning, roster.own.budget = parts["earning"]
    roster.safeguard.breaker, roster.heirs = parts["breaker"], parts["heirs"]
    slots = [part for name, part in parts.items() if name.startswith("slot/")]
    roster.pooled.update({slot.name: slot for slot in slots if slot.segment is None})
    own: dict[str, dict[str, Slot]] = {segment: {} for segment in segments}
    for name in roster.names:
        for slot in slots:
            if slot.segment is not None and slot.name == name:
                own[slot.segment][name] = slot
    roster.own.slots = own
    roster.bounds = parts["bounds"]
    roster.since, roster.began, roster.experiment_since = parts["since"]
    tally = task.tally
    tally.cells, tally.closed, tally.open, tally.settled = parts["tally"]
    task.tally.touch()
    task.maturity.arrivals, task.maturity.segments = parts["maturity"]
    task.certainty.tracker = parts["certainty"]
    task.explainer.means, mute = parts["means"]
    task.explainer.mute = set(mute)
    task.watcher.monitor = parts["drift"]
    task.influence.champion, task.influence.importance = parts["influence"]
    task.teller.told = set(parts["told"])
    task.restoring.of, task.restoring.pieces = parts["restoring"]


def _raw(taken: Taken) -> tuple[Any, ...]:
    return taken.input, *astuple(PlainRecord.of(taken.record))


def _read(task: PartitionTask, raw: tuple[Any, ...]) -> Taken:
    return task.read(raw[0], PlainRecord(*raw[1:]))


def _cells(state: Any) -> Any:
    return (state.cells, state.totals, state.reached) if isinstance(state, Sliding) else state.cells


def _put_cells(state: Any, cells: Any) -> None:
    if isinstance(state, Sliding):
        state.cells, state.totals, state.reached = cells
    else:
        state.cells = cells
