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
from aiokafka import TopicPartition

from models.spec.personal_data import Masking
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Incompatible, Unavailable
from streams.config.settings import Settings
from streams.kafka.record_decoder import decoded
from streams.kafka.topic_reader import Bounds, TopicReader
from streams.recordings.arrow_columns import (
    Rows,
    Types,
    aliases_of,
    arrow,
    schema,
    types_in,
    types_of,
)

ROWS_MAX = 100_000
SAMPLE = 1_000
"""Records of each partition that the types of features are seen from."""
NAME = re.compile(r"(\d{20})-(\d{20})\.parquet$")
LOCK = ".riverrun-capture.lock"


class OffsetRange(NamedTuple):
    """Offsets of a partition that a file holds: from `first` up to `next`, that not included."""

    first: int
    next: int

    @property
    def name(self) -> str:
        """Return the file's name; the order of names is the order of offsets.

        >>> OffsetRange(0, 12).name
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
            raise ConfigError(
                f"{url} cannot be written to: {error}.", hint="Name a folder or an fsspec URL."
            ) from error
        self.local = "file" in self.fs.protocol

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other captures of this machine out of the folder within the block."""
        if not self.local:
            yield
            return
        os.makedirs(self.root, exist_ok=True)  # noqa: PTH103 - fsspec has it as text
        with open(f"{self.root}/{LOCK}", "w") as lock:  # noqa: PTH123
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(
                    f"Another capture writes to {self.root}. Stop it, or give another --to."
                ) from None
            yield

    def of(self, topic_partition: TopicPartition) -> str:
        """Return the folder of a partition."""
        return f"{self.root}/{topic_partition.topic}/kafka_partition={topic_partition.partition}"

    def ranges(self, topic_partition: TopicPartition) -> list[OffsetRange]:
        """Return the ranges that exist, in order; raise `Incompatible` if there is a gap."""
        folder = self.of(topic_partition)
        if not self.fs.exists(folder):
            return []
        names = (NAME.search(name) for name in self.fs.ls(folder, detail=False))
        ranges = sorted(OffsetRange(int(name[1]), int(name[2])) for name in names if name)
        for before, after in pairwise(ranges):
            if before.next != after.first:
                raise Incompatible(
                    f"{folder} has {before.name} and then {after.name}: two captures wrote there, "
                    "or a file is gone. Capture into another folder."
                )
        return ranges

    def write(self, topic_partition: TopicPartition, range_: OffsetRange, table: Any) -> str:
        """Put a table there under the name of its range, whole or not at all."""
        folder = self.of(topic_partition)
        path = f"{folder}/{range_.name}"
        sink = io.BytesIO()
        arrow("Parquet").parquet.write_table(table, sink, compression="zstd")
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
        """Return the column types of earlier captures of a topic; None if there are none."""
        for topic_partition in places:
            for range_ in self.ranges(topic_partition)[:1]:
                with self.fs.open(f"{self.of(topic_partition)}/{range_.name}", "rb") as file:
                    return types_in(arrow("Parquet").parquet.read_schema(file))
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
        async with TopicReader([topic], self.settings) as reader:
            if not reader.topic_partitions:
                raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
            bounds = await reader.bounds()
            starts = {
                topic_partition: self._start(topic_partition, bounds)
                for topic_partition in reader.topic_partitions
            }
            if all(starts[topic_partition] >= end for topic_partition, (_, end) in bounds.items()):
                return done
            kinds = self.folder.types(reader.topic_partitions)
            if kinds is None:
                sample = [value async for value in self._sample(reader, bounds)]
                kinds = types_of(self.use_case, kind, sample)
            for topic_partition in reader.topic_partitions:
                await self._partition(reader, topic_partition, starts[topic_partition], kinds, done)
        return done

    def _start(self, topic_partition: TopicPartition, bounds: Bounds) -> int:
        """Return where the next file begins."""
        ranges, (first, end) = self.folder.ranges(topic_partition), bounds[topic_partition]
        if not ranges:
            return first
        next_offset = ranges[-1].next
        if next_offset > end:
            raise Incompatible(
                f"{self.folder.of(topic_partition)} holds offsets up to {next_offset}, the topic "
                f"ends at {end}: it was created again. Capture into another folder."
            )
        if next_offset < first:
            raise Incompatible(
                f"{topic_partition.topic}[{topic_partition.partition}] was deleted up to offset "
                f"{first}, and is captured up to {next_offset}: the offsets between are lost. "
                "Capture into another folder."
            )
        return next_offset

    async def _sample(self, reader: TopicReader, bounds: Bounds) -> AsyncIterator[Any]:
        for topic_partition in reader.topic_partitions:
            first, end = bounds[topic_partition]
            async for record in reader.records(topic_partition, first, min(end, first + SAMPLE)):
                value = _shown(record.value)
                if isinstance(value, dict):
                    yield value

    async def _partition(
        self,
        reader: TopicReader,
        topic_partition: TopicPartition,
        start: int,
        kinds: Types,
        done: Captured,
    ) -> None:
        masked = ",".join(self.masking.fields)
        columns = schema(
            kinds, {"riverrun.topic": topic_partition.topic, "riverrun.masked": masked}
        )
        aliases = aliases_of(self.use_case, done.kind)
        rows, last = Rows(done.kind, kinds, self.masking, aliases), start

        def write() -> None:
            count = len(rows)
            path = self.folder.write(topic_partition, OffsetRange(start, last), rows.table(columns))
            done.files.append(path)
            done.rows += count
            self.on_file(path, count)

        async for record in reader.records(topic_partition, start):
            rows.add(record, _shown(record.value))
            last = record.offset + 1
            if len(rows) >= self.rows_max:
                write()
                start = last
        if len(rows):
            write()


def _shown(value: bytes | None) -> Any:
    """Return a value's JSON; text for a value that is not JSON."""
    if value is None:
        return None
    try:
        return decoded(value)
    except ValueError:
        return value.decode("utf-8", "backslashreplace")
