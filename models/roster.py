"""Who answers: the models of a partition, what each says, and whose word is served.

Every model of the use case has a pooled slot that learns from all examples of the partition. With
segments declared, the champion (and others that are named) also has a slot of its own for each
segment; it answers only once it has earned the place. What is served is the first of

    the segment's own model, if it earned it  →  the pooled champion  →  the baseline

that is warm, finite and within its limits, and the record says which, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from models.earning import Earning
from models.kinds import Kind, Said
from models.safeguard import Safeguard
from models.slot import Slot
from models.usecase import UseCase

BEFORE_MAX = 16
OBEYED_MAX = 1_000


class Answer(NamedTuple):
    """What is served of one event."""

    said: Said
    by: str
    why: str
    model: str
    slot: Slot | None


class Asked(NamedTuple):
    """What everybody said of one event. `own` is the segment's own champion's answer."""

    baseline: Said
    pooled: tuple[Said | None, ...]
    own: Said | None
    withheld: list[str]
    answer: Answer


class Roster:
    """The slots of one partition. Memory: models x (1 + segment limit)."""

    def __init__(self, use_case: UseCase, kind: Kind, definition: str) -> None:
        self._use_case = use_case
        self._kind = kind
        self._definition = definition
        self.champion = use_case.champion
        self.before: list[str] = []
        # Watermarks: when this champion began, and models that are not as they were at the start.
        self.since: float | None = None
        self.began: dict[str, float] = {}
        self.obeyed: dict[str, None] = {}
        self.frozen = False
        self.safeguard = Safeguard(kind, on=use_case.breaker)
        self.pooled = {name: Slot(name, None, make()) for name, make in use_case.models.items()}
        # Least recently used first: a dict keeps the order in which keys were last put in.
        self.own: dict[str, Slot] = {}
        self.earning: dict[str, Earning] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in their declared order."""
        return tuple(self.pooled)

    def slots(self) -> Iterator[Slot]:
        """Every slot."""
        yield from self.pooled.values()
        yield from self.own.values()

    def enter(self, segment: str | None) -> tuple[bool, str | None]:
        """Make room for a segment: (is it new, which one was dropped)."""
        declared = self._use_case.segments
        if declared is None or segment is None:
            return False, None
        slot = self.own.pop(segment, None)
        if slot is not None:
            self.own[segment] = slot
            return False, None
        dropped = None
        if len(self.own) >= declared.limit:
            dropped = next(iter(self.own))
            del self.own[dropped], self.earning[dropped]
        self.own[segment] = Slot(self.champion, segment, self._use_case.models[self.champion]())
        self.earning[segment] = Earning()
        return True, dropped

    def ask(
        self, segment: str | None, x: dict[str, Any], baseline: Any, *, everybody: bool = True
    ) -> Asked:
        """Everybody's answer; `baseline` is its value, already known to be usable.

        Without `everybody`, challengers are not asked, and say nothing.
        """
        kind, use_case = self._kind, self._use_case
        corrects = use_case.learns != "label"
        base = kind.said_of(baseline)
        withheld: list[str] = []
        pooled: list[Said | None] = []
        for name, slot in self.pooled.items():
            if not everybody and name != self.champion:
                pooled.append(None)
                continue
            said = slot.ask(kind, x)
            if said is not None and corrects:
                said = base + said
            if said is None or not kind.usable(said, use_case.limits):
                withheld.append(name)
            pooled.append(said)
        own_slot = self.own.get(segment) if segment is not None else None
        own = None
        if own_slot is not None:
            own = own_slot.ask(kind, x)
            if own is not None and corrects:
                own = base + own
        answer = self._answer(segment, base, tuple(pooled), own, own_slot)
        return Asked(base, tuple(pooled), own, withheld, answer)

    def _answer(
        self,
        segment: str | None,
        base: Said,
        pooled: tuple[Said | None, ...],
        own: Said | None,
        own_slot: Slot | None,
    ) -> Answer:
        tripped = self.safeguard.fault
        if tripped is not None:
            return self._baseline(base, tripped)
        reasons = []
        if own_slot is not None:
            if not self.earning[own_slot.segment or ""].earned:
                reasons.append(f"{segment} has not earned its own model yet")
            else:
                fault = self._fault(own_slot, own)
                if fault is None:
                    return self._by("champion", "the segment's own model", own, own_slot)
                reasons.append(fault)
        slot = self.pooled[self.champion]
        said = pooled[self.names.index(self.champion)]
        fault = self._fault(slot, said)
        if fault is None:
            by = "champion" if self._use_case.segments is None else "pooled"
            return self._by(by, "; ".join(reasons) or "the champion", said, slot)
        reasons.append(fault)
        return self._baseline(base, "; ".join(reasons))

    def _baseline(self, base: Said, why: str) -> Answer:
        return Answer(base, "baseline", why, f"baseline@{self._definition}#0", None)

    def _fault(self, slot: Slot, said: Said | None) -> str | None:
        use_case = self._use_case
        if slot.trained_on < use_case.warmup:
            return f"{slot.name} has learnt {slot.trained_on} of {use_case.warmup} examples"
        if said is None:
            return f"{slot.name} had nothing to say"
        if not self._kind.usable(said, use_case.limits):
            return f"{slot.name} left its limits"
        return None

    def _by(self, by: str, why: str, said: Said, slot: Slot) -> Answer:
        return Answer(said, by, why, f"{slot.name}@{self._definition}#{slot.trained_on}", slot)

    def learn(
        self, segment: str | None, x: dict[str, Any], target: Any, weight: float | None
    ) -> None:
        """Every model learns one example; `target` is the label, or what is left of it."""
        for slot in self.pooled.values():
            slot.learn(x, target, weight)
        own = self.own.get(segment) if segment is not None else None
        if own is not None:
            own.learn(x, target, weight)

    def disband(self) -> list[str]:
        """Drop all segments' own models; returns the segments."""
        segments = list(self.own)
        self.own.clear()
        self.earning.clear()
        return segments

    def promote(self, model: str) -> str:
        """Make `model` the champion; returns the one before."""
        before, self.champion = self.champion, model
        self.before = [*self.before, before][-BEFORE_MAX:]
        self.safeguard.another()
        return before

    def heard(self, command_id: str) -> bool:
        """True if that command came before, obeyed or refused; the last `OBEYED_MAX` are known."""
        if command_id in self.obeyed:
            return True
        self.obeyed[command_id] = None
        if len(self.obeyed) > OBEYED_MAX:
            del self.obeyed[next(iter(self.obeyed))]
        return False

    def roll_back(self) -> str | None:
        """Return to the champion before, as it is now; None if there was none."""
        if not self.before:
            return None
        left, self.champion = self.champion, self.before.pop()
        self.safeguard.another()
        return left
