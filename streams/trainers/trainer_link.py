"""The learner's side of one trainer: orders out in frames, answers in, on a socket pair.

Orders are sent in the order they were given. Examples gather while the trainer works, and go at
once while it does not. `apply` never waits here, but where it must know what a trainer has: how
large a model is, when that has doubled, and a model that is asked in place from now on.

Not for several threads. `StateLost` says that the trainer has died, does not answer, or has found
what the learner did not assume: what its slots hold is of no use any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from schemas.errors import Unavailable
from streams.trainers.trainer_process import LENGTH, PROTOCOL, TrainerFault, TrainerReply

FRAME_ORDERS = 64
SILENT_S = 60.0
"""A trainer that owes an answer and moves no byte for so long is ended."""
READ_BYTES = 1 << 18
FIRST_S = 0.005
"""Taken for what an example costs until it was measured."""
NEWEST = 0.3


class StateLost(Unavailable):
    """A state of no use: what other processes did for it is lost, or not what was assumed.

    Nothing of it was committed. It is recovered as after any failure.
    """


class TrainerLink:
    """One trainer, by its socket. `number` counts from 1."""

    def __init__(
        self, number: int, pipe: socket.socket, pid: int, *, silent_s: float = SILENT_S
    ) -> None:
        self.number = number
        self.pid = pid
        self.is_wanted = False  # a snapshot waits for slots
        self.is_live = False  # while the journal is folded nothing is learnt here
        self.cpu_s = 0.0
        self.pending = 0  # examples, times models, that are not learnt yet
        self.seconds: dict[int, float] = {}
        self.learnt: dict[int, int] = {}
        self.faults: list[TrainerFault] = []
        self.error: str | None = None
        self._mean_s = FIRST_S
        self._silent_s = silent_s
        self._moved_at = 0.0
        self._pipe = pipe
        pipe.setblocking(False)
        self._orders: list[tuple[Any, ...]] = []
        self._example: tuple[Any, ...] | None = None
        self._gathered = 0
        self._frames: deque[int] = deque()  # of each that is not answered: its examples
        self._out = bytearray()
        self._in = bytearray()
        self._results: dict[int, Any] = {}
        self._ticket = 0

    # Orders.

    def learn(self, key: int, x: dict[str, Any], y: Any, weight: float | None) -> None:
        """Let a slot learn one example; nobody changes `x` afterwards."""
        example = self._example
        if example is not None and example[2] is x:
            example[1].append(key)
        else:
            if len(self._orders) >= FRAME_ORDERS or not self._is_owing():
                self.flush()
            self._example = example = ("learn", [key], x, y, weight)
            self._orders.append(example)
        self._gathered += 1
        self.pending += 1
        self.learnt[key] = self.learnt.get(key, 0) + 1

    def put(self, key: int, state: bytes) -> None:
        """Hand a slot over."""
        self._order("put", key, state)
        self.flush()

    def drop(self, key: int) -> None:
        """Let the trainer forget a slot."""
        self._order("drop", key)

    def ask(self, kind: str, key: int, *what: Any) -> int:
        """Ask for something of a slot as it is now; return the ticket for `result`."""
        self._ticket += 1
        self._order(kind, self._ticket, key, *what)
        return self._ticket

    def _order(self, *order: Any) -> None:
        self._example = None
        self._orders.append(order)

    def flush(self) -> None:
        """Send what has gathered."""
        if not self._orders:
            return
        data = pickle.dumps(self._orders, PROTOCOL)
        if not self._frames:
            self._moved_at = time.monotonic()
        self._frames.append(self._gathered)
        self._orders, self._example, self._gathered = [], None, 0
        self._out += LENGTH.pack(len(data)) + data
        self._pump()

    # Answers.

    def result(self, ticket: int) -> Any:
        """Return what was asked for; waits for it, and holds the process up meanwhile."""
        self.flush()
        while ticket not in self._results and self._is_owing():
            poller = select.poll()
            poller.register(self._pipe, select.POLLIN | (select.POLLOUT if self._out else 0))
            poller.poll(1_000)
            self._look()
        if self.faults or ticket not in self._results:
            self.check()
        return self._results.pop(ticket)

    def has(self, ticket: int) -> bool:
        """Return whether the answer has come."""
        self.flush()
        self._pump()
        self.check()
        return ticket in self._results

    async def idle(self) -> None:
        """Wait until all that was ordered is done."""
        self.flush()
        loop = asyncio.get_running_loop()
        while self._is_owing():
            moved = loop.create_future()
            loop.add_reader(self._pipe, _settle, moved)
            if self._out:
                loop.add_writer(self._pipe, _settle, moved)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await moved
            finally:
                loop.remove_reader(self._pipe)
                loop.remove_writer(self._pipe)
            self._look()
        self.check()

    def check(self) -> None:
        """Raise `StateLost` if the trainer's slots are of no use."""
        if self.error is not None:
            raise StateLost(self.error)
        if self.faults:
            raise StateLost(f"a model is to be trained in place: {self.faults[0].text}")

    @property
    def busy_s(self) -> float:
        """The time that what is pending takes, about."""
        return self.pending * self._mean_s

    def close(self, *, kill: bool = False) -> None:
        """Let the trainer end; `kill`: whatever it is at."""
        self.error = self.error or "the trainer was let go of"
        if self._pipe.fileno() < 0:
            return
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._pipe.close()

    # The pipe.

    def _is_owing(self) -> bool:
        if self._frames and self.error is None:
            self._pump()
        return bool(self._frames) and self.error is None

    def _look(self) -> None:
        self._pump()
        if self._frames and time.monotonic() - self._moved_at > self._silent_s:
            self._lost(f"does not answer for {self._silent_s:g} s and was ended")

    def _pump(self) -> None:
        """Send and receive what is possible at once."""
        try:
            while self._out and (sent := self._tried(self._pipe.send, self._out)):
                del self._out[:sent]
                self._moved_at = time.monotonic()
            while data := self._tried(self._pipe.recv, READ_BYTES):
                self._in += data
                self._moved_at = time.monotonic()
                if len(data) < READ_BYTES:
                    break
            self._take()
        except OSError as error:
            if self.error is None:
                self._lost(f"has ended ({error})")

    def _tried(self, act: Callable[[Any], Any], on: Any) -> Any:
        try:
            done = act(on)
        except BlockingIOError:
            return None
        if done == b"":
            raise ConnectionResetError("its pipe is closed")
        return done

    def _take(self) -> None:
        begin, data = 0, self._in
        while len(data) - begin >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data, begin)
            start = begin + LENGTH.size
            if len(data) - start < size:
                break
            self._answered(pickle.loads(memoryview(data)[start : start + size].tobytes()))
            begin = start + size
        del data[:begin]

    def _answered(self, answer: TrainerReply) -> None:
        examples = self._frames.popleft()
        self.pending -= examples
        self.cpu_s = answer.cpu_s
        self._results.update(answer.results)
        self.faults += answer.faults
        for key, seconds in answer.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds
        if examples:
            mean_s = sum(answer.seconds.values()) / examples
            self._mean_s += NEWEST * (mean_s - self._mean_s)

    def _lost(self, how: str) -> None:
        self.error = f"trainer {self.number}, process {self.pid}, {how}"
        self.close(kill=True)


def _settle(moved: asyncio.Future[None]) -> None:
    if not moved.done():
        moved.set_result(None)
