"""Windows over all partitions, counted once for all partitions of a process.

Partitions count the same batches in the same order, each when it has reached a batch's time. A
token says how a state came about: a digest of the definition and of each batch that was counted
since. Equal tokens, equal states. So a process keeps one chain of batches, on which each partition
has a position, and few states (`Fold`) at positions of it. A partition that takes a batch moves one
on, and nothing is counted; before it reads, it takes the state at its position (`settle`), which
is brought up to there by whoever comes first.

Reads come nearly in the order of positions, so the foremost state is brought forward; the rear one
stays where the last partition is, so that every position can be reached. Where all partitions have
come to the foremost state it is let go of, and the next one to go on copies the state: so a batch
is counted once while partitions meet, and two or three times where they do not, a few batches at a
time. A partition that is set back, was restored elsewhere, or is far behind has states of its own
until it has caught up.

Memory: `CHAIN_MAX` batches of `ROWS_MAX` rows in all; `FOLDS_MAX` states, and those of partitions
that are far behind.
"""

from __future__ import annotations

import pickle
from bisect import insort
from collections import deque
from collections.abc import Collection, Sequence
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakSet

from models.features.window_declarations import WindowState
from models.training.window_batches import Row, count
from models.windows.sliding import SlidingWindow

CHAIN_MAX, ROWS_MAX = 1_024, 50_000
FOLDS_MAX = 3
ROWS_MIN, ALONG_ROWS = 1_000, 25_000
"""Rows of the chain before partitions that meet leave one state only, and before the rear state is
brought along."""
CATCH_UP = 2
"""Batches that it counts then with each one that is taken."""
COPY_ROWS_CELL, COPY_ROWS_ENTRY, COPY_ROWS_BYTE = 1.5, 0.3, 0.05
"""Rows that are counted in three times as long as a cell of a sliding window takes to be copied, an
entry of it, a byte of others (measured)."""

States = dict[str, WindowState]


class WindowBatch(NamedTuple):
    """Rows that one record of `models` adds to the windows `names`; its number and offset there."""

    number: int
    offset: int
    rows: Sequence[Row]
    names: tuple[str, ...]


class Fold:
    """States, and their position on the chain; None: they are off it, and `holders` have them."""

    __slots__ = ("holders", "position", "states")

    def __init__(self, states: States, position: int | None = None) -> None:
        self.states = states
        self.position = position
        self.holders: WeakSet[SharedWindows] = WeakSet()


