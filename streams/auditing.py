"""The rows of the audit trail, read from their topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.errors import Unavailable
from streams.settings import Settings
from streams.tapes import Tapes
from streams.trail import Act, trail

KINDS = ("commands", "lifecycle", "dead-letter", "definitions", "journal", "verdicts")
REDEFINED = b'"redefined":{'
DELIVERED = b'"verb":"deliver"'
PROGRESS_EVERY = 5_000


async def audited(
    settings: Settings,
    names: Mapping[str, str],
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Act]:
    """The whole trail. Reads the journal from end to end, since it says what was redefined."""
    count = 0
    async with Tapes([names[kind] for kind in KINDS], settings) as tapes:
        partitions = len(tapes.of(names["lifecycle"]))
        if not partitions:
            raise Unavailable(f"There is no topic {names['lifecycle']}. See `riverrun topics`.")

        async def rows(
            kind: str, wanted: Callable[[Any], bool] = lambda _: True
        ) -> list[dict[str, Any]]:
            nonlocal count
            found = []
            for place in tapes.of(names[kind]):
                async for record in tapes.records(place):
                    count += 1
                    if count % PROGRESS_EVERY == 0:
                        on_progress(count)
                    if record.value is not None and wanted(record):
                        found.append(_row(record))
            return sorted(found, key=lambda row: str(row["time"]))

        return trail(
            commands=await rows("commands", lambda record: DELIVERED not in record.value),
            lifecycle=await rows("lifecycle"),
            refusals=await rows("dead-letter", lambda record: b'"stage":"command"' in record.value),
            definitions=await rows("definitions"),
            redefined=await rows("journal", lambda record: REDEFINED in record.value),
            verdicts=await rows("verdicts"),
            partitions=partitions,
        )


def _row(record: Any) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat()
    row: dict[str, Any] = orjson.loads(record.value)
    return {"partition": record.partition} | row | {"time": time}
