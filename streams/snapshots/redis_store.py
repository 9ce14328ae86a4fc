"""One Redis hash a partition: the signed header, and the parts in pieces.

    riverrun:snapshot:{<group>/<partition>}    head, 0:<part>, 1:<part> …

A delta is written in one MULTI/EXEC under WATCH: compare-and-set on the header the writer knows
of. A whole snapshot may have half a gigabyte, which no request takes in time: it is written beside,
piece by piece, and put in place by the same compare-and-set. The braces make both one slot of a
cluster. Everything here blocks, and runs in threads of its own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import WatchError
from redis.retry import Retry

from streams.snapshots.signed_format import Header, UnusableSnapshot, checked

PIECE = 8 << 20
"""Bytes of one field at most. Redis takes 512 MB, but copying those would hold the worker up."""

BESIDE_S = 600
"""The time that a whole snapshot may take to be written; then a dead writer's keys expire."""

HEAD = b"head"
TIMEOUT_S = 2.0
"""How long one request may take. A recovery that meets a silent Redis waits this long, once."""

CONNECT_S = 1.0


class Outrun(Exception):
    """Another snapshot is stored than the writer knows of; `head` is its header."""

    def __init__(self, head: bytes | None) -> None:
        super().__init__("another snapshot is stored")
        self.head = head


def connect(redis_url: str) -> Any:
    """Return a client that gives up rather than waits: one further try where a connection was cut,
    none where nothing answers (redis-py's own ten would take minutes).
    """
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


class RedisStore:
    """The stored snapshot of one partition."""

    def __init__(self, client: Any, group: str, partition: int) -> None:
        self._client = client
        self.key = f"riverrun:snapshot:{{{group}/{partition}}}"

    def head(self) -> bytes | None:
        """Return the signed header; None if there is none."""
        head: bytes | None = self._client.hget(self.key, HEAD)
        return head

    def part(self, header: Header, name: str) -> Any:
        """Return one part in its pieces; raise `UnusableSnapshot` if the header says otherwise."""
        fields = _fields(name, header.parts[name].size)
        pieces = [self._client.hget(self.key, field) for field in fields]
        if None in pieces:
            raise UnusableSnapshot(f"its part {name} is missing")
        return checked(header, name, pieces)

    def write(
        self,
        signed: bytes,
        header: Header,
        blobs: Mapping[str, memoryview],
        *,
        over: bytes | None,
        base: Header | None,
    ) -> None:
        """Store it over the head `over`, or raise `Outrun` and change nothing.

        `base` is that head's content where parts of it are kept; None: no part is.
        """
        if base is not None:
            self._replace(over, partial(self._change, signed, header, blobs, base))
            return
        beside = f"{self.key}:{uuid.uuid4().hex}"
        try:
            self._fill(beside, signed, blobs)
            self._replace(over, partial(_rename, beside, self.key))
        finally:
            with contextlib.suppress(redis.RedisError, OSError):
                self._client.unlink(beside)

    def _fill(self, key: str, signed: bytes, blobs: Mapping[str, memoryview]) -> None:
        """Write a whole snapshot, whose keys expire if its writer dies before it is in place."""
        self._client.hset(key, HEAD, signed)
        self._client.expire(key, BESIDE_S)
        for name, blob in blobs.items():
            for field, piece in _pieces(name, blob):
                self._client.hset(key, field, piece)

    def _change(
        self,
        signed: bytes,
        header: Header,
        blobs: Mapping[str, memoryview],
        base: Header,
        pipe: Any,
    ) -> None:
        if obsolete := _all_fields(base) - _all_fields(header):
            pipe.hdel(self.key, *obsolete)
        for name, blob in blobs.items():
            for field, piece in _pieces(name, blob):
                pipe.hset(self.key, field, piece)
        pipe.hset(self.key, HEAD, signed)

    def _replace(self, over: bytes | None, change: Callable[[Any], None]) -> None:
        """Make a change at once, if the head is still `over`; else `Outrun`."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self.key)
            head = pipe.hget(self.key, HEAD)
            if head != over:
                raise Outrun(head)
            pipe.multi()
            change(pipe)
            try:
                pipe.execute()
            except WatchError:
                raise Outrun(self.head()) from None


def _rename(beside: str, key: str, pipe: Any) -> None:
    # The old one is let go of in the background: half a gigabyte takes the server a while.
    pipe.unlink(key)
    pipe.rename(beside, key)
    pipe.persist(key)


def _pieces(name: str, blob: memoryview) -> Iterator[tuple[str, memoryview]]:
    for number, field in enumerate(_fields(name, len(blob))):
        yield field, blob[number * PIECE : (number + 1) * PIECE]


def _all_fields(header: Header) -> set[str]:
    return {field for name, part in header.parts.items() for field in _fields(name, part.size)}


def _fields(name: str, size: int) -> list[str]:
    return [f"{number}:{name}" for number in range(max(1, -(-size // PIECE)))]
