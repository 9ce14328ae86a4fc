"""What is done when a model's error has risen: declared, done by itself, told on `lifecycle`.

    alert        nothing more
    reset        the model begins anew; until it is warm the baseline answers for it
    challenger   a fresh copy learns beside it, and takes its place if the old one loses
    fallback     the baseline is served until the model has proved better than it again

Only a rise of a declared model's error is reacted to: changed features may be handled well, and
error that falls is no harm.
"""

from __future__ import annotations

from typing import Any

from models.evidence.drift import Drift
from models.explaining import Explainer
from models.heirs import Heir, loss_of
from models.kinds import Kind, Said
from models.publishing import Output
from models.roster import Roster
from models.slot import Slot
from models.telling import Teller
from models.usecase import UseCase


class Reaction:
    """Acts on the alarms of one partition. Memory: at most one further copy of each model."""

    def __init__(
        self, use_case: UseCase, kind: Kind, roster: Roster, teller: Teller, explainer: Explainer
    ) -> None:
        self._use_case = use_case
        self._kind = kind
        self._roster = roster
        self._teller = teller
        self._explainer = explainer

    def react(self, alarm: Drift, now: float | None, out: list[Output]) -> str:
        """Do what is declared about it; returns what was done."""
        roster, model = self._roster, alarm.name
        if alarm.kind != "error" or model not in roster.pooled or model in roster.retired:
            return "alert"
        action = self._use_case.action_of(model)
        why = f"its error rose from {alarm.was:.4g} to {alarm.now:.4g}"
        if action == "reset":
            self._renew(model, Slot(model, None, self._use_case.models[model]()), now)
            self._tell(out, model, f"{why}: it begins anew")
        elif action == "challenger":
            if model in roster.heirs:
                return "alert"
            roster.heirs[model] = Heir(Slot(model, None, self._use_case.models[model]()))
            self._tell(out, model, f"{why}: a fresh copy learns beside it")
        elif action == "fallback":
            guard = roster.safeguard if model == roster.champion else roster.guards.get(model)
            if guard is None or guard.breaker.open:
                return "alert"
            guard.breaker.trip("error drifted")
            self._teller.breaker(out, model, guard)
        return action

    def learn(
        self,
        x: dict[str, Any],
        target: Any,
        weight: float | None,
        label: tuple[Any, Said],
        now: float | None,
        out: list[Output],
        learners: str | None = None,
    ) -> None:
        """Let the copies learn one example; `label` is it and the baseline's answer. Before the
        models themselves learn it.
        """
        for name, heir in list(self._roster.heirs.items()):
            if learners is not None and name != learners:
                continue
            losses = [
                self._loss(slot, x, *label) for slot in (self._roster.pooled[name], heir.slot)
            ]
            heir.slot.learn(x, target, weight)
            decided = heir.judge(losses[0], losses[1], self._use_case.warmup_of(name))
            if decided is None:
                continue
            del self._roster.heirs[name]
            if decided == "takes over":
                self._renew(name, heir.slot, now)
                self._tell(out, name, f"its fresh copy lost less on {heir.seen} examples")
            else:
                self._tell(out, name, f"its fresh copy was no better on {heir.seen} examples")

    def _loss(self, slot: Slot, x: dict[str, Any], label: Any, baseline: Said) -> float:
        said = slot.ask(self._kind, x)
        if said is not None and self._use_case.learns != "label":
            said = baseline + said
        return loss_of(self._kind, label, said, baseline)

    def _renew(self, model: str, slot: Slot, now: float | None) -> None:
        roster = self._roster
        roster.pooled[model] = slot
        roster.heirs.pop(model, None)
        self._explainer.forget(model)
        if now is not None:
            # What it says is compared from here on.
            roster.began[model] = now
        if model == roster.champion:
            roster.safeguard.another()

    def _tell(self, out: list[Output], model: str, why: str) -> None:
        state = self._roster.state(model)
        self._teller.tell(out, model, from_state=state, to_state=state, cause="rule", why=why)
