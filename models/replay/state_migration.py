"""A state carried over to a new definition of its use case.

What the new definition has unchanged is kept; what it changed or added begins anew, or as
`warmed`, a state of the new definition that was given the same records. What was said and is still
without its outcome stays said: it is scored with that, and learnt from the features of then, to
which are added those that are new.

    clean   nothing but the position
    keep    windows, waiting predictions, metrics, and models that are declared as before
    warm    the same, but windows and models as if the new definition had always been there
"""

from __future__ import annotations

from typing import Any

from models.features import Vector
from models.likeness import alike
from models.packing import Waiting
from models.roster import UNASKED
from models.task import PartitionTask
from schemas.errors import Incompatible, Rejected


def carry(old: PartitionTask, new: PartitionTask, warmed: PartitionTask | None = None) -> None:
    """Put all of `old` that fits into `new`, a fresh task; `warmed` gives the rest, if given.

    Raises `Incompatible` where what waits cannot be read under the new definition.
    """
    carry_position(old, new)
    kept = kept_models(old, new)
    if old.use_case.kind != new.use_case.kind or old.corrects != new.corrects:
        raise Incompatible(
            "the new definition learns something else; what was said before cannot be scored by "
            "it. Begin anew: --how clean"
        )
    _tell(old, new)
    if warmed is None:
        _keep_models(old, new, kept)
        _keep_windows(old, new)
    else:
        _take_warmed(old, new, warmed)
    new.tally.cells, new.tally.closed = old.tally.cells, old.tally.closed
    changed = {*old.roster.names, *new.roster.names} - set(kept if warmed is None else ())
    for cell in (*new.tally.cells.values(), *new.tally.closed.values()):
        for name in changed:
            cell.scores.pop(name, None)
            cell.guarded.pop(name, None)
            cell.wild.pop(name, None)
    if old.tally.window == new.tally.window:
        new.tally.open, new.tally.settled = old.tally.open, old.tally.settled
    # What a changed model says is compared from here on; all, if what is compared changed.
    anew = changed if _compares_alike(old, new) else set(new.roster.names)
    began = {name: old.roster.began[name] for name in kept if name in old.roster.began}
    if old.watermark.time is not None:
        began |= {name: old.watermark.time for name in new.roster.names if name in anew}
    new.roster.began = began
    same = new.roster.champion == old.roster.champion
    new.roster.since = old.roster.since if same else old.watermark.time
    new.tally.touch()
    if old.use_case.memory_s == new.use_case.memory_s:
        new.maturity.arrivals = old.maturity.arrivals
        if alike(old.use_case.segments, new.use_case.segments):
            new.maturity.segments = old.maturity.segments
    _carry_waiting(old, new, [*kept], warmed)


def carry_position(old: PartitionTask, new: PartitionTask) -> None:
    """Nothing but where it is, what commands it obeyed and what it counted."""
    new.journal.seq, new.journal.step = old.journal.seq, old.journal.step
    new.journal.next = list(old.journal.next)
    new.roster.obeyed = dict(old.roster.obeyed)
    new.counts.update(old.counts)
    if old.watermark.time is not None:
        new.roster.began = dict.fromkeys(new.roster.names, old.watermark.time)


COMPARED = (
    "kpi", "metric", "label", "baseline", "learns", "features", "hidden", "limits", "plausible",
    "never", "weight", "warmup", "horizon", "window", "contest",
)  # fmt: skip
"""What a comparison stands on besides the models themselves."""


def _compares_alike(old: PartitionTask, new: PartitionTask) -> bool:
    return all(alike(getattr(old.use_case, name), getattr(new.use_case, name)) for name in COMPARED)


def kept_models(old: PartitionTask, new: PartitionTask) -> list[str]:
    """Models whose name and declaration did not change."""
    before, after = old.use_case, new.use_case
    if _features_shown(old) != _features_shown(new):
        return []
    return [
        name
        for name, make in after.models.items()
        if name in before.models and alike(make(), before.models[name]())
    ]


def _features_shown(task: PartitionTask) -> list[str]:
    hidden = set(task.use_case.hidden)
    return [name for name in task.use_case.features if name not in hidden]


def _tell(old: PartitionTask, new: PartitionTask) -> None:
    new.watermark.time = old.watermark.time
    new.watermark.aside = [new.read(held.input, held.record) for held in old.watermark.aside]
    new.ledger.early = {
        event_id: new.read(held.input, held.record) for event_id, held in old.ledger.early.items()
    }
    quarantined = {
        event_id: held._replace(taken=new.read(held.taken.input, held.taken.record))
        for event_id, held in old.quarantine.held.items()
    }
    new.quarantine.restore(quarantined)
    kept = [held.taken for held in quarantined.values()]
    early = new.ledger.early.values()
    if any(taken.body is None for taken in (*new.watermark.aside, *early, *kept)):
        raise Incompatible("records that are held back cannot be read under the new definition")


