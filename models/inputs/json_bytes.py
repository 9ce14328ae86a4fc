"""Records as JSON, in no more memory than their bytes.

orjson 3.13 gives bytes of their length in a buffer of 4 or 8 KiB, which stays as large as long as
they live: 4 GB for a million waiting predictions, and fresh pages (3 µs) for each record that is
kept until its commit. A copy has its own length, and costs a fifth of a microsecond.
"""

from __future__ import annotations

from typing import Any

import orjson


def encoded(value: Any) -> bytes:
    """`value` as JSON.

    >>> encoded({"a": 1.5})
    b'{"a":1.5}'
    """
    return memoryview(orjson.dumps(value)).tobytes()
