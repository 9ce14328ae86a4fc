"""The form of a snapshot: parts as blobs, a header that lists the digest of each, a signature.

The header is signed (HMAC with BLAKE2b), the header vouches for the parts: so everything is signed,
and a part that did not change is carried over by its digest alone. All parts of one header are
of one entry. As a file:

    magic, blobs, signed header, places (JSON: part → offset), both lengths (8 bytes each)

The offsets need no signature: a part that is read there has its digest or is refused. Only
what this repository brings is used to sign and digest (no OpenSSL), since a forked child does it.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NamedTuple

import orjson

from models.task.checkpoint import FORMAT
from schemas.errors import Incompatible

FORM = f"1.{FORMAT}"
"""Of this file, and of the parts."""

HEADER_BYTES_MAX = 32 << 20

MAGIC = b"riverrun snapshot\n"
_LENGTHS = struct.Struct(">QQ")
_SIGNATURE = hashlib.blake2b().digest_size


class UnusableSnapshot(Incompatible):
    """A snapshot that cannot be used, and why; the state is folded from the log."""


class SnapshotPart(NamedTuple):
    """One blob: its digest (hex), and its size in bytes."""

    digest: str
    size: int


class Origin(NamedTuple):
    """Which environment a snapshot is of: the ids are Kafka's own, empty where it gives none."""

    group: str
    cluster: str = ""
    journal: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The content of a snapshot. `ids` names its parts of ids, oldest first: later ones overrule;
    `entry` is the digest of the last journal entry in it.
    """

    form: str
    origin: Origin
    entry: str
    use_case: str
    partition: int
    partitions: int
    definition: str
    python: str
    river: str
    riverrun: str
    seq: int
    step: int
    written_s: float
    parts: Mapping[str, SnapshotPart]
    ids: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts.values())


Blob = Sequence[bytes | memoryview]
"""A part in its pieces; joined, it would be one more copy."""


def digest_of(blob: Blob) -> str:
    """Return the digest of one part."""
    digest = hashlib.blake2b(digest_size=32)
    for piece in blob:
        digest.update(piece)
    return digest.hexdigest()


def sign(header: Header, key: bytes) -> bytes:
    """Return the header as it is kept: its signature, then JSON."""
    parts = {name: list(part) for name, part in header.parts.items()}
    plain = asdict(header) | {"parts": parts, "origin": list(header.origin)}
    text = orjson.dumps(plain)
    return _signature(text, key) + text


def opened(signed: bytes, key: bytes) -> Header:
    """Return the header, if its signature holds; else raise `UnusableSnapshot`."""
    signature, text = signed[:_SIGNATURE], signed[_SIGNATURE:]
    if not hmac.compare_digest(signature, _signature(text, key)):
        raise UnusableSnapshot(
            "its signature does not hold: it was written with another RIVERRUN_SNAPSHOT_KEY, or "
            "it was forged"
        )
    try:
        raw: dict[str, Any] = orjson.loads(text)
        if raw["form"] != FORM:
            raise UnusableSnapshot(f"its form is {raw['form']}, and {FORM} is read here")
        raw["parts"] = {name: SnapshotPart(*part) for name, part in raw["parts"].items()}
        raw["origin"] = Origin(*raw["origin"])
        raw["ids"] = tuple((name, count) for name, count in raw["ids"])
        return Header(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableSnapshot(f"its header cannot be read: {error}") from error


def checked(header: Header, name: str, blob: Blob) -> Blob:
    """Return the part, if it has its digest; else raise `UnusableSnapshot`."""
    if digest_of(blob) != header.parts[name].digest:
        raise UnusableSnapshot(f"its part {name} is damaged")
    return blob


def _signature(text: bytes, key: bytes) -> bytes:
    return hmac.new(key, b"riverrun snapshot\0" + text, hashlib.blake2b).digest()


class Writer:
    """Writes the file form: `begin` a part, `write` to it, `end` it; `finish` at last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = file.write(MAGIC)
        self._start = self._at
        self._digest = hashlib.blake2b(digest_size=32)
        self._places: dict[str, int] = {}

    def begin(self, name: str, *, again: bool = False) -> None:
        """Begin that part: what is written from now on; `again`: in place of what was begun."""
        if again:
            self._at = self._file.seek(self._start)
            self._file.truncate()
        self._start = self._places[name] = self._at
        self._digest = hashlib.blake2b(digest_size=32)

    def write(self, data: Any) -> int:
        """Add to the part."""
        self._digest.update(data)
        size = memoryview(data).nbytes
        self._file.write(data)
        self._at += size
        return size

    def end(self) -> SnapshotPart:
        """Return the part that was written."""
        return SnapshotPart(self._digest.hexdigest(), self._at - self._start)

    def finish(self, signed: bytes) -> None:
        """Close the file with its header."""
        places = orjson.dumps(self._places)
        self._file.write(signed + places + _LENGTHS.pack(len(signed), len(places)))
        self._file.flush()


def signed_in(end: bytes, size: int) -> bytes | int:
    """Return the signed header from the last bytes of a file of that size, or the number of bytes
    that it takes.

    Raise `UnusableSnapshot` if it is not a snapshot.
    """
    if len(end) < _LENGTHS.size:
        raise UnusableSnapshot("it is no snapshot, or cut off")
    signed, places = _LENGTHS.unpack(end[-_LENGTHS.size :])
    due = signed + places + _LENGTHS.size
    if due + len(MAGIC) > size or due > HEADER_BYTES_MAX:
        raise UnusableSnapshot("it is no snapshot, or cut off")
    return end[-due:][:signed] if due <= len(end) else due


class Reader:
    """The file form, read from memory (a map of the file); else raises `UnusableSnapshot`."""

    def __init__(self, data: Any) -> None:
        self._data = memoryview(data)
        end = len(self._data) - _LENGTHS.size
        if bytes(self._data[: len(MAGIC)]) != MAGIC or end < len(MAGIC):
            raise UnusableSnapshot("it is no snapshot, or cut off")
        signed, places = _LENGTHS.unpack(self._data[end:])
        if signed + places > end:
            raise UnusableSnapshot("it is cut off")
        self.signed = bytes(self._data[end - places - signed : end - places])
        try:
            self.places: dict[str, int] = orjson.loads(bytes(self._data[end - places : end]))
        except ValueError as error:
            raise UnusableSnapshot("it is damaged at its end") from error

    def blob(self, header: Header, name: str) -> memoryview:
        """Return one part, unchecked."""
        start = self.places.get(name)
        if start is None or not isinstance(start, int):
            raise UnusableSnapshot(f"its part {name} is missing")
        return self._data[start : start + header.parts[name].size]
