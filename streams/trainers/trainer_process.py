"""A trainer: River objects of some models, and a loop that does what the learner tells it.

A frame is a pickled list of orders, and each is answered by one `TrainerReply`:

    put    key, state            take over the slot that the pickle holds
    drop   key                   forget it
    learn  keys, x, y, weight    let these slots learn one example
    pack   ticket, key, label    the headers of a version
    state  ticket, key           the slot as a pickle, as a snapshot has it
    call   ticket, key, function what a function makes of the model

The pipe joins a process and its own fork, so nothing on it is signed. A model that raises, or that
changes the features it is given, which the models after it would see in place, is a fault: told,
and what is learnt afterwards is of no use to anybody.
"""

from __future__ import annotations

import pickle
import socket
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from models.serving.model_slot import ModelSlot
from models.training.versions import Pack
from streams.snapshots.fork_writer import deeply
from streams.snapshots.model_transfer import pickled

LENGTH = struct.Struct("!Q")
PROTOCOL = 5


class TrainerFault(NamedTuple):
    """What a trainer could not do as the learner assumed; `key` None: it is about all models."""

    key: int | None
    text: str


class TrainerReply(NamedTuple):
    """What became of one frame. `seconds`: of each slot, spent on learning."""

    results: dict[int, Any]
    faults: list[TrainerFault]
    seconds: dict[int, float]
    cpu_s: float


class Trainer:
    """The slots of one trainer. `names` lets pickles find what the use case's file defines."""

    def __init__(self, pack: Pack, names: Callable[[], AbstractContextManager[None]]) -> None:
        self._pack = pack
        self._names = names
        self.slots: dict[int, ModelSlot] = {}

    def run(self, pipe: socket.socket) -> None:
        """TrainerReply frames until the learner closes the pipe; on a stack that states fit."""
        deeply(self._answer_all, pipe)

    def _answer_all(self, pipe: socket.socket) -> None:
        with pipe.makefile("rb") as frames, self._names():
            while len(head := frames.read(LENGTH.size)) == LENGTH.size:
                orders = pickle.loads(frames.read(*LENGTH.unpack(head)))
                data = pickle.dumps(self.answer(orders), PROTOCOL)
                try:
                    pipe.sendall(LENGTH.pack(len(data)) + data)
                except OSError:  # the learner has gone meanwhile
                    return

    def answer(self, orders: list[tuple[Any, ...]]) -> TrainerReply:
        """Carry out one frame."""
        answer = TrainerReply({}, [], {}, 0.0)
        for kind, *order in orders:
            if kind == "learn":
                self._learn(answer, *order)
            elif kind == "put":
                self._put(answer, *order)
            elif kind == "drop":
                self.slots.pop(order[0], None)
            else:
                self._tell(answer, kind, *order)
        return answer._replace(cpu_s=time.process_time())

    def _put(self, answer: TrainerReply, key: int, state: bytes) -> None:
        try:
            self.slots[key] = pickle.loads(state)
        except Exception as error:  # whatever pickle meets in an estimator
            answer.faults.append(TrainerFault(key, f"{type(error).__name__}: {error}"))

    def _learn(
        self, answer: TrainerReply, keys: list[int], x: dict[str, Any], y: Any, w: Any
    ) -> None:
        items, seconds = list(x.items()), answer.seconds
        began = time.perf_counter()
        for key in keys:
            if (slot := self.slots.get(key)) is None:
                continue  # told when it was put
            faults = slot.faults
            try:
                slot.learn(x, y, w)
            except Exception as error:  # as it would end the learner's batch, in place
                answer.faults.append(TrainerFault(key, f"{type(error).__name__}: {error}"))
            if slot.faults != faults:
                answer.faults.append(TrainerFault(key, slot.last_fault))
            now = time.perf_counter()
            seconds[key] = seconds.get(key, 0.0) + now - began
            began = now
        if list(x.items()) != items:
            answer.faults.append(
                TrainerFault(None, "a model changes the features that it is given")
            )

    def _tell(self, answer: TrainerReply, kind: str, ticket: int, key: int, *what: Any) -> None:
        try:
            answer.results[ticket] = self._result(kind, self.slots[key], *what)
        except Exception as error:  # as above
            answer.faults.append(TrainerFault(key, f"{type(error).__name__}: {error}"))
            answer.results[ticket] = None

    def _result(self, kind: str, slot: ModelSlot, *what: Any) -> Any:
        if kind == "pack":
            return self._pack(slot, *what)
        if kind == "state":
            slot.changed = False
            return pickled(slot)
        return slot.of_model(*what)
