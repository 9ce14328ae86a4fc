"""Predictions derived again from the log and held against those on their topic, float by float.

What is compared is the record's value, byte for byte; only where the bytes differ are they read, to
name the first field that does. A difference is a difference only where the same versions were to be
had: under another River it says "cannot prove".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import RiverrunError
from streams.deriving import Derivation, Redefine, Starts
from streams.past_definitions import Definitions, Unprovable
from streams.picking import Published, drawn, find
from streams.recovery import Diverged
from streams.settings import Settings
from streams.tapes import Bounds, Tapes

_END = object()


@dataclass(slots=True)
class Difference:
    """The first that was found: where, in what, and both values (None: there is none)."""

    partition: int
    seq: int
    step: int
    event_id: str | None
    field: str
    published: Any
    derived: Any

    def __str__(self) -> str:
        return (
            f"partition {self.partition}, journal entry {self.seq}, step {self.step}, event "
            f"{self.event_id}: {self.field} is {_shown(self.published)} on the topic and "
            f"{_shown(self.derived)} derived again"
        )


@dataclass(slots=True)
class Verified:
    """What a verification found."""

    checked: int = 0
    different: int = 0
    unproven: int = 0
    first: Difference | None = None
    reasons: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    entries: int = 0

    @property
    def proved(self) -> bool:
        """Everything that was asked for was derived again, and was the same."""
        return not self.different and not self.unproven and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self) | {"proved": self.proved}


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies the predictions of one use case under one prefix.

    `on_progress(entries done, entries in all)`.
    """

    settings: Settings
    names: Mapping[str, str]
    starts: Starts | None = None
    redefine: Redefine | None = None
    on_progress: Callable[[int, int], None] = lambda done, total: None
    trusted: Collection[str] = ()  # sources that may be run unsigned

    async def every(self) -> Verified:
        """All predictions."""
        async with Tapes([self.names["predictions"]], self.settings) as tapes:
            run = await _Run.of(self, tapes)
            for place in tapes.places:
                await run.partition(Published(tapes, place), None)
            return run.found

    async def sample(self, count: int, seed: int) -> Verified:
        """So many of them, drawn evenly."""
        async with Tapes([self.names["predictions"]], self.settings) as tapes:
            run = await _Run.of(self, tapes)
            picked = await drawn(tapes, count, random.Random(seed))
            for place, records in picked.items():
                await run.partition(Published(tapes, place, records), records)
            return run.found

    async def one(self, event_id: str) -> Verified:
        """The prediction of that event; raises `RiverrunError` if there is none."""
        async with Tapes([self.names["predictions"]], self.settings) as tapes:
            run = await _Run.of(self, tapes)
            record = await find(tapes, tapes.places, event_id)
            if record is None:
                raise RiverrunError(
                    f"there is no prediction of {event_id!r} on {self.names['predictions']}. "
                    "`riverrun explain` looks in the other topics, too."
                )
            place = TopicPartition(record.topic, record.partition)
            await run.partition(Published(tapes, place, [record]), [record])
            return run.found


