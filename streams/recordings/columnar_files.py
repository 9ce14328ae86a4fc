"""Parquet and Arrow, batch by batch, as plain Python values.

What `riverrun capture` wrote is read back as the records that were on the topic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import orjson

from schemas.errors import ConfigError
from streams.recordings.arrow_columns import KAFKA, OTHER, arrow
from streams.recordings.files import StoredFile

BATCH = 4_096
PARQUET, ARROW_FILE, ARROW_STREAM, FEATHER_1 = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"


def format_of(head: bytes) -> str | None:
    """Return the format of columns that the first bytes tell; None for text."""
    for magic, name in (
        (PARQUET, "Parquet"),
        (ARROW_FILE, "Arrow"),
        (ARROW_STREAM, "Arrow stream"),
        (FEATHER_1, "Feather 1"),
    ):
        if head.startswith(magic):
            return name
    return None


class ColumnarFile:
    """One file of columns. `captured` is the topic that it was captured from, if it was."""

    def __init__(self, stored: StoredFile, format: str) -> None:
        self._stored = stored
        self.format = format
        with self._reader() as (schema, _):
            metadata = schema.metadata or {}
            self.names: list[str] = list(schema.names)
        self.captured: str | None = None
        if b"riverrun.types" in metadata:
            self.captured = metadata.get(b"riverrun.topic", b"").decode()
        self.masked = metadata.get(b"riverrun.masked", b"").decode() if self.captured else ""

    @contextmanager
    def _reader(self) -> Iterator[tuple[Any, Iterator[Any]]]:
        """Open the schema and the batches."""
        pa = arrow(self._stored.name)
        with self._stored.open() as file:
            try:
                yield self._opened(pa, file)
            except pa.ArrowException as error:
                raise ConfigError(
                    f"{self._stored.name} is not whole {self.format}: {error}.",
                    hint="Get it again.",
                ) from None

    def _opened(self, pa: Any, file: IO[bytes]) -> tuple[Any, Iterator[Any]]:
        if self.format == "Parquet":
            parquet = pa.parquet.ParquetFile(_seekable(pa, file))
            return parquet.schema_arrow, parquet.iter_batches(BATCH)
        if self.format == "Arrow stream":
            stream = pa.ipc.open_stream(file)
            return stream.schema, iter(stream)
        if self.format == "Arrow":
            opened = pa.ipc.open_file(_seekable(pa, file))
            batches = (opened.get_batch(n) for n in range(opened.num_record_batches))
            return opened.schema, batches
        raise ConfigError(
            f"{self._stored.name} is of Feather's first version.", hint="Write version 2."
        )

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield row numbers, from 1, and what is in each row; nulls are left out."""
        pa, number = arrow(self._stored.name), 0
        with self._reader() as (schema, batches):
            exact = _in_microseconds(pa, schema)
            for batch in batches:
                table = pa.Table.from_batches([batch])
                rows = (table if exact is None else table.cast(exact, safe=False)).to_pylist()
                for row in rows:
                    number += 1
                    yield number, self._as_sent(row)

    def _as_sent(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.captured is None:
            return {name: value for name, value in row.items() if value is not None}
        sent = {n: v for n, v in row.items() if v is not None and n not in KAFKA and n != OTHER}
        return sent | (orjson.loads(row[OTHER]) if row.get(OTHER) else {})


def _seekable(pa: Any, file: IO[bytes]) -> Any:
    """Return a file that can be read from its end; what is packed is unpacked in memory."""
    try:
        file.seek(0)
        return file
    except (OSError, AttributeError, ValueError):
        return pa.BufferReader(file.read())


def _in_microseconds(pa: Any, schema: Any) -> Any:
    """Return the schema with nanoseconds as microseconds, which a record's time has; else None."""
    nanoseconds = [f.name for f in schema if pa.types.is_timestamp(f.type) and f.type.unit == "ns"]
    if not nanoseconds:
        return None
    fields = [
        f.with_type(pa.timestamp("us", tz=f.type.tz)) if f.name in nanoseconds else f
        for f in schema
    ]
    return pa.schema(fields)
