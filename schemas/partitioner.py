"""Kafka's default partitioner, murmur2, to recognise a producer that partitions otherwise.

Source: `org.apache.kafka.common.utils.Utils.murmur2`. librdkafka's default is CRC32 instead;
its clients need `partitioner=murmur2_random`.
"""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the unsigned 32-bit MurmurHash2 of `data`.

    >>> murmur2(b"21")
    3321034988
    """
    length = len(data)
    h = (_SEED ^ length) & _MASK
    for i in range(0, length - length % 4, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    tail = data[length - length % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner assigns to a key.

    >>> [partition_of(key, 4) for key in (b"EWR", b"JFK", b"LGA")]
    [3, 1, 0]
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions
