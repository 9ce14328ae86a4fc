"""A partition's side of shared learning: its time, and the versions and roles it has taken.

A partition takes a record of `models` once it has reached its time
(`models.inputs.merge_order.choose_shared`). It then answers by the version; who is champion, which
arms there are, which breaker is open and what a model may predict is as the record says. It decides
nothing of that by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from models.serving.circuit_breaker import CircuitBreaker
from models.serving.model_router import ModelRouter
from models.spec.problem_types import Kind
from models.spec.use_case import Kpi, UseCase
from models.training.versions import (
    Unpack,
    VersionRef,
    VersionSlot,
    label_of_version,
    plain_pack,
)
from schemas.headers import Headers


class PublishedGuard(CircuitBreaker):
    """A breaker that the learner operates: a partition knows only whether it is open, and why."""

    def __init__(self, kind: Kind, kpi: Kpi) -> None:
        super().__init__(kind, kpi, on=False)
        self.cause: str | None = None

    @property
    def fault(self) -> str | None:
        """The reason why the model is not served; None while it may be."""
        return self.cause


class SharedModels:
    """What one partition has taken of the shared models. Memory: one version of each model.

    `clock` is the latest time of all records that the partition has applied, seconds UTC, each
    bounded by its Kafka timestamp. `number` and `version_clock` are those of the newest record of
    `models`; -1 and None before the first.
    """

    def __init__(self, router: ModelRouter, kind: Kind, use_case: UseCase, unpack: Unpack) -> None:
        self._router = router
        self._use_case = use_case.name
        self._unpack = unpack
        self.clock: float | None = None
        self.number = -1
        self.version_clock: float | None = None
        self.generations = dict.fromkeys(router.names, 0)
        self.guards = {name: PublishedGuard(kind, use_case.kpi) for name in router.names}
        router.safeguard = self.guards[router.champion]
        router.guards = {name: self.guards[name] for name in router.experiment}

    def advance(self, due: float) -> None:
        """Advance the clock to the time of a record that is applied."""
        if self.clock is None or due > self.clock:
            self.clock = due

    def set_back(self, time: float) -> None:
        """Follow a watermark that was set back."""
        if self.clock is not None:
            self.clock = min(self.clock, time)

    @property
    def staleness_s(self) -> float | None:
        """The event time between the newest version and the partition's time."""
        if self.clock is None or self.version_clock is None:
            return None
        return max(0.0, self.clock - self.version_clock)

    # What a record changes.

    def take_version(self, update: Mapping[str, Any], offset: int, headers: Headers) -> bool:
        """Answer by the record's version from now on; True if the model has started over by it."""
        version = update["version"]
        name, generation = version["model"], version["generation"]
        self._put(
            VersionRef(
                name,
                update["definition"],
                generation,
                version["trained_on"],
                update["number"],
                offset,
                headers,
            )
        )
        restarted: bool = generation != self.generations[name]
        self.generations[name] = generation
        return restarted

    def _put(self, ref: VersionRef, faults: tuple[int, str] | None = None) -> None:
        label = label_of_version(self._use_case, ref)
        slot = VersionSlot(ref, label, self._unpack)
        before = self._router.pooled[ref.name]
        slot.faults, slot.last_fault = faults or (before.faults, before.last_fault)
        self._router.pooled[ref.name] = slot

    def take_roles(self, roles: Mapping[str, Any], now: float | None) -> tuple[str, str] | None:
        """Let roles be as published; (champion before, champion now) if another one answers."""
        router = self._router
        before, champion = router.champion, roles["champion"]
        if champion != before:
            router.champion, router.since = champion, now
        router.before, router.frozen = list(roles["before"]), roles["frozen"]
        if roles["experiment"] != router.experiment:
            router.experiment, router.experiment_since = dict(roles["experiment"]), now
        router.retired = dict.fromkeys(roles["retired"])
        limits = roles["limits"]
        router.bounds.limits = None if limits is None else (limits[0], limits[1])
        for name, guard in self.guards.items():
            guard.cause = roles["faults"].get(name)
        self._hand_out_guards()
        return None if champion == before else (before, champion)

    def _hand_out_guards(self) -> None:
        router = self._router
        router.safeguard = self.guards[router.champion]
        router.guards = {name: self.guards[name] for name in router.experiment}

    def carry(self, old: SharedModels | None, names: Collection[str]) -> None:
        """Take over what `old`, of another definition, had of the models `names`; None: nothing,
        since its models were the partition's own.
        """
        if old is not None:
            self.clock, self.number, self.version_clock = old.clock, old.number, old.version_clock
            for name, ref in old.versions.items():
                if name in names:
                    self._put(ref)
                    self.generations[name] = old.generations[name]
            for name, guard in old.guards.items():
                if name in names:
                    self.guards[name].cause = guard.cause
        self._hand_out_guards()

    # What a snapshot keeps.

    @property
    def versions(self) -> dict[str, VersionRef]:
        """The version that each model answers by; none of those that are as declared."""
        slots = self._router.pooled.items()
        return {name: slot.version for name, slot in slots if isinstance(slot, VersionSlot)}

    def state(self) -> tuple[Any, ...]:
        """Return the state as plain data."""
        versions = {}
        for name, ref in self.versions.items():
            slot = self._router.pooled[name]
            versions[name] = (*ref, slot.faults, slot.last_fault)
        causes = {name: guard.cause for name, guard in self.guards.items()}
        taken = self.clock, self.number, self.version_clock
        return *taken, dict(self.generations), causes, versions

    def portable(self, model: str | None = None) -> tuple[Any, ...]:
        """Return `state` for who has no key: versions unsigned, and that of `model` alone if given.

        A fresh task restores it with `PlainUnpack`.
        """
        *rest, _ = self.state()
        versions = {}
        for name, ref in self.versions.items():
            if model in (None, name):
                slot = self._router.pooled[name]
                plain = ref._replace(headers=plain_pack(slot, b""))
                versions[name] = (*plain, slot.faults, slot.last_fault)
        return *rest, versions

    def restore(self, state: tuple[Any, ...]) -> None:
        """Restore what `state` returned."""
        self.clock, self.number, self.version_clock, generations, causes, versions = state
        self.generations = dict(generations)
        for name, cause in causes.items():
            self.guards[name].cause = cause
        for *ref, faults, last_fault in versions.values():
            self._put(VersionRef(*ref), (faults, last_fault))
        self._hand_out_guards()
