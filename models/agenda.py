"""Ids by their time, the oldest first, ties by id: a queue that takes eight bytes an id.

A list of (time, id) takes 130, which for a million predictions is as much as their features. So
only the next few hundred are such a list, the head; what is due later lies on shelves, each with a
span of its own, as bare ids: whoever keeps the time of each id is asked for it when its shelf comes
to the front. Ids that come in the order of their times are compared with nothing but the last one.

    head: (time, id) …  |  shelf: id id id …  |  shelf: id id …        later ──▶
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable

SHELF = 512
Place = tuple[float, str]
END: Place = (float("inf"), "")


class Agenda:
    """`time_of` gives an id's time, None where it is on the agenda no longer; such ids may come up
    all the same, once for each time that they were added. `first` is `END` if there is none.
    """

    __slots__ = ("_gone", "_head", "_last", "_lows", "_shelves", "_time_of", "first", "size")

    def __init__(self, time_of: Callable[[str], float | None]) -> None:
        self._time_of = time_of
        self.first = END
        self.size = 0
        # In order, of which so many have left already; empty only if all is.
        self._head: list[Place] = []
        self._gone = 0
        # The first place of each shelf, and where all ends: the head is before the first of them.
        self._lows: list[Place] = [END]
        self._shelves: list[list[str]] = []
        self._last = END

    def add(self, time: float, event_id: str) -> None:
        """Put an id in its place."""
        place = time, event_id
        self.size += 1
        if place < self._lows[0]:
            head = self._head
            if head and place < head[-1]:
                insort(head, place, self._gone)
            else:
                head.append(place)
            self.first = head[self._gone]
            if len(head) - self._gone > 4 * SHELF:
                self._spill()
        elif place < self._last or len(self._shelves[-1]) >= SHELF:
            self._insert(place)
        else:
            self._last = place
            self._shelves[-1].append(event_id)

    def pop(self) -> Place:
        """The first one, which leaves."""
        place = self.first
        self.size -= 1
        self._gone += 1
        if self._gone >= SHELF or self._gone == len(self._head):
            self._begin(self._head[self._gone :])
        else:
            self.first = self._head[self._gone]
        return place

    def _begin(self, head: list[Place]) -> None:
        """Take another head; if there is none, the next shelf becomes it."""
        self._head, self._gone = head, 0
        if not head:
            self._open()
        self.first = self._head[0] if self._head else END

    def sweep(self) -> None:
        """Let go of the ids that are on the agenda no longer."""
        time_of = self._time_of
        mine = self._head[self._gone :]
        head = sorted({place for place in mine if time_of(place[1]) == place[0]})
        laid = Agenda(time_of)
        rest: list[Place] = []
        for number in range(len(self._shelves)):
            rest += self._places(number)
            if len(rest) >= SHELF:
                laid._lay(len(laid._shelves), 0, rest)
                rest = []
        laid._lay(len(laid._shelves), 0, rest)
        self._lows, self._shelves = laid._lows, laid._shelves
        self.size = len(head) + sum(map(len, self._shelves))
        self._begin(head)

    def _insert(self, place: Place) -> None:
        """Onto a shelf amid the others, or a new one behind them; a full one becomes two."""
        number = bisect_right(self._lows, place) - 1
        shelf = self._shelves[number]
        if place >= self._last:
            self._last = place
            self._lay(number + 1, 0, [place])
            return
        shelf.append(place[1])
        if len(shelf) > 2 * SHELF:
            places = self._places(number)
            self.size -= len(shelf) - len(places)
            self._lay(number, 1, places)

    def _spill(self) -> None:
        """All but the first of a head that has grown go onto shelves."""
        head = self._head
        if not self._shelves:
            self._last = head[-1]
        self._lay(0, 0, head[self._gone + SHELF :])
        del head[self._gone + SHELF :]

    def _open(self) -> None:
        """What the first shelf holds becomes the head, or the second if it holds nothing."""
        while self._shelves and not self._head:
            self._head = self._places(0)
            self.size -= len(self._shelves[0]) - len(self._head)
            self._lay(0, 1, [])

    def _places(self, number: int) -> list[Place]:
        """What is on a shelf, in order; an id that was used again has its place elsewhere."""
        low, end = self._lows[number : number + 2]
        times = ((self._time_of(event_id), event_id) for event_id in self._shelves[number])
        found = {(time, event_id) for time, event_id in times if time is not None}
        return sorted(place for place in found if low <= place < end)

    def _lay(self, number: int, instead_of: int, places: list[Place]) -> None:
        """Put places, in order, onto shelves of their own, in the place of so many."""
        at, starts = slice(number, number + instead_of), range(0, len(places), SHELF)
        self._lows[at] = [places[start] for start in starts]
        self._shelves[at] = [
            [event_id for _, event_id in places[start : start + SHELF]] for start in starts
        ]
