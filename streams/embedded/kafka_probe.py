"""One question in Kafka's own protocol, asked without a client: which brokers are alive.

A broker's port is open long before it serves; its answer to a Metadata request names it only when
the controller has let it in. Where it asks for a password, that is given first, and all is sent at
once. (Kafka protocol guide: SaslHandshake version 1, SaslAuthenticate 0, Metadata 1.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_METADATA, _HANDSHAKE, _AUTHENTICATE, _NO_TOPICS = 3, 17, 36, 0
_CORRELATION = 7


def _framed(key: int, version: int, body: bytes) -> bytes:
    header = struct.pack(">hhih", key, version, _CORRELATION if key == _METADATA else key, -1)
    return struct.pack(">i", len(header) + len(body)) + header + body


METADATA_REQUEST = _framed(_METADATA, 1, struct.pack(">i", _NO_TOPICS))


def metadata_request(user: str, password: str) -> bytes:
    """Return a Metadata request that follows authentication with the password (SASL PLAIN)."""
    token = f"\0{user}\0{password}".encode()
    return (
        _framed(_HANDSHAKE, 1, struct.pack(">h", 5) + b"PLAIN")
        + _framed(_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        + METADATA_REQUEST
    )


def _frames(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Return correlation id and body of each complete response."""
    at = 0
    while at + 8 <= len(answer):
        size, correlation = struct.unpack_from(">ii", answer, at)
        if size < 4 or at + 4 + size > len(answer):
            return
        yield correlation, answer[at + 8 : at + 4 + size]
        at += 4 + size


def is_answered(answer: bytes) -> bool:
    """Return whether the response to a Metadata request is among the bytes received."""
    return any(correlation == _CORRELATION for correlation, _ in _frames(answer))


def brokers_in(answer: bytes) -> set[int]:
    """Return the node ids in a Metadata response; none if it is cut short or empty.

    >>> brokers_in(b"")
    set()
    """
    try:
        for correlation, body in _frames(answer):
            if correlation == _CORRELATION:
                return _nodes(body)
    except struct.error:
        pass
    return set()


def _nodes(body: bytes) -> set[int]:
    (count,) = struct.unpack_from(">i", body)
    nodes, at = set(), 4
    for _ in range(count):
        node, at = _broker_at(body, at)
        nodes.add(node)
    return nodes


def _broker_at(answer: bytes, at: int) -> tuple[int, int]:
    (node, host_length) = struct.unpack_from(">ih", answer, at)
    at += 6 + host_length + 4  # host, port
    (rack_length,) = struct.unpack_from(">h", answer, at)
    return node, at + 2 + max(0, rack_length)
