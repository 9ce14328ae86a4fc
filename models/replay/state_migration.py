"""A state carried over to a new definition of its use case.

What the new definition has unchanged is kept; what it changed or added starts over, or as
`warmed`, a state of the new definition that was given the same records. What was said and is still
without its outcome stays said: it is scored with that, and learnt from the features of then, to
which are added those that are new.

    clean   nothing but the position
    keep    windows, waiting predictions, metrics, and models that are declared as before
    warm    the same, but windows and models as if the new definition had always been there
"""

from __future__ import annotations

from typing import Any

from models.features.featurizer import Vector
from models.features.window_declarations import Window, keeps_no_values
from models.inputs.decoder import DecodedRecord
from models.inputs.journal import Journal
from models.inputs.strict_json import json_reader
from models.pending.codec import PendingPrediction
from models.replay.structural_equality import alike
from models.serving.model_router import UNASKED
from models.spec.use_case import is_correctable
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from schemas.errors import Incompatible, Rejected

Task = PartitionTask | LearnerTask


def carry(old: PartitionTask, new: PartitionTask, warmed: PartitionTask | None = None) -> None:
    """Put all of `old` that fits into `new`, a fresh task; `warmed` gives the rest, if given.

    Raises `Incompatible` where what waits cannot be read under the new definition. What is shared
    by all partitions is not warmed.
    """
    carry_position(old, new)
    unchanged = kept_models(old, new)
    if old.use_case.kind != new.use_case.kind or old.corrects != new.corrects:
        raise Incompatible(
            "the new definition learns something else; what was said before cannot be scored by "
            "it. Start over: --how clean"
        )
    _tell(old, new)
    if warmed is None:
        _keep_models(old, new, unchanged)
        _keep_windows(old, new)
    else:
        _take_warmed(old, new, warmed)
    new.metrics.cells, new.metrics.closed = old.metrics.cells, old.metrics.closed
    changed = {*old.router.names, *new.router.names} - set(unchanged if warmed is None else ())
    for cell in (*new.metrics.cells.values(), *new.metrics.closed.values()):
        for name in changed:
            cell.scores.pop(name, None)
            cell.guarded.pop(name, None)
            cell.diverged.pop(name, None)
    if old.metrics.window == new.metrics.window:
        new.metrics.open, new.metrics.settled = old.metrics.open, old.metrics.settled
    # What a changed model says is compared from here on; all, if what is compared changed.
    restarted = changed if _compares_alike(old, new) else set(new.router.names)
    began = {name: old.router.began[name] for name in unchanged if name in old.router.began}
    if old.watermark.time is not None:
        began |= {name: old.watermark.time for name in new.router.names if name in restarted}
    new.router.began = began
    same = new.router.champion == old.router.champion
    new.router.since = old.router.since if same else old.watermark.time
    new.metrics.touch()
    if old.use_case.id_retention_s == new.use_case.id_retention_s:
        new.maturity.arrivals = old.maturity.arrivals
        if alike(old.use_case.segments, new.use_case.segments):
            new.maturity.segments = old.maturity.segments
    if new.shared is not None:
        new.shared.carry(old.shared, unchanged)
        if old.shared is None and old.watermark.time is not None:
            new.shared.advance(old.watermark.time)
    _carry_waiting(old, new, [*unchanged], warmed)


def carry_position(old: PartitionTask, new: PartitionTask) -> None:
    """Carry over only where it is, what commands it obeyed and what it counted."""
    new.journal.seq, new.journal.step = old.journal.seq, old.journal.step
    _carry_inputs(old.journal, new.journal)
    new.skips.wanted, new.skips.done = dict(old.skips.wanted), dict(old.skips.done)
    new.router.applied_commands = dict(old.router.applied_commands)
    new.counts.update(old.counts)
    if old.watermark.time is not None:
        new.router.began = dict.fromkeys(new.router.names, old.watermark.time)


def _carry_inputs(old: Journal, new: Journal) -> None:
    """Go on where each input was; one that was not read before begins."""
    for index in range(min(len(old.next), len(new.next))):
        new.next[index], new.marks[index] = old.next[index], old.marks[index]


