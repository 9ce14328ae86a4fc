"""Which model is whose, when all have caught up, and what becomes of a failure.

    prepare(task, live) → (apply* → settle(task))* → rest(task) | close

A model is trained in place, as without trainers, while a fresh copy learns beside it (both are
asked at each example), and for good once it has raised: what the learner counts then depends on
each example. Such a model is known by its slot's faults; one whose fault is not committed yet, by
what its trainer told. Who trains what does not change a byte, so it is no state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import Any, cast

from models.serving.model_slot import ModelSlot
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.training.versions import Pack
from schemas.errors import Unavailable
from schemas.headers import Headers
from streams.config.use_case_loader import namespace_of, standing_in
from streams.trainers.fork_server import ForkServer
from streams.trainers.late_headers import LateHeaders
from streams.trainers.remote_slot import RemoteSlot
from streams.trainers.trainer_link import SILENT_S, StateLost, TrainerLink
from streams.trainers.trainer_process import Trainer

log = logging.getLogger("riverrun.learner")

BUSY_S = 0.25
"""A batch ends once trainers have so much to do: a version is not older for it."""


def names_of(use_case: UseCase) -> Callable[[], AbstractContextManager[None]]:
    """Return what lets pickles find the classes and functions of a use case's file."""
    module = use_case.event.__module__
    namespace = namespace_of(module, [*use_case.models.values()])
    return partial(standing_in, module, namespace)


def fork_server_of(use_case: UseCase, pack: Pack) -> ForkServer:
    """Return what starts trainers; to be called before the process has threads."""
    trainer = Trainer(pack, names_of(use_case))
    return ForkServer(trainer.run)


