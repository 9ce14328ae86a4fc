"""Headers of a record that a trainer is still making.

The learner puts them into its outputs at once and goes on; whoever reads them first waits for the
trainer. After `TrainerPool.settle`, and so wherever records are written, nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.headers import Headers

Pair = tuple[str, bytes]


class LateHeaders(Sequence[Pair]):
    """The headers `first`, known at once, and after them those that `wait` returns."""

    __slots__ = ("_all", "_first", "_wait")

    def __init__(self, wait: Callable[[], Headers], first: Headers = ()) -> None:
        self._wait = wait
        self._first = first
        self._all: Headers | None = None

    def __radd__(self, first: Headers) -> LateHeaders:
        """Let these headers begin with others, without waiting."""
        self._first = first + self._first
        return self

    def resolve(self) -> Headers:
        """Return the headers; waits for them at first."""
        if self._all is None:
            self._all = self._first + tuple(self._wait())
        return self._all

    def __len__(self) -> int:
        return len(self.resolve())

    def __getitem__(self, at: Any) -> Any:
        return self.resolve()[at]
