"""The records on `lifecycle`: a model began, was promoted, withheld, dropped; who, when, why."""

from __future__ import annotations

from typing import Any

from models.inputs.journal import Journal
from models.inputs.watermark import Watermark
from models.outputs.output_records import Output, Publisher
from models.serving.circuit_breaker import CircuitBreaker
from models.serving.model_router import ModelRouter
from models.serving.segment_models import Turned


class LifecycleLog:
    """Writes lifecycle records of one partition; reports each lasting fact once.

    Memory: one word for each model. `discreet`: a model's own words about its failure are left out,
    since an error's text may quote what it was given, and that may be personal.
    """

    def __init__(
        self,
        publish: Publisher,
        router: ModelRouter,
        journal: Journal,
        watermark: Watermark,
        *,
        discreet: bool = False,
    ) -> None:
        self.announced: set[str] = set()
        self._publish = publish
        self._router = router
        self._journal = journal
        self._watermark = watermark
        self._discreet = discreet

    def change(self, model: str, **value: Any) -> Output:
        """Return the record of one change of state; `value` as in `schemas.records.Lifecycle`."""
        value.setdefault("who", "riverrun")
        step, time = self._journal.step, self._watermark.time
        return self._publish.lifecycle(step, time, model=model, **value)

    def beginning(self, definition: str) -> list[Output]:
        """Return, with the partition's first record, that every declared model begins."""
        if "beginning" in self.announced:
            return []
        self.announced.add("beginning")
        why = f"declared by definition {definition}"
        return [
            self.change(name, to_state=self._router.state(name), cause="definition", why=why)
            for name in self._router.names
        ]

    def warm(self, name: str) -> list[Output]:
        """Return, once, that a model has learnt enough to answer."""
        word = f"warm:{name}"
        if word in self.announced or self._router.state(name) == "champion":
            return []
        self.announced.add(word)
        state = self._router.state(name)
        if state != "shadow":
            return []
        why = f"has learnt its warm-up of {self._router.pooled[name].trained_on} examples"
        return [self.change(name, from_state="candidate", to_state=state, cause="rule", why=why)]

    def forget(self, name: str) -> None:
        """Forget what was reported of a model that no longer exists."""
        self.announced -= {name, f"warm:{name}"}

    def withheld(self, names: list[str]) -> list[Output]:
        """Return the first time that a model's value could not be used where it might have been.

        An unusable value during the warm-up is not reported, unless the model raises.
        """
        changes = []
        for name in names:
            fault = self._router.pooled[name].last_fault
            if name in self.announced or not (fault or self._router.warm(name)):
                continue
            self.announced.add(name)
            if fault and self._discreet:
                fault = (
                    f"{fault.partition(':')[0]} (its message is left out: some data is personal)"
                )
            why = fault or "a value was not finite or left the limits"
            changes.append(self.change(name, to_state="withheld", cause="safeguard", why=why))
        return changes

    def segment(self, segment: str | None) -> list[Output]:
        """Make room for the segment's own model, and return what that changed."""
        champion = self._router.champion
        changes: list[Output] = []
        if segment is None:
            return changes
        router, time = self._router, self._watermark.time
        assert time is not None
        new, dropped = router.own.enter(segment, router.champion, time)
        if dropped is not None:
            changes.append(
                self.change(
                    champion,
                    segment=dropped,
                    from_state="shadow",
                    to_state="retired",
                    cause="limit",
                    why="the least recently used segment made room for another",
                )
            )
        if new:
            changes.append(
                self.change(
                    champion,
                    segment=segment,
                    to_state="shadow",
                    cause="definition",
                    why="began with this event",
                )
            )
        return changes

    def left(self, before: str, champion: str) -> list[Output]:
        """Return that another model is champion, and that its predecessor's segment models end."""
        return [
            self.change(
                before,
                segment=segment,
                from_state="shadow",
                to_state="retired",
                cause="rule",
                why=f"{champion} is the champion now",
            )
            for segment in self._router.own.leave(champion)
        ]

    def breaker(self, model: str, guard: CircuitBreaker) -> Output:
        """Return that a model's breaker opened, or closed again."""
        state, breaker = self._router.state(model), guard.breaker
        return self.change(
            model,
            from_state=state if breaker.open else "withheld",
            to_state="withheld" if breaker.open else state,
            cause="safeguard",
            why=f"{breaker.cause}; the baseline is served"
            if breaker.open
            else "better than the baseline again",
        )

    def earned(self, turned: Turned) -> Output:
        """Return that a segment's own model earned its place, or lost it."""
        comparison = turned.comparison
        before, after = ("shadow", "champion") if turned.earned else ("champion", "shadow")
        lower, upper = comparison.interval
        return self.change(
            turned.model,
            segment=turned.segment,
            from_state=before,
            to_state=after,
            cause="rule",
            why=f"gains {comparison.mean:.4g} in KPI a prediction over the pooled model "
            f"({lower:.4g} to {upper:.4g}), {comparison.seen} blocks",
            evidence={
                "gain": comparison.mean,
                "lower": lower,
                "upper": upper,
                "blocks": comparison.seen,
                "labelled": comparison.labelled,
                "alpha": comparison.alpha,
            },
        )
