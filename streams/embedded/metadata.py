"""One question in Kafka's own protocol, asked without a client: which brokers are alive.

A broker's port is open long before it serves; its answer to a Metadata request names it only when
the controller has let it in. (Kafka protocol guide, Metadata API, version 1.)
"""

from __future__ import annotations

import struct

_METADATA, _VERSION, _CORRELATION, _NO_TOPICS = 3, 1, 7, 0
_BODY = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, -1) + struct.pack(">i", _NO_TOPICS)
METADATA_REQUEST = struct.pack(">i", len(_BODY)) + _BODY


def brokers_in(answer: bytes) -> set[int]:
    """The node ids that a Metadata answer names; none for an answer that is cut short or empty.

    >>> brokers_in(b"")
    set()
    """
    try:
        _, correlation, count = struct.unpack_from(">iii", answer)
        if correlation != _CORRELATION:
            return set()
        nodes, at = set(), 12
        for _ in range(count):
            node, at = _broker_at(answer, at)
            nodes.add(node)
        return nodes
    except struct.error:
        return set()


def _broker_at(answer: bytes, at: int) -> tuple[int, int]:
    (node, host_length) = struct.unpack_from(">ih", answer, at)
    at += 6 + host_length + 4  # host, port
    (rack_length,) = struct.unpack_from(">h", answer, at)
    return node, at + 2 + max(0, rack_length)
