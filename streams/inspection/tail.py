"""Records of a topic as people look at them: decoded, filtered by their fields."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from models.personal import Masking
from schemas.errors import Unavailable
from streams.conditions import Test, filter_of
from streams.settings import Settings
from streams.tapes import Tapes

CAUSE_HEADER = "__connect.errors.exception.message"


def row_of(record: Any) -> dict[str, Any]:
    """A record as plain data; what is not text, or not JSON, is given as base64."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat(),
        "key": _text(record.key),
        "headers": {name: _text(value) for name, value in record.headers},
        "value": _decoded(record.value),
    }


def masked_row(row: dict[str, Any], kind: str, masking: Masking) -> dict[str, Any]:
    """A row of a kind of topic without personal data."""
    if not masking:
        return row
    headers = row["headers"]
    if kind == "dead-letter" and row["value"] is not None and CAUSE_HEADER in headers:
        headers = headers | {CAUSE_HEADER: masking.value(kind, row["value"])["error"]}
    return row | {
        "key": masking.key_of(kind, row["key"]),
        "headers": headers,
        "value": masking.value(kind, row["value"]),
    }


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return b64encode(raw).decode()


def _decoded(raw: bytes | None) -> Any:
    try:
        return None if raw is None else orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _text(raw)


async def tail(
    topic: str,
    settings: Settings,
    tests: Sequence[Test],
    *,
    beginning: bool,
    follow: bool,
    limit: int | None,
    shown: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> AsyncGenerator[dict[str, Any], None]:
    """Rows that pass all tests, at most `limit`; without `follow` up to what is the end now.

    The tests see what `shown` leaves of a row: nobody asks for what is masked by guessing it.
    """
    async with Tapes([topic], settings) as tapes:
        if not tapes.places:
            raise Unavailable(f"There is no topic {topic}. `riverrun topics` names them.")
        bounds = await tapes.bounds()
        starts = {place: start if beginning else end for place, (start, end) in bounds.items()}
        ends = {place.partition: end for place, (_, end) in bounds.items()}
        left, silent = limit, 0
        async for records in tapes.follow(starts):
            for record in records:
                if not follow and record.offset >= ends[record.partition]:
                    continue
                row = shown(row_of(record))
                if all(test(row) for test in tests):
                    yield row
                    left = None if left is None else left - 1
                    if left == 0:
                        return
            silent = 0 if records else silent + 1
            if not follow and (silent >= 2 or not beginning):
                return


__all__ = ["filter_of", "masked_row", "row_of", "tail"]
