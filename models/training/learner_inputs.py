"""The inputs of a learner, and how their records are read.

Its first input is partition 0 of `commands`, then come the partitions of `examples`, of
`window-entries` and `table-rows`, where the use case's features need them.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from models.inputs.decoder import (
    COMMANDS,
    ENTRIES,
    EXAMPLES,
    RECORD_BYTES_MAX,
    ROWS,
    DecodedRecord,
    Record,
    parsed_command,
)
from schemas.errors import Malformed


def learner_inputs(partitions: int, *, features: bool) -> tuple[tuple[str, int], ...]:
    """Return kind and partition of each input of a learner; `features`: that it passes on, too."""
    kinds = ("examples", "window-entries") if features else ("examples",)
    each = [(kind, p) for kind in kinds for p in range(partitions)]
    return (("commands", 0), *each, *([("table-rows", 0)] if features else []))


def decode_input(
    inputs: Sequence[tuple[str, int]], index: int, record: Record, value: bytes
) -> DecodedRecord:
    """Return a command, an example, entries of windows or rows of tables; raise `Malformed`."""
    kind, partition = inputs[index]
    if kind == "commands":
        if len(value) > RECORD_BYTES_MAX:
            raise Malformed(f"the record has {len(value)} bytes")
        return DecodedRecord(index, record, COMMANDS, parsed_command(value))
    if kind == "table-rows":
        return _rows(index, record, value)
    if kind == "window-entries":
        return _entries(index, record, value, partition)
    return _example(index, record, value, partition)


def _rows(index: int, record: Record, value: bytes) -> DecodedRecord:
    """Return changed rows of tables, due at once: each says itself from when on it counts."""
    try:
        body = orjson.loads(value)
        for identity, key, time, row in body["rows"]:
            usable = isinstance(identity, str) and isinstance(key, str)
            usable = usable and (row is None or isinstance(row, dict))
            if not usable or time is None:
                raise ValueError("a row has no table, key or time")
            float(time)
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(
            f"the value is no rows of tables ({type(error).__name__}: {error}). Let only workers "
            "write to this topic."
        ) from None
    return DecodedRecord(index, record, ROWS, body)


def _entries(index: int, record: Record, value: bytes, partition: int) -> DecodedRecord:
    """Return what a record adds to shared windows, due at its partition's time."""
    try:
        body = orjson.loads(value)
        time = float(body["clock_s"])
        usable = isinstance(body["entries"], list) and body["partition"] == partition
        body["time_s"] + 0.0, body["definition"]
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(
            f"the value is no entry of windows ({type(error).__name__}: {error}). Let only workers "
            "write to this topic."
        ) from None
    if not usable:
        raise Malformed("the value is no entry of this partition. Let only workers write here.")
    return DecodedRecord(index, record, ENTRIES, body, time, time)


def _example(index: int, record: Record, value: bytes, partition: int) -> DecodedRecord:
    """Return an example, due at its partition's time; one that is not to be learnt, at once."""
    try:
        body = orjson.loads(value)
        if body.get("training") is None:
            return DecodedRecord(index, record, EXAMPLES, body)
        time = float(body["training"]["clock_s"])
        usable = isinstance(body["features"], dict) and body["partition"] == partition
        body["label"], body["baseline"], body["weight"], body["outcome_time"]
        body["training"]["errors"]["baseline"], body["training"]["learner"]
        body["training"]["definition"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed(
            f"the value is no example ({type(error).__name__}: {error}). Let only workers write to "
            "this topic."
        ) from None
    if not usable:
        raise Malformed("the value is no example of this partition. Let only workers write here.")
    return DecodedRecord(index, record, EXAMPLES, body, time, time)