def _keep_models(old: PartitionTask, new: PartitionTask, kept: list[str]) -> None:
    mine, theirs = new.roster, old.roster
    for name in kept:
        mine.pooled[name] = theirs.pooled[name]
        if name in theirs.heirs:
            mine.heirs[name] = theirs.heirs[name]
    if theirs.champion in mine.pooled:
        mine.champion = theirs.champion
    mine.before = [name for name in theirs.before if name in mine.pooled]
    mine.frozen = theirs.frozen
    if alike(old.use_case.label, new.use_case.label):
        mine.bounds = theirs.bounds
    mine.retired = {name: None for name in theirs.retired if name in kept}
    # What was spent of the error budget is never given back.
    if mine.own.budget.total == theirs.own.budget.total:
        mine.own.budget = theirs.own.budget
    else:
        mine.own.budget.comparisons = theirs.own.budget.comparisons
    if alike(old.use_case.contest.experiment, new.use_case.contest.experiment):
        mine.experiment = {n: share for n, share in theirs.experiment.items() if n in mine.pooled}
        mine.experiment_since = theirs.experiment_since
        mine.guards.clear()
        for name in mine.experiment:
            mine.guard(name).breaker = theirs.guard(name).breaker
    else:
        mine.experiment_since = old.watermark.time
    if theirs.champion == mine.champion and mine.champion in kept:
        mine.safeguard.breaker = theirs.safeguard.breaker
        new.influence.champion = old.influence.champion
        new.influence.importance = old.influence.importance
        if alike(old.use_case.segments, new.use_case.segments):
            mine.own.slots, mine.own.earning = theirs.own.slots, theirs.own.earning
    if alike(old.use_case.interval, new.use_case.interval):
        new.certainty.tracker = old.certainty.tracker
    new.explainer.means = {
        name: means for name, means in old.explainer.means.items() if name.partition("/")[0] in kept
    }
    if _watched(old) == _watched(new):
        new.watcher.monitor = old.watcher.monitor
    new.teller.told = {
        word for word in old.teller.told if word in kept or word not in old.roster.names
    }


def _watched(task: PartitionTask) -> tuple[Any, ...]:
    return (
        list(task.use_case.features),
        task.use_case.watch,
        task.roster.names,
        task.use_case.window,
    )


def _keep_windows(old: PartitionTask, new: PartitionTask) -> None:
    before, after = old.use_case.features, new.use_case.features
    for name in new.featurizer.states:
        if name in old.featurizer.states and alike(before[name], after[name]):
            _copy_cells(old.featurizer.states[name], new.featurizer.states[name])


def _copy_cells(source: Any, target: Any) -> None:
    for name in ("cells", "totals", "reached"):
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def _take_warmed(old: PartitionTask, new: PartitionTask, warmed: PartitionTask) -> None:
    for name, state in warmed.featurizer.states.items():
        _copy_cells(state, new.featurizer.states[name])
    obeyed = new.roster.obeyed
    mine, theirs = new.roster, warmed.roster
    mine.pooled, mine.heirs = theirs.pooled, theirs.heirs
    mine.own.slots, mine.own.earning = theirs.own.slots, theirs.own.earning
    if theirs.own.budget.comparisons >= mine.own.budget.comparisons:
        mine.own.budget = theirs.own.budget
    mine.champion, mine.before, mine.frozen = theirs.champion, theirs.before, old.roster.frozen
    mine.safeguard.breaker = theirs.safeguard.breaker
    mine.bounds = theirs.bounds
    mine.obeyed = obeyed
    new.certainty.tracker = warmed.certainty.tracker
    new.explainer.means = warmed.explainer.means
    new.explainer.mute = warmed.explainer.mute
    new.influence.champion = warmed.influence.champion
    new.influence.importance = warmed.influence.importance
    new.watcher.monitor = warmed.watcher.monitor
    new.teller.told = set(warmed.teller.told)


def _carry_waiting(
    old: PartitionTask, new: PartitionTask, kept: list[str], warmed: PartitionTask | None
) -> None:
    places = [old.roster.names.index(name) if name in kept else None for name in new.roster.names]
    added = [name for name in new.use_case.features if name not in old.use_case.features]
    entries: dict[str, Any] = {}
    for event_id, entry in old.ledger.entries.items():
        waiting = old.ledger.find(event_id)
        if not isinstance(waiting, Waiting):
            entries[event_id] = entry
            continue
        known = warmed.ledger.find(event_id) if warmed is not None else None
        x, said = _features(waiting, known, added, old, new), _said(waiting.said, places)
        carried = waiting._replace(x=x, said=said)
        entries[event_id] = new.packing.packed(event_id, carried, whole=True)
    new.ledger.restore(entries, new.ledger.early)


def _said(said: tuple[Any, ...], places: list[int | None]) -> tuple[Any, ...]:
    baseline, pooled, own, *rest = said
    # What a new model would have said of it, it did not say then.
    shadows = tuple(UNASKED if place is None else pooled[place] for place in places)
    return baseline, shadows, own, *rest


def _features(
    waiting: Waiting, known: Any, added: list[str], old: PartitionTask, new: PartitionTask
) -> Vector:
    try:
        event = new.use_case.event.model_validate_json(waiting.event)
        if isinstance(known, Waiting):
            x = new.packing.features(event, known.x)
        else:
            before = old.use_case.event.model_validate_json(waiting.event)
            x = old.packing.features(before, waiting.x)
            now = new.featurizer.compute(event, waiting.time) if added else {}
            x = x | {name: now[name] for name in added if name in now}
    except (ValueError, Rejected) as error:
        raise Incompatible(
            f"an event that waits for its outcome cannot be read under the new definition: {error}."
            " Let new fields of the event have defaults, or begin anew: --how clean"
        ) from error
    return {name: x[name] for name in new.use_case.features if name in x}