def carry_learner(old: LearnerTask, new: LearnerTask, *, clean: bool = False) -> None:
    """Put all of `old` that fits into `new`, a fresh learner; nothing but its place if `clean`."""
    new.journal.seq, new.journal.step = old.journal.seq, old.journal.step
    _carry_inputs(old.journal, new.journal)
    new.skips.wanted, new.skips.done = dict(old.skips.wanted), dict(old.skips.done)
    new.router.applied_commands = dict(old.router.applied_commands)
    new.counts.update(old.counts)
    new.watermark.time = old.watermark.time
    new.number = old.number
    unchanged = [] if clean else kept_models(old, new)
    # Examples of before that are still to come teach what they would have taught, if they fit.
    if unchanged and _label_alike(old, new):
        new.taught_by = old.taught_by | new.taught_by
    # So that a model which starts over is known as another one.
    new.generations |= {
        name: old.generations.get(name, -1) + (name not in unchanged) for name in new.router.names
    }
    router, former = new.router, old.router
    for name in unchanged:
        router.pooled[name] = former.pooled[name]
        if name in former.replacements:
            router.replacements[name] = former.replacements[name]
    if clean:
        return
    _accept(old, new)
    _carry_batches(old, new)
    if former.champion in router.pooled:
        router.champion = former.champion
    router.before = [name for name in former.before if name in router.pooled]
    router.frozen = former.frozen
    router.retired = {name: None for name in former.retired if name in unchanged}
    if alike(old.use_case.label, new.use_case.label):
        router.bounds = former.bounds
    if router.champion == former.champion and router.champion in unchanged:
        router.safeguard.adopt(former.safeguard.breaker, same_kpi=_same_kpi(old, new))
    _carry_experiment(old, new)
    if (old.router.names, old.use_case.window) == (new.router.names, new.use_case.window):
        new.watcher.monitor = old.watcher.monitor


def _carry_batches(old: LearnerTask, new: LearnerTask) -> None:
    """Go on with what is not released, of the windows that are declared as before."""
    new.batches.restore(old.batches.saved())
    names = new.accepted.get(old.definition, ())
    new.batches.rows = [row for row in new.batches.rows if row[1] in names]


COMPARED = (
    "kpi", "metric", "label", "baseline", "target", "features", "internal_features", "limits",
    "plausible", "label_on_timeout", "weight", "warmup", "horizon", "window", "contest",
)  # fmt: skip
"""What a comparison stands on besides the models themselves."""


def _compares_alike(old: PartitionTask, new: PartitionTask) -> bool:
    return all(alike(getattr(old.use_case, name), getattr(new.use_case, name)) for name in COMPARED)


def kept_models(old: Task, new: Task) -> list[str]:
    """Return the models of unchanged name and declaration that learn where they did."""
    before, after = old.use_case, new.use_case
    if _features_shown(old) != _features_shown(new) or is_shared(old) != is_shared(new):
        return []
    return [
        name
        for name, make in after.models.items()
        if name in before.models and alike(make(), before.models[name]())
    ]


def is_shared(task: Task) -> bool:
    """Return whether a task's models learn from all partitions."""
    return isinstance(task, LearnerTask) or task.shared is not None


def _features_shown(task: Task) -> list[str]:
    hidden = set(task.use_case.internal_features)
    return [name for name in task.use_case.features if name not in hidden]


def _tell(old: PartitionTask, new: PartitionTask) -> None:
    new.watermark.time = old.watermark.time
    new.watermark.aside = [new.read(held.input, held.record) for held in old.watermark.aside]
    early = {
        event_id: new.read(held.input, held.record) for event_id, held in old.ledger.early.items()
    }
    quarantined = {
        event_id: held._replace(taken=new.read(held.taken.input, held.taken.record))
        for event_id, held in old.quarantine.held.items()
    }
    new.quarantine.restore(quarantined)
    unchanged = [held.taken for held in quarantined.values()]
    if any(taken.body is None for taken in (*new.watermark.aside, *early.values(), *unchanged)):
        raise Incompatible("records that are held back cannot be read under the new definition")
    new.ledger.early.restore(early)
    if old.fold is not None or new.fold is not None:
        _carry_collected(old, new)


