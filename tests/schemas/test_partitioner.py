"""Keys go where Kafka's own clients put them."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioner import murmur2, partition_of

KEYS = st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode))


@given(KEYS)
def test_murmur2_equals_the_client_s(key: bytes):
    """For any bytes and every length of tail."""
    assert murmur2(key) == reference(key) & 0xFFFFFFFF


@given(KEYS, st.integers(1, 200))
def test_a_key_is_on_the_partition_that_the_client_puts_it_on(key: bytes, partitions: int):
    """The same for any number of partitions."""
    everything = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everything, everything)


def test_known_values_of_kafka_s_own_test_suite():
    """`UtilsTest.testMurmur2` of Apache Kafka, as signed 32-bit numbers."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) - (murmur2(key) >> 31 << 32) for key in known} == known
