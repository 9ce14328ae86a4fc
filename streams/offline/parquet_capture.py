"""Topics as partitioned Parquet, each committed record in exactly one file.

    <to>/<topic>/kafka_partition=<n>/<first offset>-<next offset>.parquet

A file is its range: it holds every committed record from its first offset up to its next one, and
the next file begins there. What is done is what is there, and nothing else is kept: killed
anywhere, the next run goes on after the last whole file. A file gets its name when it is whole (a
local one is renamed, an object store's appears when its upload ends).

One writer at a time: a local folder is locked; elsewhere that is for whoever starts it. Ranges that
overlap, or a gap that the topic's retention has made, are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import fsspec
import orjson
from aiokafka import TopicPartition

from models.personal import Masking
from models.usecase import UseCase
from schemas.errors import Incompatible, Misdeclared, Unavailable
from streams.columns import Rows, Types, arrow, schema, types_in, types_of
from streams.settings import Settings
from streams.tapes import Bounds, Tapes

ROWS_MAX = 100_000
SAMPLE = 1_000
"""Records of each partition that the types of features are seen from."""
NAME = re.compile(r"(\d{20})-(\d{20})\.parquet$")
LOCK = ".riverrun-capture.lock"


class Range(NamedTuple):
    """Offsets of a partition that a file holds: from `first` up to `next`, that not included."""

    first: int
    next: int

    @property
    def name(self) -> str:
        """The file's name; sorted by name is sorted by offset.

        >>> Range(0, 12).name
        '00000000000000000000-00000000000000000012.parquet'
        """
        return f"{self.first:020d}-{self.next:020d}.parquet"


@dataclass(slots=True)
class Captured:
    """What one run has written of one topic."""

    kind: str
    topic: str
    rows: int = 0
    files: list[str] = field(default_factory=list)


class Folder:
    """Where captured files are: a local path, or any fsspec URL."""

    def __init__(self, url: str) -> None:
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise Misdeclared(f"{url} cannot be written to: {error}.") from error
        self.local = "file" in self.fs.protocol

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While it lasts, no other capture of this machine writes there."""
        if not self.local:
            yield
            return
        os.makedirs(self.root, exist_ok=True)  # noqa: PTH103 - fsspec has it as text
        with open(f"{self.root}/{LOCK}", "w") as lock:  # noqa: PTH123
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"Another capture writes to {self.root}.") from None
            yield

    def of(self, place: TopicPartition) -> str:
        """The folder of a partition."""
        return f"{self.root}/{place.topic}/kafka_partition={place.partition}"

    def ranges(self, place: TopicPartition) -> list[Range]:
        """The ranges that are there, in order; `Incompatible` if they are not one after another."""
        folder = self.of(place)
        if not self.fs.exists(folder):
            return []
        names = (NAME.search(name) for name in self.fs.ls(folder, detail=False))
        found = sorted(Range(int(name[1]), int(name[2])) for name in names if name)
        for before, after in pairwise(found):
            if before.next != after.first:
                raise Incompatible(
                    f"{folder} has {before.name} and then {after.name}: two captures wrote there, "
                    "or a file is gone. Capture into another folder."
                )
        return found

    def write(self, place: TopicPartition, range_: Range, table: Any) -> str:
        """Put a table there under the name of its range, whole or not at all."""
        folder = self.of(place)
        path = f"{folder}/{range_.name}"
        sink = io.BytesIO()
        arrow().parquet.write_table(table, sink, compression="zstd")
        self.fs.makedirs(folder, exist_ok=True)
        if self.local:
            unfinished = f"{folder}/.{range_.name}.unfinished"
            with open(unfinished, "wb") as file:  # noqa: PTH123
                file.write(sink.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)  # noqa: PTH105
        else:
            self.fs.pipe_file(path, sink.getvalue())
        return path

    def types(self, places: Sequence[TopicPartition]) -> Types | None:
        """The column types of what was captured of a topic before; None if nothing was."""
        for place in places:
            for range_ in self.ranges(place)[:1]:
                with self.fs.open(f"{self.of(place)}/{range_.name}", "rb") as file:
                    return types_in(arrow().parquet.read_schema(file))
        return None


@dataclass(frozen=True, slots=True)
class Capture:
    """Captures topics of one use case. `names`: kind → topic. `on_file(path, rows)`."""

    use_case: UseCase
    settings: Settings
    folder: Folder
    masking: Masking
    rows_max: int = ROWS_MAX
    on_file: Callable[[str, int], None] = lambda path, rows: None

    async def run(self, kind: str, topic: str) -> Captured:
        """Write what is new on a topic, up to what is its end now."""
        done = Captured(kind, topic)
        async with Tapes([topic], self.settings) as tapes:
            if not tapes.places:
                raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
            bounds = await tapes.bounds()
            starts = {place: self._start(place, bounds) for place in tapes.places}
            if all(starts[place] >= end for place, (_, end) in bounds.items()):
                return done
            kinds = self.folder.types(tapes.places)
            if kinds is None:
                sample = [value async for value in self._sample(tapes, bounds)]
                kinds = types_of(self.use_case, kind, sample)
            for place in tapes.places:
                await self._partition(tapes, place, starts[place], kinds, done)
        return done

    def _start(self, place: TopicPartition, bounds: Bounds) -> int:
        """Where the next file begins."""
        found, (first, end) = self.folder.ranges(place), bounds[place]
        if not found:
            return first
        at = found[-1].next
        if at > end:
            raise Incompatible(
                f"{self.folder.of(place)} holds offsets up to {at}, but the topic ends at {end}: "
                "it was made anew. Capture into another folder."
            )
        if at < first:
            raise Incompatible(
                f"{place.topic}[{place.partition}] was deleted up to offset {first}, and is "
                f"captured up to {at}: what is between is lost. Capture into another folder."
            )
        return at

    async def _sample(self, tapes: Tapes, bounds: Bounds) -> AsyncIterator[Any]:
        for place in tapes.places:
            first, end = bounds[place]
            async for record in tapes.records(place, first, min(end, first + SAMPLE)):
                value = decoded(record.value)
                if isinstance(value, dict):
                    yield value

    async def _partition(
        self, tapes: Tapes, place: TopicPartition, start: int, kinds: Types, done: Captured
    ) -> None:
        masked = ",".join(self.masking.fields)
        found = schema(kinds, {"riverrun.topic": place.topic, "riverrun.masked": masked})
        rows, last = Rows(done.kind, kinds, self.masking), start

        def write() -> None:
            count = len(rows)
            path = self.folder.write(place, Range(start, last), rows.table(found))
            done.files.append(path)
            done.rows += count
            self.on_file(path, count)

        async for record in tapes.records(place, start):
            rows.add(record, decoded(record.value))
            last = record.offset + 1
            if len(rows) >= self.rows_max:
                write()
                start = last
        if len(rows):
            write()


def decoded(value: bytes | None) -> Any:
    """A value's JSON; what is none, as text."""
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode("utf-8", "backslashreplace")
