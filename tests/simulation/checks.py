"""What must hold at the end of a run, whatever went wrong in it.

Safety 1. The journal is dense, and its runs are the committed inputs, each record once, in order.
       2. What was published, read committed, is what an uninterrupted fold publishes: every byte
          of every record of every kind, in order (the periodic reports of metrics apart).
       3. The live state is the state of that fold, and so is each kept snapshot at its seq.
       4. By the records alone, not asking the core: every event has exactly one prediction or a
          dead letter, every outcome one example, a dead letter, or no event yet; none has two.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from faust.types import TP

from models.reading import KIND_HEADER
from models.task import PartitionTask
from schemas.topics import INPUTS
from streams.recovery import Entry
from tests.one_partition import dump
from tests.simulation.broker import Record
from tests.simulation.store import restore

if TYPE_CHECKING:
    from tests.simulation.world import World

KINDS = ("features", "predictions", "examples", "drift", "lifecycle", "dead-letter")
"""What must be the fold's to the last byte. Metrics are also published now and then."""


class Safety:
    """The checks of one run, counted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks = 0

    def check(self) -> None:
        """All of them."""
        for number in range(self.world.partitions):
            entries = self._entries(number)
            self._check_journal(number, entries)
            if not self.world.failures:
                self._check_fold(number, entries)
            self._check_records(number)

    def digest(self) -> str:
        """A hash over everything that was committed: the same seed gives the same."""
        whole = hashlib.sha256()
        for tp in sorted(self.world.kafka.logs):
            for record in self._records(tp.topic, tp.partition):
                whole.update(b"%d %r %r" % (record.offset, record.key, record.value))
        return whole.hexdigest()[:16]

    def _hold(self, truth: bool, what: str) -> None:
        self.checks += 1
        if not truth:
            self.world.fail(what)

    def _committed(self, kind: str, number: int) -> list[Record]:
        return self._records(self.world.topics[kind], number)

    def _records(self, topic: str, number: int) -> list[Record]:
        log = self.world.kafka.log(TP(topic, number))
        return log.committed(0, len(log.entries))

    def _entries(self, number: int) -> list[Entry]:
        return [Entry.decode(record.value or b"") for record in self._committed("journal", number)]

    # 1.

    def _check_journal(self, number: int, entries: list[Entry]) -> None:
        seqs = [entry.seq for entry in entries]
        self._hold(seqs == list(range(len(seqs))), f"{number}: journal's numbers are {seqs}")
        for index, kind in enumerate(INPUTS):
            offsets = [record.offset for record in self._committed(kind, number)]
            at = 0
            for entry in entries:
                for _, first, count, following in (r for r in entry.runs if r[0] == index):
                    run = offsets[at : at + count]
                    fits = bool(run) and run[0] == first and run[-1] + 1 == following
                    self._hold(fits, f"{number}: {kind} {run} was journaled as {first}+{count}")
                    at += count
            self._hold(at == len(offsets), f"{number}: {kind} {offsets[at:]} never journaled")

    # 2 and 3.

    def _check_fold(self, number: int, entries: list[Entry]) -> None:
        world = self.world
        task = _fresh(world, number)
        saved = {seq: state for _, seq, state in world.vault.kept.get(number, [])[-2:]}
        self._hold(not saved or max(saved) <= len(entries), f"{number}: snapshot of the future")
        given: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        inputs = [iter(self._committed(kind, number)) for kind in INPUTS]
        for entry in entries:
            for index, _, count, _ in entry.runs:
                for _ in range(count):
                    for output in task.apply(task.read(index, next(inputs[index]))):
                        if output.kind in given:
                            given[output.kind].append((output.key, output.value, output.headers))
            task.seal()
            if task.seq in saved:
                self._check_snapshot(number, task, saved[task.seq])
        for kind, folded in given.items():
            found = [(r.key, r.value, r.headers) for r in self._committed(kind, number)]
            same = found == folded
            self._hold(same, "" if same else f"{number}: {_difference(kind, found, folded)}")
        live = world.live_task(number)
        self._hold(
            live is not None and dump(live) == dump(task) and live.counts == task.counts,
            f"{number}: the live state is not the fold's",
        )

    def _check_snapshot(self, number: int, task: PartitionTask, state: bytes) -> None:
        again = _fresh(self.world, number)
        restore(again, state)
        same = dump(again) == dump(task)
        self._hold(same, f"{number}: the snapshot at {task.seq} is not the fold's state")

    # 4.

    def _check_records(self, number: int) -> None:
        letters = {
            tuple(dict(r.headers)[f"__connect.errors.{name}"] for name in ("topic", "offset"))
            for r in self._committed("dead-letter", number)
        }
        self._hold(
            len(letters) == len(self._committed("dead-letter", number)),
            f"{number}: a record has two dead letters",
        )

        def dead(record: Record) -> bool:
            return (record.topic.encode(), b"%d" % record.offset) in letters

        asked, silent = set(), set()
        for record in self._usable("events", number, dead):
            asked.add(_event_id(record))
        told: dict[str, bool] = {}
        for record in self._usable("outcomes", number, dead):
            told[_event_id(record)] = True
        for record in self._usable("history", number, dead):
            event = dict(record.headers)[KIND_HEADER] == b"event"
            if event:
                silent.add(_event_id(record))
            else:
                told.setdefault(_event_id(record), True)
        said = Counter(_event_id(r) for r in self._committed("predictions", number))
        used = Counter(_event_id(r) for r in self._committed("examples", number))
        self._hold(set(said.values()) <= {1}, f"{number}: predictions twice: {_twice(said)}")
        self._hold(set(used.values()) <= {1}, f"{number}: examples twice: {_twice(used)}")
        self._hold(said.keys() == asked, f"{number}: not answered: {sorted(asked ^ said.keys())}")
        due = told.keys() & (asked | silent)
        missing = sorted((due ^ used.keys()) - self._parked(number))
        self._hold(not missing, f"{number}: outcomes without example, or the reverse: {missing}")

    def _parked(self, number: int) -> set[str]:
        # Too far ahead of all others, it is set aside until others agree; and beyond the memory of
        # ids, it waits as if it had come before its event.
        live = self.world.live_task(number)
        if live is None:
            return set()
        aside = {held.body.event_id for held in live.watermark.aside}
        return aside | (live.ledger.early.keys() & self._late(number))

    def _late(self, number: int) -> set[str]:
        # Outcomes beyond the horizon, by the times that were sent.
        began: dict[str, float] = {}
        late = set()
        for kind in ("events", "history", "outcomes", "history"):
            for record in self._committed(kind, number):
                try:
                    body = orjson.loads(record.value or b"")
                except orjson.JSONDecodeError:
                    continue
                if "event_time" in body:
                    began[body["event_id"]] = _seconds(body["event_time"])
                elif body["event_id"] in began:
                    delay = _seconds(body["outcome_time"]) - began[body["event_id"]]
                    if delay > self.world.case.horizon:
                        late.add(body["event_id"])
        return late

    def _usable(self, kind: str, number: int, dead: Any) -> list[Record]:
        records = self._committed(kind, number)
        return [record for record in records if record.value is not None and not dead(record)]


def _fresh(world: World, number: int) -> Any:
    return world.plants.task(
        world.case, partition=number, partitions=world.partitions, definition="d1"
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _event_id(record: Record) -> str:
    return str(orjson.loads(record.value or b"{}")["event_id"])


def _twice(counts: Counter[str]) -> list[str]:
    return [name for name, count in counts.items() if count > 1]


def _difference(kind: str, found: list[Any], folded: list[Any]) -> str:
    for at, (one, other) in enumerate(zip(found, folded, strict=False)):
        if one != other:
            return f"{kind} {at} is {one[:2]}, the fold gives {other[:2]}"
    return f"{kind}: {len(found)} were published, the fold gives {len(folded)}"
