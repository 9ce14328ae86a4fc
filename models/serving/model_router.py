"""Who answers: the models of a partition, what each says, and whose word is served.

Every model of the use case has a pooled slot that learns from all examples of the partition. With
segments declared, the champion (or those that are named) also has a slot of its own for each
segment; it answers only once it has earned the place. What is served is the first of

    the segment's own model, if it earned it  →  the pooled model  →  the baseline

that is warm, finite and within its limits, and the record says which, and why. The model is the
champion, in an experiment's arm the challenger; the holdout is answered by the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from models.serving.circuit_breaker import CircuitBreaker
from models.serving.learned_limits import LearnedLimits
from models.serving.model_slot import ModelSlot
from models.serving.replacement import ShadowReplacement
from models.serving.segment_models import SegmentModels
from models.spec.experiment_arms import HOLDOUT
from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import UseCase

BEFORE_MAX = 16
OBEYED_MAX = 1_000
UNASKED = "-"
"""In the place of what a model would have said, had it been asked."""


class Answer(NamedTuple):
    """What is served of one event."""

    prediction: Predicted
    by: str
    why: str
    model: str
    slot: ModelSlot | None


class PredictionSet(NamedTuple):
    """What everybody said of one event. `own`: the segment's own models' answers, by name."""

    baseline: Predicted
    pooled: tuple[Predicted | None, ...]
    own: dict[str, Predicted | None]
    withheld: list[str]
    answer: Answer
    diverged: Sequence[str] = ()
    """Those of `withheld` whose value ran away."""


class ModelRouter:
    """The slots of one partition. Memory: models x (1 + segment limit)."""

    def __init__(self, use_case: UseCase, kind: Kind, definition: str, partitions: int) -> None:
        self._use_case = use_case
        self._kind = kind
        self._definition = definition
        self.champion = use_case.champion
        self.before: list[str] = []
        self.experiment: dict[str, float] = dict(use_case.contest.experiment or {})
        # Models that neither predict nor learn; a dict for its order.
        self.retired: dict[str, None] = {}
        # Watermarks: when this champion began, and models that are not as they were at the start.
        self.since: float | None = None
        self.experiment_since: float | None = None
        self.began: dict[str, float] = {}
        self.applied_commands: dict[str, None] = {}
        self.frozen = False
        self.safeguard = CircuitBreaker(kind, use_case.kpi, on=use_case.breaker)
        self.guards: dict[str, CircuitBreaker] = {}
        for name in self.experiment:
            self.guard(name)
        self.pooled = {
            name: ModelSlot(name, None, make()) for name, make in use_case.models.items()
        }
        self.own = SegmentModels(use_case, partitions)
        # Fresh copies that learn beside a model whose error has risen.
        self.replacements: dict[str, ShadowReplacement] = {}
        # The limits of models for which none are declared.
        self.bounds = LearnedLimits()
        numbers = use_case.kind == "regression"
        self.bounded = numbers and any(use_case.limits_of(n) is None for n in use_case.models)

    def limits_of(self, model: str) -> tuple[float, float] | None:
        """Return the limits of what it may predict now: as declared, else by the labels seen."""
        declared = self._use_case.limits_of(model)
        return self.bounds.limits if declared is None else declared

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in their declared order."""
        return tuple(self.pooled)

    def slots(self) -> Iterator[ModelSlot]:
        """Return every slot."""
        yield from self.pooled.values()
        yield from self.own

    def set_back(self, time: float) -> None:
        """Move all beginnings back to a watermark that was set back."""
        if self.since is not None:
            self.since = min(self.since, time)
        if self.experiment_since is not None:
            self.experiment_since = min(self.experiment_since, time)
        self.began = {name: min(began, time) for name, began in self.began.items()}
        self.own.set_back(time)

    def state(self, model: str) -> str:
        """Return where it stands in its life (`models.spec.model_lifecycle`)."""
        if model == self.champion:
            return "champion"
        if model in self.retired:
            return "retired"
        if model in self.experiment:
            return "experiment"
        return "shadow" if self.warm(model) else "candidate"

    def warm(self, model: str) -> bool:
        """Return True if it has learnt enough to answer."""
        return self.pooled[model].trained_on >= self._use_case.warmup_of(model)

    def answering(self, arm: str | None) -> str:
        """Return the model that answers in an arm."""
        return arm if arm in self.experiment and arm not in self.retired else self.champion

    def ask(
        self,
        segment: str | None,
        x: dict[str, Any],
        base: Predicted,
        *,
        everybody: bool = True,
        arm: str | None = None,
        threshold: float | None = None,
    ) -> PredictionSet:
        """Ask every model; return the predictions beside the baseline's `base`.

        Without `everybody`, only the champion and who answers in that arm are asked. `threshold`:
        the probability of true above which a binary answer is yes; None: the model's own class.
        """
        kind, answerer = self._kind, self.answering(arm)
        withheld: list[str] = []
        diverged: list[str] = []
        pooled: list[Predicted | None] = []
        served: Predicted | None = None
        for name, slot in self.pooled.items():
            if name in self.retired or not (everybody or name == self.champion or name == answerer):
                pooled.append(UNASKED)
                continue
            prediction = self._asked(slot, x, base, threshold)
            limits = self.limits_of(name)
            if prediction is None or not kind.usable(prediction, limits):
                withheld.append(name)
                if prediction is not None and kind.diverged(prediction, limits):
                    diverged.append(name)
            pooled.append(prediction)
            if name == answerer:
                served = prediction
        own: dict[str, Predicted | None] = {}
        if segment is not None:
            own = {
                name: self._asked(slot, x, base, threshold)
                for name, slot in self.own.of(segment).items()
                if slot.trained_on >= self._use_case.warmup_of(name)
                and name not in self.retired
                and (everybody or name == answerer)
            }
        if arm == HOLDOUT:
            answer = self._baseline(base, "the holdout")._replace(by="holdout")
        else:
            answer = self._answer(answerer, segment, base, served, answerer not in withheld, own)
        return PredictionSet(base, tuple(pooled), own, withheld, answer, diverged)

    def alone(
        self, model: str, x: dict[str, Any], base: Predicted, threshold: float | None = None
    ) -> PredictionSet:
        """Ask the global `model` alone, whichever is champion."""
        slot = self.pooled[model]
        prediction = self._asked(slot, x, base, threshold)
        fault = self._fault(slot, prediction, self._usable(slot, prediction))
        by = "champion" if model == self.champion else "challenger"
        answer = (
            self._by(by, f"{model} alone was asked", prediction, slot)
            if fault is None
            else self._baseline(base, fault)
        )
        pooled = tuple(prediction if name == model else UNASKED for name in self.pooled)
        return PredictionSet(base, pooled, {}, [], answer)

    def _asked(
        self, slot: ModelSlot, x: dict[str, Any], base: Predicted, threshold: float | None
    ) -> Predicted | None:
        prediction = slot.ask(self._kind, x)
        if prediction is not None and threshold is not None:
            prediction = self._kind.decide(prediction, threshold)
        if prediction is not None and self._use_case.target != "label":
            prediction = base + prediction
        return prediction

    def _answer(
        self,
        answerer: str,
        segment: str | None,
        base: Predicted,
        pooled: Predicted | None,
        usable: bool,
        own: Mapping[str, Predicted | None],
    ) -> Answer:
        challenges = answerer != self.champion
        tripped = (self.guards[answerer] if challenges else self.safeguard).fault
        if tripped is not None:
            return self._baseline(base, tripped)
        reasons = []
        slot = self.own.of(segment).get(answerer)
        if slot is not None:
            if not self.own.answers(segment, answerer):
                reasons.append(f"{segment} has not earned its own model yet")
            else:
                prediction = own.get(answerer)
                fault = self._fault(slot, prediction, self._usable(slot, prediction))
                if fault is None:
                    by = "challenger" if challenges else "champion"
                    return self._by(by, "the segment's own model", own[answerer], slot)
                reasons.append(fault)
        fault = self._fault(self.pooled[answerer], pooled, usable)
        if fault is None:
            by = "champion" if self._use_case.segments is None else "pooled"
            if challenges:
                reasons.append(f"{answerer}'s arm of the experiment")
            why = "; ".join(reasons) or "the champion"
            return self._by("challenger" if challenges else by, why, pooled, self.pooled[answerer])
        reasons.append(fault)
        return self._baseline(base, "; ".join(reasons))

    def _baseline(self, base: Predicted, why: str) -> Answer:
        return Answer(base, "baseline", why, f"baseline@{self._definition}#0", None)

    def _usable(self, slot: ModelSlot, prediction: Predicted | None) -> bool:
        return prediction is not None and self._kind.usable(prediction, self.limits_of(slot.name))

    def _fault(self, slot: ModelSlot, prediction: Predicted | None, usable: bool) -> str | None:
        warmup = self._use_case.warmup_of(slot.name)
        if slot.trained_on < warmup:
            return f"{slot.name} has learnt {slot.trained_on} of {warmup} examples"
        if prediction is None:
            return f"{slot.name} had nothing to say"
        return None if usable else f"{slot.name} left its limits"

    def _by(self, by: str, why: str, prediction: Predicted, slot: ModelSlot) -> Answer:
        return Answer(
            prediction, by, why, f"{slot.name}@{self._definition}#{slot.trained_on}", slot
        )

    # What they learn.

    def learn_own(
        self,
        segment: str | None,
        x: dict[str, Any],
        target: Any,
        weight: float | None,
        learners: str | None = None,
    ) -> None:
        """Let the segment's own models alone learn one example, as `learn` does."""
        for name, slot in self.own.of(segment).items():
            if name not in self.retired and (learners is None or name == learners):
                slot.learn(x, target, weight)

    def learn(
        self,
        segment: str | None,
        x: dict[str, Any],
        target: Any,
        weight: float | None,
        learners: str | None = None,
    ) -> list[str]:
        """Let models learn one example: all, or `learners` alone; `target` is what is left to say.

        Returns those that have their warm-up behind them by it.
        """
        warm = []
        own = self.own.of(segment)
        for name, slot in self.pooled.items():
            if name in self.retired or not (learners is None or name == learners):
                continue
            slot.learn(x, target, weight)
            if slot.trained_on == self._use_case.warmup_of(name):
                warm.append(name)
            if name in own:
                own[name].learn(x, target, weight)
        return warm

    # What commands change.

    def guard(self, model: str) -> CircuitBreaker:
        """Return the breaker of a model in an experiment, made on first use."""
        if model not in self.guards:
            self.guards[model] = CircuitBreaker(
                self._kind, self._use_case.kpi, on=self._use_case.breaker
            )
        return self.guards[model]

    def promote(self, model: str) -> str:
        """Make `model` the champion; returns the one before."""
        before, self.champion = self.champion, model
        self.before = [*self.before, before][-BEFORE_MAX:]
        self._crowned(model)
        return before

    def roll_back(self) -> str:
        """Return to the champion before, as it is now; there must be one."""
        left, self.champion = self.champion, self.before.pop()
        self._crowned(self.champion)
        return left

    def _crowned(self, model: str) -> None:
        self.retired.pop(model, None)
        self.leave_experiment(model)
        self.safeguard.another()

    def leave_experiment(self, model: str) -> bool:
        """Give it no more units; True if it had any."""
        self.guards.pop(model, None)
        return self.experiment.pop(model, None) is not None

    def reset(self, model: str, now: float) -> None:
        """Put a fresh model in the place of that one; only the champion keeps its place."""
        self.pooled[model] = ModelSlot(model, None, self._use_case.models[model]())
        self.own.reset(model, now)
        self.replacements.pop(model, None)
        if now > float("-inf"):
            self.began[model] = now
        self.retired.pop(model, None)
        if self.leave_experiment(model) and now > float("-inf"):
            self.experiment_since = now
        if model == self.champion:
            self.safeguard.another()

    def note_renewed(self, model: str, now: float | None) -> None:
        """Restart comparisons, and those of segments: a shared model has started over elsewhere."""
        self.own.reset(model, float("-inf") if now is None else now)
        if now is not None:
            self.began[model] = now

    def already_applied(self, command_id: str) -> bool:
        """Return whether that command came before, obeyed or refused; the last `OBEYED_MAX` are
        known.
        """
        if command_id in self.applied_commands:
            return True
        self.applied_commands[command_id] = None
        if len(self.applied_commands) > OBEYED_MAX:
            del self.applied_commands[next(iter(self.applied_commands))]
        return False
