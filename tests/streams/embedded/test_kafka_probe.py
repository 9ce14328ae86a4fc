"""What a broker answers to the question which brokers live."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from streams.embedded.kafka_probe import METADATA_REQUEST, brokers_in, is_answered, metadata_request


@given(st.binary(max_size=200))
def test_any_bytes_for_a_metadata_answer_are_survived(answer: bytes) -> None:
    """Whatever listens on the port, asking it which brokers live raises nothing."""
    assert isinstance(brokers_in(answer), set)


def test_the_answer_is_found_after_those_to_the_password() -> None:
    """Three answers come as they like, whole or in pieces; only the last one names brokers."""

    def frame(correlation: int, body: bytes) -> bytes:
        return struct.pack(">ii", 4 + len(body), correlation) + body

    broker = struct.pack(">ih", 2, 9) + b"127.0.0.1" + struct.pack(">ih", 9_092, -1)
    told = frame(7, struct.pack(">i", 1) + broker)
    answer = frame(17, struct.pack(">hi", 0, 0)) + frame(36, struct.pack(">hhi", 0, -1, 0)) + told
    assert brokers_in(answer) == {2}
    for end in range(len(answer)):
        assert not is_answered(answer[:end])
        assert brokers_in(answer[:end]) == set()
    assert is_answered(answer)
    request = metadata_request("riverrun", "secret")
    assert b"\0riverrun\0secret" in request
    assert request.endswith(METADATA_REQUEST)
