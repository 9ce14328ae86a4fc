"""The effect of one example: each model's prediction for the same features before and after.

A model's state before and after the example is derived again from the log. Of models that all
partitions share, the learner has it: its journal says when it took the example.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from models.replay.state_migration import Task
from models.serving.model_slot import ModelSlot
from models.serving.river_models import final
from models.spec.personal_data import Masking
from models.spec.problem_types import KINDS
from schemas.personal_data import MASK
from schemas.topics import LEARNER
from streams.config.settings import Settings
from streams.replay.definition_history import DefinitionHistory
from streams.replay.derivation import Derivation, StartingStates

WEIGHTS_MAX = 10
"""The number of weights that are shown, those that moved most."""


class ExampleRecord(NamedTuple):
    """An example, and where its record is on `examples`."""

    body: Mapping[str, Any]
    partition: int
    offset: int


class Lessons:
    """Collects what one example taught the models of a task while its log is folded.

    `watch` is for `Derivation`; `learnt` grows.
    """

    def __init__(self, example: ExampleRecord) -> None:
        self.learnt: list[dict[str, Any]] = []
        self._example = example

    def watch(self, task: Any, taken: Any) -> Callable[[Sequence[Any]], None] | None:
        """Look closer at the step in which the learner takes the example."""
        example = self._example
        if (taken.input, taken.record.offset) != (1 + example.partition, example.offset):
            return None
        before = [copy.deepcopy(slot) for slot in task.router.pooled.values()]

        def after(_: Sequence[Any]) -> None:
            self.learnt += lessons(task, taken, example.body, before)

        return after


async def shared_lessons(
    settings: Settings,
    names: Mapping[str, str],
    definitions: DefinitionHistory,
    example: ExampleRecord,
    partitions: int,
    starts: StartingStates | None,
) -> list[dict[str, Any]]:
    """Return what the example taught the shared models; nothing while the learner has not taken it.

    Raises `Unprovable` or `Diverged` where its state is not to be had any more.
    """
    lessons = Lessons(example)
    derivation = Derivation(
        settings,
        names,
        definitions,
        partition=LEARNER,
        partitions=partitions,
        starts=starts,
        watch=lessons.watch,
    )
    try:
        if await derivation.open() is None:
            return []
        entry = await derivation.entry_with(1 + example.partition, example.offset)
        if entry is not None:
            await derivation.to(entry.seq + 1, lambda outputs: None)
        return lessons.learnt
    finally:
        await derivation.close()


def models_before(task: Any, example: Mapping[str, Any]) -> list[ModelSlot]:
    """Return copies of a partition's slots that are about to learn this example."""
    own = task.router.own.of(example["segment"])
    pooled = task.router.pooled.values() if task.shared is None else ()
    return [copy.deepcopy(slot) for slot in (*pooled, *own.values())]


def lessons(
    task: Task, taken: Any, example: Mapping[str, Any], before: Sequence[ModelSlot]
) -> list[dict[str, Any]]:
    """Return what each model learnt from the record `taken`; `before` are the slots before it."""
    record, kind = taken.record, task.inputs[taken.input][0]
    by = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    slots = {(slot.name, slot.segment): slot for slot in task.router.slots()}
    lessons = []
    for old in before:
        new = slots.get((old.name, old.segment))
        if new is not None:
            lessons.append(_lesson(task, example, old, new) | {"by": by | {"input": kind}})
    return lessons


def _lesson(
    task: Task, example: Mapping[str, Any], old: ModelSlot, new: ModelSlot
) -> dict[str, Any]:
    """Return what one model learnt from one example: its prediction for the same features before
    and after.
    """
    kind, x = KINDS[task.use_case.kind], example["features"]
    corrects = task.use_case.target != "label"

    def answer(slot: ModelSlot) -> Any:
        value = copy.deepcopy(slot).ask(kind, x)  # some models change when they predict
        if value is not None and corrects:
            value += example["baseline"]
        return kind.shadow(value)

    return {
        "model": new.name,
        "segment": new.segment,
        "version": f"{new.name}@{task.definition}#{new.trained_on}",
        "before": answer(old),
        "label": example["label"],
        "after": answer(new),
        "weights": _moved(old.model, new.model),
    }


def masked_lesson(lesson: dict[str, Any], masking: Masking) -> dict[str, Any]:
    """Return a lesson without personal data."""
    weights = lesson["weights"]
    shown = [weight | {"name": masking.name(weight["name"])} for weight in weights or ()]
    label = MASK if masking.label else lesson["label"]
    return lesson | {"weights": weights and shown, "label": label}


def _moved(old: Any, new: Any) -> list[dict[str, Any]] | None:
    """Return the weights of a linear model that changed most; None for another model."""
    before, after = _weights(old), _weights(new)
    if before is None or after is None:
        return None
    moves = [(name, before.get(name, 0.0), value) for name, value in after.items()]
    moves.sort(key=lambda move: -abs(move[2] - move[1]))
    return [
        {"name": name, "before": was, "after": now}
        for name, was, now in moves[:WEIGHTS_MAX]
        if was != now
    ]


def _weights(model: Any) -> dict[str, float] | None:
    last = final(model)
    weights = getattr(last, "weights", None)
    if not isinstance(weights, Mapping):
        return None
    named = {str(name): float(value) for name, value in weights.items()}
    intercept = getattr(last, "intercept", None)
    return named if intercept is None else named | {"(intercept)": float(intercept)}