def _carry_collected(old: PartitionTask, new: PartitionTask) -> None:
    """Carry the outcomes that were collected of events that wait."""
    if not alike(old.use_case.label, new.use_case.label):
        raise Incompatible(
            "the label is folded of several outcomes in another way, and what was collected and "
            "learnt by now is of the old one. Start over: --how clean"
        )
    outcomes = {
        event_id: {name: one._replace(taken=_read_anew(one.taken, new)) for name, one in of.items()}
        for event_id, of in old.collected.outcomes.items()
    }
    pending, revisions = dict(old.collected.pending), dict(old.collected.revisions)
    doubts = old.collected.withheld, old.collected.released
    new.collected.restore(pending, outcomes, revisions, doubts)


def _read_anew(taken: DecodedRecord, new: PartitionTask) -> DecodedRecord:
    read = new.read(taken.input, taken.record)
    if read.body is None:
        raise Incompatible("outcomes that were collected cannot be read under the new definition")
    return read


def _keep_models(old: PartitionTask, new: PartitionTask, unchanged: list[str]) -> None:
    router, former = new.router, old.router
    for name in unchanged if new.shared is None else ():
        router.pooled[name] = former.pooled[name]
        if name in former.replacements:
            router.replacements[name] = former.replacements[name]
    if former.champion in router.pooled:
        router.champion = former.champion
    router.before = [name for name in former.before if name in router.pooled]
    router.frozen = former.frozen
    if alike(old.use_case.label, new.use_case.label):
        router.bounds = former.bounds
    router.retired = {name: None for name in former.retired if name in unchanged}
    # What was spent of the error budget is never given back.
    if router.own.budget.total == former.own.budget.total:
        router.own.budget = former.own.budget
    else:
        router.own.budget.comparisons = former.own.budget.comparisons
    _carry_experiment(old, new)
    if former.champion == router.champion and router.champion in unchanged:
        router.safeguard.adopt(former.safeguard.breaker, same_kpi=_same_kpi(old, new))
        new.influence.champion = old.influence.champion
        new.influence.importance = old.influence.importance
        if alike(old.use_case.segments, new.use_case.segments):
            router.own.slots, router.own.earning = former.own.slots, former.own.earning
    if alike(old.use_case.interval, new.use_case.interval):
        new.intervals.tracker = old.intervals.tracker
    new.explainer.means = {
        name: means
        for name, means in old.explainer.means.items()
        if name.partition("/")[0] in unchanged
    }
    if _watched(old) == _watched(new):
        new.watcher.monitor = old.watcher.monitor
    new.lifecycle_log.announced = {
        word
        for word in old.lifecycle_log.announced
        if word in unchanged or word not in old.router.names
    }


def _carry_experiment(old: Task, new: Task) -> None:
    router, former = new.router, old.router
    if not alike(old.use_case.contest.experiment, new.use_case.contest.experiment):
        router.experiment_since = old.watermark.time
        return
    router.experiment = {n: share for n, share in former.experiment.items() if n in router.pooled}
    router.experiment_since = former.experiment_since
    router.guards.clear()
    for name in router.experiment:
        router.guard(name).adopt(former.guard(name).breaker, same_kpi=_same_kpi(old, new))


def _label_alike(old: Task, new: Task) -> bool:
    before, after = old.use_case, new.use_case
    return before.kind == after.kind and all(
        alike(getattr(before, name), getattr(after, name))
        for name in ("label", "target", "baseline", "weight")
    )


def _same_kpi(old: Task, new: Task) -> bool:
    return alike(old.use_case.kpi, new.use_case.kpi)


def _watched(task: PartitionTask) -> tuple[Any, ...]:
    return (
        is_shared(task),
        list(task.use_case.features),
        task.use_case.drift_features,
        task.router.names,
        task.use_case.window,
    )


def _keep_windows(old: PartitionTask, new: PartitionTask) -> None:
    old.windows.part()  # what is handed over, nobody else changes
    for name in new.featurizer.states:
        if name in old.featurizer.states and _counts_alike(old, new, name):
            new.featurizer.states[name].restore(old.featurizer.states[name].saved())
    new.windows.note("kept", old.windows.token)
    _accept(old, new)
    for identity, table in new.featurizer.tables.items():
        if identity in old.featurizer.tables:
            table.restore(old.featurizer.tables[identity].saved())


