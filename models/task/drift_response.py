"""What is done when a model's error has risen: declared, done by itself, told on `lifecycle`.

    alert        nothing more
    reset        the model starts over; until it is warm the baseline answers for it
    challenger   a fresh copy learns beside it, and takes its place if the old one loses
    fallback     the baseline is served until the model has proved better than it again

Only a rise of a declared model's error is reacted to: changed features may be handled well, and
error that falls is no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.outputs.lifecycle_log import LifecycleLog
from models.outputs.output_records import Output
from models.serving.model_router import ModelRouter
from models.serving.model_slot import ModelSlot
from models.serving.replacement import ShadowReplacement, loss_of
from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import UseCase
from models.stats.drift_detection import DriftAlarm


class DriftResponse:
    """Acts on the alarms of one partition. Memory: at most one further copy of each model.

    `reset` puts a fresh model in the place of one, and forgets what was known of the old.
    """

    def __init__(
        self,
        use_case: UseCase,
        kind: Kind,
        router: ModelRouter,
        lifecycle_log: LifecycleLog,
        reset: Callable[[str], None],
    ) -> None:
        self._use_case = use_case
        self._kind = kind
        self._router = router
        self._lifecycle_log = lifecycle_log
        self._reset = reset

    def react(self, alarm: DriftAlarm, out: list[Output]) -> str:
        """Do what is declared about it; returns what was done."""
        router, model = self._router, alarm.name
        if alarm.kind != "error" or model not in router.pooled or model in router.retired:
            return "alert"
        action = self._use_case.action_of(model)
        why = f"its error rose from {alarm.was:.4g} to {alarm.now:.4g}"
        if action == "reset":
            was = router.state(model)
            self._reset(model)
            self._tell(out, model, f"{why}: it starts over", was)
        elif action == "challenger":
            if model in router.replacements:
                return "alert"
            router.replacements[model] = ShadowReplacement(
                ModelSlot(model, None, self._use_case.models[model]())
            )
            self._tell(out, model, f"{why}: a fresh copy learns beside it")
        elif action == "fallback":
            guard = router.safeguard if model == router.champion else router.guards.get(model)
            if guard is None or guard.breaker.open:
                return "alert"
            guard.breaker.trip("error drifted")
            out.append(self._lifecycle_log.breaker(model, guard))
        return action

    def learn(
        self,
        x: dict[str, Any],
        target: Any,
        weight: float | None,
        label: tuple[Any, Predicted],
        out: list[Output],
        learners: str | None = None,
    ) -> None:
        """Let the copies learn one example; `label` is it and the baseline's answer. Before the
        models themselves learn it.
        """
        for name, replacement in list(self._router.replacements.items()):
            if name in self._router.retired:
                del self._router.replacements[name]
                continue
            if learners is not None and name != learners:
                continue
            losses = [
                self._loss(slot, x, *label)
                for slot in (self._router.pooled[name], replacement.slot)
            ]
            replacement.slot.learn(x, target, weight)
            decided = replacement.judge(losses[0], losses[1], self._use_case.warmup_of(name))
            if decided is None:
                continue
            del self._router.replacements[name]
            if decided == "takes over":
                was = self._router.state(name)
                self._reset(name)
                self._router.pooled[name] = replacement.slot
                self._tell(
                    out, name, f"its fresh copy lost less on {replacement.seen} examples", was
                )
            else:
                self._tell(
                    out, name, f"its fresh copy was no better on {replacement.seen} examples"
                )

    def _loss(self, slot: ModelSlot, x: dict[str, Any], label: Any, baseline: Predicted) -> float:
        prediction = slot.ask(self._kind, x)
        if prediction is not None and self._use_case.target != "label":
            prediction = baseline + prediction
        return loss_of(self._kind, label, prediction, baseline)

    def _tell(self, out: list[Output], model: str, why: str, was: str | None = None) -> None:
        state = self._router.state(model)
        was = was or state
        change = self._lifecycle_log.change
        out.append(change(model, from_state=was, to_state=state, cause="rule", why=why))
