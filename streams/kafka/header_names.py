"""Record headers whose names are no text: aiokafka decodes names strictly, and would never get past
such a record, nor would any worker or reader.

Brokers do not look at names, so any producer can write one. Fetched batches are read as ever; only
one that fails so is read again by aiokafka's reader in Python, with the bytes that are no text
written out (`\\xff`).
"""

# aiokafka ships no types, so its classes are Any to mypy.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record import default_records
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">i")
_LENGTH_AT, _OVERHEAD = 8, 12
_Reader: Any = default_records._DefaultRecordBatchPy


def tolerate() -> None:
    """Have every consumer that is made from now on read such records. May be called again."""
    fetcher.MemoryRecords = _Records


class _Records:
    """One fetch of a partition (aiokafka's MemoryRecords)."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._records: Any = MemoryRecords(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        size: int = self._records.size_in_bytes()
        return size

    def has_next(self) -> bool:
        more: bool = self._records.has_next()
        return more

    def next_batch(self) -> _Batch:
        start = self._at
        self._at += _OVERHEAD + _LENGTH.unpack_from(self._data, start + _LENGTH_AT)[0]
        return _Batch(self._records.next_batch(), self._data[start : self._at])


class _Batch:
    """One batch, read as a whole."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(list(_Tolerant(self._data)))


class _Tolerant(_Reader):
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Buffer(bytearray):
    def __getitem__(self, index: Any) -> Any:
        data = super().__getitem__(index)
        return _Name(data) if isinstance(index, slice) else data


class _Name(bytearray):
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self).decode("utf-8", "backslashreplace")
