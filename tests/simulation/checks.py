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

from models.inputs.decoder import KIND_HEADER
from models.inputs.skipped_records import Skip
from models.task.partition_task import PartitionTask
from schemas.topics import LEARNER
from streams.replay.journal_fold import Entry
from tests.simulation.broker import Record
from tests.simulation.store import restore
from tests.support.one_partition import dump

if TYPE_CHECKING:
    from tests.simulation.world import World

KINDS = (
    "features", "predictions", "examples", "drift", "lifecycle", "dead-letter", "models",
    "window-entries",
)  # fmt: skip
"""What must be the fold's to the last byte. Metrics are also published now and then."""


class Safety:
    """The checks of one run, counted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks = 0

    def check(self) -> None:
        """All of them."""
        for number in self.world.numbers:
            entries = self._entries(number)
            self._check_journal(number, entries)
            if not self.world.failures:
                self._check_fold(number, entries)
            if number != LEARNER:
                self._check_records(number)
        if self.world.shared:
            self._check_versions()

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
        records = self._records(*self.world.journal(number))
        return [Entry.decode(record.value or b"") for record in records]

    # 1.

    def _check_journal(self, number: int, entries: list[Entry]) -> None:
        seqs = [entry.seq for entry in entries]
        self._hold(seqs == list(range(len(seqs))), f"{number}: journal's numbers are {seqs}")
        for index, (kind, tp) in enumerate(self.world.inputs(number)):
            offsets = [record.offset for record in self._records(*tp)]
            at = 0
            for entry in entries:
                for _, first, count, following in (r for r in entry.runs if r[0] == index):
                    run = offsets[at : at + count]
                    fits = bool(run) and run[0] == first and run[-1] + 1 == following
                    self._hold(fits, f"{number}: {kind} {run} was journaled as {first}+{count}")
                    at += count
            if kind != "models":  # versions whose time has not come are in line
                whole = at == len(offsets)
                self._hold(whole, f"{number}: {kind} {offsets[at:]} never journaled")

    # 2 and 3.

    def _check_fold(self, number: int, entries: list[Entry]) -> None:
        world = self.world
        task = _fresh(world, number)
        saved = {seq: state for _, seq, state in world.vault.snapshots.get(number, [])[-2:]}
        self._hold(not saved or max(saved) <= len(entries), f"{number}: snapshot of the future")
        fields: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        inputs = [iter(self._records(*tp)) for _, tp in world.inputs(number)]
        for entry in entries:
            skips = {
                skip.input_offset: skip for skip in (Skip(**one) for one in entry.skipped or ())
            }
            for index, _, count, _ in entry.runs:
                for _ in range(count):
                    record = next(inputs[index])
                    skip = skips.get((index, record.offset))
                    for output in (
                        task.apply(task.read(index, record))
                        if skip is None
                        else task.set_aside(index, record, skip)
                    ):
                        if output.kind in fields:
                            fields[output.kind].append((output.key, output.value, output.headers))
            task.seal()
            if task.seq in saved:
                self._check_snapshot(number, task, saved[task.seq])
        for kind, folded in fields.items():
            unexplained = [
                (r.key, r.value, r.headers)
                for r in self._made_by(number, kind)
                if b'"to_state":"halted"' not in (r.value or b"")  # told, and not journaled
            ]
            same = unexplained == folded
            self._hold(same, "" if same else f"{number}: {_difference(kind, unexplained, folded)}")
        live = world.live_task(number)
        self._hold(
            live is not None and dump(live) == dump(task) and live.counts == task.counts,
            f"{number}: the live state is not the fold's",
        )

    def _made_by(self, number: int, kind: str) -> list[Record]:
        # The learner writes to partition 0, too.
        source = f"/riverrun/parcels/{number}".encode()
        records = self._committed(kind, max(number, 0))
        return [r for r in records if dict(r.headers).get("ce_source") == source]

    def _check_snapshot(self, number: int, task: PartitionTask, state: bytes) -> None:
        again = _fresh(self.world, number)
        restore(again, state)
        same = dump(again) == dump(task)
        self._hold(same, f"{number}: the snapshot at {task.seq} is not the fold's state")

    # 4.

    def _check_versions(self) -> None:
        """By the records alone: versions are numbered without a gap, none has learnt an example
        twice, and no partition took one before its own time.
        """
        world = self.world
        updates = [orjson.loads(r.value or b"") for r in self._committed("models", 0)]
        numbers = [update["number"] for update in updates]
        self._hold(numbers == list(range(len(numbers))), f"versions are numbered {numbers}")
        learnt = sum(
            b'"training":{' in (r.value or b"")
            for n in range(world.partitions)
            for r in self._committed("examples", n)
        )
        newest = max((u["version"]["trained_on"] for u in updates if u["version"]), default=0)
        self._hold(newest <= learnt, f"a version has learnt {newest} of {learnt} examples")
        for number in range(world.partitions):
            self._check_times(number)

    def _check_times(self, number: int) -> None:
        kinds = [kind for kind, _ in self.world.inputs(number)]
        inputs = [iter(self._records(*tp)) for _, tp in self.world.inputs(number)]
        task = _fresh(self.world, number)
        order = [
            (index, task.read(index, next(inputs[index])))
            for entry in self._entries(number)
            for index, _, count, _ in entry.runs
            for _ in range(count)
        ]
        clock = float("-inf")
        for at, (index, taken) in enumerate(order):
            if kinds[index] != "models":
                clock = max(clock, taken.due)
                continue
            # The first records of the other inputs by then, which it may have come before.
            heads = {i: later.due for i, later in reversed(order[at:]) if kinds[i] != "models"}
            reached = max(clock, *heads.values(), float("-inf"))
            self._hold(
                taken.due <= reached, f"{number}: a version taken {taken.due - reached} s early"
            )

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
        predictions = Counter(_event_id(r) for r in self._committed("predictions", number))
        used = Counter(_event_id(r) for r in self._committed("examples", number))
        self._hold(
            set(predictions.values()) <= {1}, f"{number}: predictions twice: {_twice(predictions)}"
        )
        self._hold(set(used.values()) <= {1}, f"{number}: examples twice: {_twice(used)}")
        self._hold(
            predictions.keys() == asked,
            f"{number}: not answered: {sorted(asked ^ predictions.keys())}",
        )
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
    return world.fresh(number)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _event_id(record: Record) -> str:
    return str(orjson.loads(record.value or b"{}")["event_id"])


def _twice(counts: Counter[str]) -> list[str]:
    return [name for name, count in counts.items() if count > 1]


def _difference(kind: str, written: list[Any], folded: list[Any]) -> str:
    for at, (one, other) in enumerate(zip(written, folded, strict=False)):
        if one != other:
            return f"{kind} {at} is {one[:2]}, the fold gives {other[:2]}"
    return f"{kind}: {len(written)} were published, the fold gives {len(folded)}"