def _counts_alike(old: Task, new: Task, name: str) -> bool:
    """Return whether a window is declared as before, and keeps what it counts as before."""
    before, after = old.use_case.features[name], new.use_case.features[name]
    same = is_correctable(old.use_case) == is_correctable(new.use_case)
    corrected = isinstance(after, Window) and after.over == "outcomes" and keeps_no_values(after)
    return alike(before, after) and (same or not corrected)


def _accept(old: Task, new: Task) -> None:
    """Count what was sent out under definitions before, where the window is declared as then."""
    before = old.use_case.features
    names = [n for n in new.use_case.shared_windows if n in before and _counts_alike(old, new, n)]
    for definition, accepted in old.accepted.items():
        same = tuple(name for name in accepted if name in names)
        if same and definition != new.definition:
            new.accepted[definition] = same


def _take_warmed(old: PartitionTask, new: PartitionTask, warmed: PartitionTask) -> None:
    for name, state in warmed.featurizer.states.items():
        new.featurizer.states[name].restore(state.saved())
    new.windows.note("warmed", new.partition)
    obeyed = new.router.applied_commands
    router, former = new.router, warmed.router
    router.pooled, router.replacements = former.pooled, former.replacements
    router.own.slots, router.own.earning = former.own.slots, former.own.earning
    if former.own.budget.comparisons >= router.own.budget.comparisons:
        router.own.budget = former.own.budget
    router.champion, router.before = former.champion, former.before
    router.frozen = old.router.frozen
    router.safeguard.breaker = former.safeguard.breaker
    router.bounds = former.bounds
    router.applied_commands = obeyed
    new.intervals.tracker = warmed.intervals.tracker
    new.explainer.means = warmed.explainer.means
    new.explainer.mute = warmed.explainer.mute
    new.influence.champion = warmed.influence.champion
    new.influence.importance = warmed.influence.importance
    new.watcher.monitor = warmed.watcher.monitor
    new.lifecycle_log.announced = set(warmed.lifecycle_log.announced)


def _carry_waiting(
    old: PartitionTask, new: PartitionTask, unchanged: list[str], warmed: PartitionTask | None
) -> None:
    indices = [
        old.router.names.index(name) if name in unchanged else None for name in new.router.names
    ]
    added = [name for name in new.use_case.features if name not in old.use_case.features]
    entries: dict[str, Any] = {}
    for event_id, entry in old.ledger.entries.items():
        waiting = old.ledger.find(event_id)
        if not isinstance(waiting, PendingPrediction):
            entries[event_id] = entry
            continue
        known = warmed.ledger.find(event_id) if warmed is not None else None
        x = _features(waiting, known, added, old, new)
        # What a new model would have said of it, it did not say then.
        pooled = waiting.predictions.pooled
        shadows = tuple(UNASKED if index is None else pooled[index] for index in indices)
        carried = waiting._replace(x=x, predictions=waiting.predictions._replace(pooled=shadows))
        entries[event_id] = new.packing.packed(carried, whole=True)
    new.ledger.restore(entries, new.ledger.early)


def _features(
    waiting: PendingPrediction, known: Any, added: list[str], old: PartitionTask, new: PartitionTask
) -> Vector:
    try:
        event = json_reader(new.use_case.event).validate_json(waiting.event)
        if isinstance(known, PendingPrediction):
            x = new.packing.features(event, known.x)
        else:
            before = json_reader(old.use_case.event).validate_json(waiting.event)
            x = old.packing.features(before, waiting.x)
            new.windows.settle()
            now = new.featurizer.compute(event, waiting.time) if added else {}
            x = x | {name: now[name] for name in added if name in now}
    except (ValueError, Rejected) as error:
        raise Incompatible(
            f"an event that waits for its outcome cannot be read under the new definition: {error}."
            " Let new fields of the event have defaults, or start over: --how clean"
        ) from error
    return {name: x[name] for name in new.use_case.features if name in x}