class WindowPool:
    """The chain of one process. All partitions that use it run in one thread."""

    def __init__(self) -> None:
        self._members: WeakSet[SharedWindows] = WeakSet()
        self._base = 0
        # Token → position, in their order; the batch from each position to the next one.
        self._at: dict[bytes, int] = {}
        self._batches: deque[WindowBatch] = deque()
        self._folds: list[Fold] = []  # by position; the first one is the rear
        self._rows = 0  # of all batches of the chain
        self._copy_rows: float = ROWS_MIN  # as `copied` says, of the newest copy
        self._alone = 0  # batches that were counted off the chain since it has grown

    def take(self, windows: SharedWindows, token: bytes, batch: WindowBatch) -> None:
        """Let a partition take the batch that leads to `token`."""
        if windows.position is None and not self._joined(windows, windows.token):
            self._count_alone(windows, batch)
            self._joined(windows, token)  # it has the states of there now
            return
        assert windows.position is not None
        if windows.position == self._end:
            self._append(token, batch)
        elif self._at.get(token) != windows.position + 1:
            self._count_alone(windows, batch)
            return
        windows.position += 1
        if len(self._batches) > CHAIN_MAX or self._rows > ROWS_MAX:
            self._trim(self._end - len(self._batches) // 2)

    @property
    def _end(self) -> int:
        return self._base + len(self._batches)

    def _joined(self, windows: SharedWindows, token: bytes) -> bool:
        """Let a partition that is at `token` come to the chain; one that had to leave it, once it
        has caught up.
        """
        if not self._members:
            self._begin(windows, token)
            return True
        at = self._at.get(token)
        if at is None or at < _position(self._folds[-1 if windows.left else 0]):
            return False
        windows.left = False
        windows.have(self._folds[-1], at)
        self._members.add(windows)
        return True

    def _begin(self, windows: SharedWindows, token: bytes) -> None:
        """Begin a chain at what one partition has."""
        windows.part()
        self._base, self._rows, self._alone = self._end + 1, 0, 0
        self._at, self._batches = {token: self._base}, deque()
        fold = Fold(windows.fold.states, self._base)
        self._folds = [fold]
        windows.have(fold, self._base)
        self._members.add(windows)

    def _append(self, token: bytes, batch: WindowBatch) -> None:
        if self._rows > min(self._copy_rows, ALONG_ROWS):
            self._shorten()
        self._batches.append(batch)
        self._at[token] = self._end
        self._rows += len(batch.rows)
        self._alone = 0

    def _shorten(self) -> None:
        """Let go of the rear state where another one will do and a copy takes less than to count
        again; where partitions do not meet, or states are large, count a little with each batch.
        """
        rearmost, folds = self._rearmost(), self._folds
        while len(folds) > 1 and self._rows > self._copy_rows and _position(folds[1]) <= rearmost:
            del folds[0]
        rear = folds[0]
        at = min(_position(rear) + CATCH_UP, rearmost)
        if self._rows > ALONG_ROWS and at > _position(rear):
            self._bring_rear(rear, at)
        self._cut()

    def _cut(self) -> None:
        """Forget the batches that every state has counted."""
        base = _position(self._folds[0])
        for _ in range(base - self._base):
            del self._at[next(iter(self._at))]
            self._rows -= len(self._batches.popleft().rows)
        self._base = base

    def _count_alone(self, windows: SharedWindows, batch: WindowBatch) -> None:
        windows.part()
        count(windows.fold.states, batch.rows, batch.names)
        self._alone += 1
        if self._alone > CHAIN_MAX:  # who is on the chain stands still, or is gone
            self._trim(self._end + 1)
            self._alone = 0

    def settle(self, windows: SharedWindows) -> None:
        """Let a partition have the states at its position."""
        at = windows.position
        assert at is not None
        fold = next((fold for fold in self._folds if fold.position == at), None)
        if fold is None:
            fold = self._fold_below(windows, at)
            if fold is None:
                self.leave(windows)
                windows.left = True
                return
            self._bring(fold, at)
        windows.have(fold, at)

    def _fold_below(self, windows: SharedWindows, at: int) -> Fold | None:
        """Return states before `at` that may be changed; None where there would be too many."""
        while len(self._folds) > 2 and _position(self._folds[1]) <= self._rearmost():
            del self._folds[0]
        *_, fold = (fold for fold in self._folds if _position(fold) < at)
        if fold is not self._folds[0] or self._rearmost(windows) >= at:
            return fold
        if len(self._folds) >= FOLDS_MAX:
            return None
        states, rows = copied(fold.states)
        self._copy_rows = max(ROWS_MIN, rows)
        copy = Fold(states, fold.position)
        self._folds.insert(1, copy)
        return copy

    def _rearmost(self, but: SharedWindows | None = None) -> int:
        """Return the least position of all partitions on the chain, but one."""
        others = (m.position for m in self._members if m is not but and m.position is not None)
        return min(others, default=self._end)

    def _bring(self, fold: Fold, at: int) -> None:
        """Count what lies between a fold and a position after it."""
        begin = _position(fold) - self._base
        for batch in islice(self._batches, begin, at - self._base):
            count(fold.states, batch.rows, batch.names)
        self._folds.remove(fold)
        fold.position = at
        insort(self._folds, fold, key=_position)

    def leave(self, windows: SharedWindows) -> None:
        """Give a partition states of its own, as of its position."""
        assert windows.position is not None
        *_, fold = (fold for fold in self._folds if _position(fold) <= windows.position)
        states, _ = copied(fold.states)
        begin, end = _position(fold) - self._base, windows.position - self._base
        for batch in islice(self._batches, begin, end):
            count(states, batch.rows, batch.names)
        self._members.discard(windows)
        windows.have(Fold(states), None)

    def _trim(self, behind: int) -> None:
        """Shorten the chain; who is before `behind` leaves it, with states that they share."""
        rear = self._folds[0]
        while self._members and (at := self._rearmost()) < behind:
            self._bring_rear(rear, at)
            parked = Fold(copied(rear.states)[0])
            for windows in [m for m in self._members if m.position == at]:
                self._members.discard(windows)
                windows.have(parked, None)
        self._bring_rear(rear, self._rearmost())
        self._cut()

    def _bring_rear(self, rear: Fold, at: int) -> None:
        if at > _position(rear):
            self._bring(rear, at)
        self._folds = [rear, *(fold for fold in self._folds if _position(fold) > at)]


class SharedWindows:
    """One partition's windows over all partitions: `states` has them among its other ones.

    `token` is part of a snapshot. Without a pool the partition counts all by itself.
    """

    def __init__(
        self, states: States, names: Collection[str], definition: str, pool: WindowPool | None
    ) -> None:
        self.token = _digest(b"", definition) if names else b""
        self.position: int | None = None
        # It was so far behind the others that states were made for it alone.
        self.left = False
        self.fold = Fold({name: states[name] for name in names})
        self.fold.holders.add(self)
        self._states = states
        self._pool = pool

    def count(self, batch: WindowBatch) -> None:
        """Count a batch that the partition has taken, at the latest when its windows are read."""
        if not self.fold.states:
            return
        token = _digest(self.token, batch.number, batch.offset, batch.names)
        if self._pool is None:
            count(self._states, batch.rows, batch.names)
        else:
            self._pool.take(self, token, batch)
        self.token = token

    def settle(self) -> None:
        """Let `states` be as of the batches that were taken: before they are read."""
        if self.position != self.fold.position:
            assert self._pool is not None
            self._pool.settle(self)

    def have(self, fold: Fold, position: int | None) -> None:
        """Have the states of `fold` from now on; `position` is the partition's on the chain."""
        self.fold.holders.discard(self)
        fold.holders.add(self)
        self.fold, self.position = fold, position
        self._states.update(fold.states)

    def part(self) -> None:
        """Have the states alone: they are about to be changed, or handed to another task."""
        if self.position is not None:
            assert self._pool is not None
            self._pool.leave(self)
        elif len(self.fold.holders) > 1:
            self.have(Fold(copied(self.fold.states)[0]), None)

    def note(self, change: str, *what: Any) -> None:
        """Let the token tell of a change that is no batch; the states were parted for it."""
        self.token = _digest(self.token, change, *what) if self.fold.states else b""


_position = attrgetter("position")


def copied(states: States) -> tuple[States, float]:
    """Return states that share nothing with these, and how many rows it would take three times as
    long to count.
    """
    sliding = {n: state.copied() for n, state in states.items() if isinstance(state, SlidingWindow)}
    others = {n: state for n, state in states.items() if n not in sliding}
    pickled = pickle.dumps(others, pickle.HIGHEST_PROTOCOL)
    copies: States = {**sliding, **pickle.loads(pickled)}
    entries = [len(cell) for state in sliding.values() for cell in state.cells.values()]
    rows = COPY_ROWS_CELL * len(entries) + COPY_ROWS_ENTRY * sum(entries)
    return {name: copies[name] for name in states}, rows + COPY_ROWS_BYTE * len(pickled)


def _digest(token: bytes, *what: Any) -> bytes:
    return blake2b(token + repr(what).encode(), digest_size=16).digest()
