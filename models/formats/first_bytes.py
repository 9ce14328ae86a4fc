"""What a value that is not JSON begins like: a producer is told by the format that it writes."""

from __future__ import annotations

from collections.abc import Mapping

from models.formats.wire_format import find_schema_id

UTF8 = "Send it in UTF-8, without a byte order mark."
UNPACKED = "Send it unpacked; the producer's compression.type packs whole batches."
IDS_MAX = 10_000_000
"""Registries count from 1: what is larger begins with other bytes."""
PLAIN = "Send JSON, or adopt the topic as it is by a source."
KINDS: Mapping[bytes, tuple[str, str]] = {
    b"\xef\xbb\xbf": ("a byte order mark", UTF8),
    b"\xff\xfe": ("UTF-16", UTF8),
    b"\xfe\xff": ("UTF-16", UTF8),
    b"\x1f\x8b": ("gzip", UNPACKED),
    b"\x28\xb5\x2f\xfd": ("zstd", UNPACKED),
    b"BZh": ("bzip2", UNPACKED),
    b"\xfd7zXZ": ("xz", UNPACKED),
    b"\x04\x22\x4d\x18": ("lz4", UNPACKED),
    b"\xff\x06\x00\x00sNaPpY": ("snappy", UNPACKED),
    b"PK\x03\x04": ("a zip archive", UNPACKED),
    b"Obj\x01": ("an Avro file", PLAIN),
    b"PAR1": ("a Parquet file", PLAIN),
    b"ARROW1": ("an Arrow file", PLAIN),
    b"\xac\xed\x00\x05": ("a serialised Java object", PLAIN),
    b"\x80\x04": ("a Python pickle", PLAIN),
    b"\x80\x05": ("a Python pickle", PLAIN),
    b"<": ("XML", PLAIN),
    b"---": ("YAML", PLAIN),
}


def described(value: bytes) -> str:
    r"""Return what a value begins like, and what to do; the empty text where it is not known.

    >>> described(b"\x00\x00\x00\x00\x07...")
    ' It begins with the id of a schema, 7. Adopt the topic by a source: Avro(), JsonSchema() …'
    >>> described(b"BZh91")[:24], described(b'{"a"')
    (' It begins as bzip2. Sen', '')
    """
    id = find_schema_id(value)
    if id is not None and 0 < id < IDS_MAX:
        by = "Adopt the topic by a source: Avro(), JsonSchema() …"
        return f" It begins with the id of a schema, {id}. {by}"
    for magic, (kind, mend) in KINDS.items():
        if value.startswith(magic):
            return f" It begins as {kind}. {mend}"
    return ""
