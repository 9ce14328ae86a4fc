"""A consumer group's coordinator: static members, sessions, generations, eager rebalances.

A member that was killed and comes back under its id within its session gets its partitions back
without a rebalance. One that is silent beyond its session is dropped, and the others rebalance;
it learns so from its next heartbeat and goes on as a zombie until then.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

SESSION_S, HEARTBEAT_S, REBALANCE_S = 6.0, 2.0, 20.0


@dataclass
class _Member:
    token: object
    expires_at: float
    joining: asyncio.Future[tuple[int, list[int]]] | None = None
    numbers: tuple[int, ...] = ()


class Group:
    """Who owns which partition numbers, as far as the coordinator knows."""

    def __init__(self, partitions: int, rng: random.Random) -> None:
        self.partitions = partitions
        self.rng = rng
        self.members: dict[str, _Member] = {}
        self.generation = 0
        self.rebalances = 0
        self._due: float | None = None
        self._clock = asyncio.get_running_loop().time

    async def join(self, instance: str, token: object) -> tuple[int, list[int]]:
        """Wait for an assignment: (generation, partition numbers)."""
        now = self._clock()
        member = self.members.get(instance)
        if member is None:
            member = self.members[instance] = _Member(token, now + SESSION_S)
        elif member.token is not token and self._due is None:
            member.token, member.expires_at = token, now + SESSION_S
            return self.generation, list(member.numbers)
        member.token = token
        joining: asyncio.Future[tuple[int, list[int]]]
        joining = member.joining = asyncio.get_running_loop().create_future()
        self._begin()
        self._try()
        return await joining

    def heartbeat(self, instance: str, token: object, generation: int) -> bool:
        """Whether the member is one in that generation, with no rebalance under way."""
        member = self.members.get(instance)
        if member is None or member.token is not token:
            return False
        member.expires_at = self._clock() + SESSION_S
        return self._due is None and generation == self.generation

    def leave(self, instance: str) -> None:
        """A member that goes for good says so."""
        if self.members.pop(instance, None) is not None:
            self._begin()
            self._try()

    def tick(self) -> None:
        """Drop who was silent for a session; end a rebalance that waits too long."""
        now = self._clock()
        silent = [
            name
            for name, member in self.members.items()
            if member.joining is None and member.expires_at < now
        ]
        if self._due is not None and now > self._due:
            silent += [name for name, member in self.members.items() if member.joining is None]
        for name in set(silent):
            del self.members[name]
        if silent:
            self._begin()
        self._try()

    def _begin(self) -> None:
        if self._due is None:
            self._due = self._clock() + REBALANCE_S

    def _try(self) -> None:
        if self._due is None:
            return
        # A joiner whose process has died meanwhile waits no more.
        for name in [n for n, m in self.members.items() if m.joining and m.joining.cancelled()]:
            del self.members[name]
        if not self.members:
            self._due = None
        elif all(member.joining is not None for member in self.members.values()):
            self._assign()

    def _assign(self) -> None:
        self._due = None
        self.generation += 1
        self.rebalances += 1
        names = sorted(self.members)
        first = self.rng.randrange(len(names))
        for at, name in enumerate(names):
            member = self.members[name]
            numbers = [n for n in range(self.partitions) if (n + first) % len(names) == at]
            member.numbers = tuple(numbers)
            member.expires_at = self._clock() + SESSION_S
            joining, member.joining = member.joining, None
            assert joining is not None
            joining.set_result((self.generation, numbers))