class TrainerPool:
    """The trainers of one running learner. Memory: what is sent and not learnt, one batch."""

    def __init__(
        self, server: ForkServer, use_case: UseCase, wanted: int, *, silent_s: float = SILENT_S
    ) -> None:
        self._silent_s = silent_s
        self._server = server
        self._wanted = wanted
        self._names = names_of(use_case)
        self._links: list[TrainerLink] = []
        self._late: list[LateHeaders] = []
        self._keys = count(1)
        self._name_of: dict[int, str] = {}
        # Model → why it is trained in place.
        self._in_place: dict[str, str] = {}
        self._cost_s: dict[str, float] = {}
        self._cpu_s = 0.0
        self._error: str | None = None

    # What a runner calls.

    def prepare(self, task: Any, live: bool) -> None:
        """Begin with a task: before its journal is folded, and before it goes live.

        Raises `StateLost` where a trainer that has ended had a model of it.
        """
        if not live:
            for link in self._links:
                link.is_live = False
            return
        if any(link.error or link.faults for link in self._links):
            self.close()
        self._start()
        for link in self._links:
            link.is_live = True
        _check(task)
        if task.pack is not None:
            task.pack = partial(self._pack, task.pack)
        self._adopt(task)

    async def settle(self, task: Any) -> None:
        """Wait until all that was sent is learnt; raise `StateLost` if it is not as assumed."""
        try:
            wanted = self._wants_states(task)
            for link in self._links:
                await link.idle()
        except StateLost:
            self._note_faults()
            raise
        for slot in wanted:
            slot.pickled()
        _check(task)
        for headers in self._late:
            headers.resolve()
        self._late.clear()
        self._adopt(task)

    async def rest(self, task: Any) -> None:
        """Take all models from the trainers, as pickles: the learner ends here."""
        slots = _away(task)
        for slot in slots:
            slot.request()
        for link in self._links:
            await link.idle()
        for slot in slots:
            slot.rest()

    def is_busy(self) -> bool:
        """Return whether the trainers have enough to do for now."""
        return any(link.busy_s > BUSY_S for link in self._links)

    def close(self) -> None:
        """Let the trainers end, with what they have."""
        self._note_faults()
        for link in self._links:
            self._cpu_s += link.cpu_s
            link.close(kill=link.error is not None or bool(link.faults) or link.pending > 0)
        self._links, self._late, self._name_of = [], [], {}

    def status(self) -> dict[str, Any]:
        """Return plain values for `riverrun status`."""
        trainers = [
            {
                "trainer": link.number,
                "pid": link.pid,
                "cpu_s": round(link.cpu_s, 3),
                "waiting": link.pending,
                "waiting_s": round(link.busy_s, 4),
                "models": [self._name_of[key] for key in link.learnt if key in self._name_of],
            }
            for link in self._links
        ]
        cpu_s = self._cpu_s + sum(link.cpu_s for link in self._links)
        return {
            "wanted": self._wanted,
            "cpu_s": round(cpu_s, 3),
            "trainers": trainers,
            "in_place": dict(self._in_place),
            "error": self._error,
        }

    # Whose a model is.

    def _start(self) -> None:
        try:
            while len(self._links) < self._wanted:
                number, process = len(self._links) + 1, self._server.spawn()
                link = TrainerLink(number, *process, silent_s=self._silent_s)
                self._links.append(link)
                log.info("trainer %d is process %d", link.number, link.pid)
        except Unavailable as error:
            if self._error is None:
                log.error("%s; models are trained in place", error)
            self._error = str(error)
        else:
            self._error = None

    def _adopt(self, task: LearnerTask) -> None:
        """Hand models over that are here and can be elsewhere; forget those that were replaced."""
        router = task.router
        for name, slot in router.pooled.items():
            if not self._links or (isinstance(slot, RemoteSlot) and slot.is_away):
                continue
            if slot.faults:
                self._in_place.setdefault(name, slot.last_fault)
            if name in self._in_place or name in router.retired or name in router.replacements:
                continue
            self._hand_over(router.pooled, name, slot)
        away = {slot.key for slot in _away(task)}
        if len(away) < len(self._name_of):
            self._forget(away)

    def _hand_over(self, pooled: dict[str, ModelSlot], name: str, slot: ModelSlot) -> None:
        self._measure()
        link = min(self._links, key=self._load)
        key = next(self._keys)
        pooled[name] = RemoteSlot(slot, key, link, self._names)
        self._name_of[key] = name
        link.learnt[key] = 0

    def _load(self, link: TrainerLink) -> tuple[float, int]:
        """Return what a trainer has to do for an example, by what was measured of its models."""
        costs = self._cost_s
        usual = sum(costs.values()) / len(costs) if costs else 1.0
        names = [self._name_of[key] for key in link.learnt if key in self._name_of]
        return sum(costs.get(name, usual) for name in names), link.number

    def _measure(self) -> None:
        for link in self._links:
            for key, seconds in link.seconds.items():
                if key in self._name_of and link.learnt.get(key):
                    self._cost_s[self._name_of[key]] = seconds / link.learnt[key]

    def _forget(self, keys: set[int]) -> None:
        for link in self._links:
            for key in [key for key in link.learnt if key not in keys]:
                link.drop(key)
                del link.learnt[key]
                link.seconds.pop(key, None)
        self._name_of = {key: name for key, name in self._name_of.items() if key in keys}

    def _note_faults(self) -> None:
        for link in self._links:
            for fault in link.faults:
                one = None if fault.key is None else self._name_of.get(fault.key)
                for name in set(self._name_of.values()) if one is None else (one,):
                    if name not in self._in_place:
                        log.warning("%s is trained in place from now on: %s", name, fault.text)
                    self._in_place[name] = fault.text

    # What is asked of a model.

    def _pack(self, pack: Pack, slot: ModelSlot, label: bytes) -> Headers:
        if not isinstance(slot, RemoteSlot) or slot.link is None:
            return pack(slot, label)
        late = LateHeaders(partial(slot.link.result, slot.link.ask("pack", slot.key, label)))
        self._late.append(late)
        return cast(Headers, late)

    def _wants_states(self, task: Any) -> list[RemoteSlot]:
        """Ask for the slots that a snapshot waits for, as they are at this batch's end."""
        if not any(link.is_wanted for link in self._links):
            return []
        slots = _away(task)
        for link in self._links:
            link.is_wanted = False
        for slot in slots:
            slot.request()
        return slots


def _check(task: Any) -> None:
    for slot in _away(task):
        if slot.link is not None:
            slot.link.check()


def _away(task: Any) -> list[RemoteSlot]:
    slots: Mapping[str, ModelSlot] = task.router.pooled
    return [slot for slot in slots.values() if isinstance(slot, RemoteSlot) and slot.is_away]
