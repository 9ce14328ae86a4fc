"""What is kept of a record takes no more memory than its bytes."""

from __future__ import annotations

import tracemalloc

from models.inputs.json_bytes import encoded


def test_an_encoded_record_takes_no_more_memory_than_its_bytes():
    """orjson's own bytes keep a buffer of 4 KiB: 4 GB for a million waiting predictions."""
    body = {"event_id": "e1", "features": {f"f{i}": i + 0.25 for i in range(10)}}
    tracemalloc.start()
    try:
        bodies = [encoded(body) for _ in range(1_000)]
        each = tracemalloc.get_traced_memory()[0] / len(bodies)
    finally:
        tracemalloc.stop()
    assert each < len(bodies[0]) + 100
