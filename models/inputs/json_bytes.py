"""Records as JSON, in no more memory than their bytes.

orjson 3.13 gives bytes of their length in a buffer of 4 or 8 KiB, which stays as large as long as
they live: 4 GB for a million waiting predictions, and fresh pages (3 µs) for each record that is
kept until its commit. A copy has its own length, and costs a fifth of a microsecond.
"""

from __future__ import annotations

from json import dumps
from typing import Any

import orjson


def encoded(value: Any) -> bytes:
    """Return `value` as JSON; integers beyond 64 bits, which orjson does not write, too.

    >>> encoded({"a": 1.5}), encoded({"id": 2**70})
    (b'{"a":1.5}', b'{"id":1180591620717411303424}')
    """
    try:
        return memoryview(orjson.dumps(value)).tobytes()
    except orjson.JSONEncodeError as error:
        if "Integer" not in str(error):
            raise
    return dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
