"""Limits of concurrent requests: for one visitor, and for all who are not signed in.

Signed-in visitors never wait for the others: they have slots of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of a request: a session or a browser by its cookie, else a client's address."""

    name: str
    signed_in: bool = False


class Busy(Exception):
    """A limit is reached. `status`: 429 if it is the visitor's own, 503 if it is everyone's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestSlots:
    """Slots for each visitor, and for all signed-in and all other visitors."""

    def __init__(self, name: str, *, each: int, together: int) -> None:
        self._name = name
        self._each, self._together = each, together
        self._by_visitor: Counter[str] = Counter()
        self._by_side: Counter[bool] = Counter()

    def take(self, visitor: Visitor) -> None:
        """Take a slot; raises `Busy`."""
        if self._by_visitor[visitor.name] >= self._each:
            message = f"You have {self._each} {self._name} open at once, the maximum. Close one."
            raise Busy(429, message)
        if self._by_side[visitor.signed_in] >= self._together:
            message = f"There are {self._together} {self._name} open at once, the maximum."
            advice = "" if visitor.signed_in else " Signed-in visitors have their own limit."
            raise Busy(503, f"{message} Try again soon.{advice}")
        self._by_visitor[visitor.name] += 1
        self._by_side[visitor.signed_in] += 1

    def leave(self, visitor: Visitor) -> None:
        """Return a slot."""
        self._by_side[visitor.signed_in] -= 1
        self._by_visitor[visitor.name] -= 1
        if self._by_visitor[visitor.name] <= 0:
            del self._by_visitor[visitor.name]

    @contextmanager
    def hold(self, visitor: Visitor) -> Iterator[None]:
        """Hold a slot; raises `Busy`."""
        self.take(visitor)
        try:
            yield
        finally:
            self.leave(visitor)