class _Run:
    """One verification under way."""

    def __init__(
        self, verifier: Verifier, definitions: Definitions, bounds: Bounds, partitions: int
    ) -> None:
        self.found = Verified()
        self._verifier = verifier
        self._definitions = definitions
        self._bounds = bounds
        self._partitions = partitions
        self._done = 0
        self._stopped = False

    @classmethod
    async def of(cls, verifier: Verifier, tapes: Tapes) -> _Run:
        """Read what all partitions need."""
        names, settings = verifier.names, verifier.settings
        if not tapes.places:
            raise RiverrunError(f"there is no topic {names['predictions']}. See `riverrun topics`.")
        topic = names["definitions"]
        definitions = await Definitions.read(topic, settings, trusted=verifier.trusted)
        return cls(verifier, definitions, await tapes.bounds(), len(tapes.places))

    async def partition(self, published: Published, wanted: Sequence[Any] | None) -> None:
        """Compare one partition; `wanted` are the predictions to look at, None all of them."""
        verifier = self._verifier
        derivation = Derivation(
            verifier.settings,
            verifier.names,
            self._definitions,
            partition=published.place.partition,
            partitions=self._partitions,
            starts=verifier.starts,
            jumps=wanted is not None,  # of all of them, nothing may be jumped over
            redefine=verifier.redefine,
        )
        try:
            last = await derivation.open()
            end = 0 if last is None else last.seq + 1
            if wanted is None:
                await self._fold(derivation, published, [end] if end else [], None, end)
            else:
                places = [_place(record) for record in wanted]
                goals = sorted({seq + 1 for seq, _ in places if seq < end})
                await self._fold(derivation, published, goals, {step for _, step in places}, end)
        finally:
            await derivation.close()

    async def _fold(
        self,
        derivation: Derivation,
        published: Published,
        goals: list[int],
        wanted: Collection[int] | None,
        end: int,
    ) -> None:
        derived: asyncio.Queue[Any] = asyncio.Queue()
        aim = self._done + max(goals, default=0)

        def outputs(made: Sequence[Any]) -> None:
            for output in made:
                if output.kind != "predictions":
                    continue
                if wanted is None or _decoded(output.value)["step"] in wanted:
                    derived.put_nowait((output, derivation.through))

        def entry(seq: int) -> None:
            self.found.entries += 1
            self._verifier.on_progress(self._done + seq + 1, aim)

        derivation.on_entry = entry
        self._stopped = False
        comparing = asyncio.create_task(self._compare(derivation, derived, published, end))
        try:
            for goal in goals:
                await derivation.to(goal, outputs)
        except Diverged as error:
            self._diverged(derivation, error)
        except Unprovable as error:
            self._unproven(derivation, str(error))
        finally:
            derived.put_nowait((_END, derivation.through))
            await comparing
        self._done = aim
        self._note_versions(derivation)

    def _diverged(self, derivation: Derivation, error: Diverged) -> None:
        task = derivation.task
        assert task is not None
        foreign = [self._definitions.differences(name) for name in derivation.through]
        if differences := [line for lines in foreign for line in lines]:
            self._unproven(derivation, f"{error} ({'; '.join(differences)})")
            return
        self._stopped = True
        self.found.different += 1
        self._name(
            Difference(task.partition, task.seq, task.step, None, "journal", str(error), None)
        )

    def _unproven(self, derivation: Derivation, reason: str) -> None:
        self._stopped = True
        self.found.reasons.append(f"partition {derivation.partition}: {reason}")

    def _before_the_log(self, derivation: Derivation) -> None:
        self.found.unproven += 1
        reason = (
            f"partition {derivation.partition}: log and archive reach back to entry "
            f"{derivation.began}; what was said before cannot be derived."
        )
        if reason not in self.found.reasons:
            self.found.reasons.append(reason)

    def _note_versions(self, derivation: Derivation) -> None:
        if derivation.task is None:
            return
        for line in self._definitions.differences(derivation.task.definition):
            if line not in self.found.versions:
                self.found.versions.append(line)

    # Two streams in the order of steps, compared as they come.

    async def _compare(
        self,
        derivation: Derivation,
        derived: asyncio.Queue[Any],
        published: Published,
        end: int,
    ) -> None:
        """Compare until the derived ones end; of the published, those before entry `end`."""
        partition = published.place.partition
        seen = not self._bounds[published.place][0]
        record = await published.next()
        output, through = await derived.get()
        while output is not _END:
            if record is None:
                record = await published.next()  # committed by now
            if record is not None and record.value == output.value:
                self.found.checked += 1
                seen = True
                record, (output, through) = await published.next(), await derived.get()
                continue
            again = _decoded(output.value)
            said = None if record is None else _decoded(record.value)
            if said is not None and said["step"] <= again["step"]:
                seen = True
                record = await published.next()
                if said["seq"] < derivation.began:
                    self._before_the_log(derivation)
                    continue
                if said["step"] < again["step"]:
                    self._differs(said, None, partition, through)
                    continue
                self._differs(said, again, partition, through)
            elif seen:
                self._differs(None, again, partition, through)
            # else the topic's first records are deleted by retention
            output, through = await derived.get()
        while record is not None:
            said = _decoded(record.value)
            if said["seq"] >= end:
                break  # answered since this began
            if self._stopped:
                self.found.unproven += 1
            else:
                self._differs(said, None, partition, through)
            record = await published.next()

    def _differs(
        self,
        said: dict[str, Any] | None,
        again: dict[str, Any] | None,
        p: int,
        through: Sequence[str],
    ) -> None:
        self.found.checked += 1
        known = said or again
        assert known is not None
        name, was, now = next(differing(said, again), ("the bytes", said, again))
        # What was folded on another runtime, here or on the way to here, may well differ.
        foreign = (self._definitions.differences(definition) for definition in through)
        versions = list(dict.fromkeys(line for lines in foreign for line in lines))
        if versions:
            self.found.unproven += 1
            reason = f"predictions differ, but they were made with {'; '.join(versions)}"
            if reason not in self.found.reasons:
                self.found.reasons.append(reason)
            return
        self.found.different += 1
        self._name(Difference(p, known["seq"], known["step"], known["event_id"], name, was, now))

    def _name(self, difference: Difference) -> None:
        self.found.first = self.found.first or difference


def differing(said: Any, again: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two values differ, as (path, published, derived).

    >>> list(differing({"a": {"b": 1.0}}, {"a": {"b": 2.0}}))
    [('a.b', 1.0, 2.0)]
    """
    if isinstance(said, dict) and isinstance(again, dict):
        for name in dict.fromkeys((*said, *again)):
            yield from differing(said.get(name), again.get(name), f"{at}.{name}" if at else name)
    elif said != again or type(said) is not type(again):
        yield at or "the prediction", said, again


def _place(record: Any) -> tuple[int, int]:
    said = _decoded(record.value)
    return said["seq"], said["step"]


def _decoded(value: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(value)
    return found


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
