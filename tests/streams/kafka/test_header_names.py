"""A record whose header's name is no text is read as any other, and so is what comes after it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from streams.kafka.header_names import tolerate


def batch(offset: int, name: bytes, compression: int = 0) -> bytes:
    """Three records; the second one has a header of that name."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 100_000)
    for n in range(3):
        builder.append(n, 1_000 + n, b"k", b"v%d" % n, [("zz", b"1")] if n == 1 else [])
    data = bytearray(builder.build())
    if not compression:
        at = data.index(b"zz")
        data[at : at + 2] = name
    struct.pack_into(">q", data, 0, offset)
    struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
    return bytes(data)


def fetched(data: bytes, at: int) -> list[Any]:
    """As a consumer has it."""
    records: Any = fetcher.MemoryRecords(data)
    fetched_records = fetcher.PartitionRecords(
        TopicPartition("t", 0), records, [], at, None, None, True, fetcher.READ_COMMITTED
    )
    return list(fetched_records)


def test_what_is_no_text_is_written_out_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it the fetch fails, for good."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)  # as aiokafka has it
    data = batch(0, b"ok") + batch(3, b"\xff\xfe") + batch(6, b"ok")
    with pytest.raises(UnicodeDecodeError):
        fetched(data, 0)
    plain = fetched(batch(0, b"ok"), 0)
    tolerate()
    tolerate()
    records = fetched(data, 0)
    assert [record.offset for record in records] == list(range(9))
    assert [record.value for record in records] == [b"v0", b"v1", b"v2"] * 3
    assert records[4].headers == (("\\xff\\xfe", b"1"),)
    assert records[4].timestamp == 1_001
    assert records[:3] == plain
    rest = data[len(batch(0, b"ok")) :]
    assert [record.offset for record in fetched(rest, 4)] == [4, 5, 6, 7, 8]
    assert len(fetched(batch(0, b"ok", compression=1), 0)) == 3
