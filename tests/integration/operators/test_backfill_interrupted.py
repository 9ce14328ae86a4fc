"""A backfill that is interrupted continues at the record where it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from models.inputs.decoder import KIND_HEADER
from schemas.errors import Incompatible
from streams.embedded import Endpoints
from streams.offline.backfill import Backfill
from streams.recordings import Recording
from streams.topics import topic_admin
from tests.support.loop import Loop, Row, parcels

pytestmark = pytest.mark.integration
ROWS = parcels(400)


async def test_a_backfill_that_was_killed_goes_on_where_it_was(
    stack: Endpoints, tmp_path: Path
) -> None:
    """Killed after any record: the next call writes each of the rest once, in order."""
    loop = Loop(stack, tmp_path)
    use_case = loop.loaded.use_case
    partitions = await topic_admin.ensure(use_case, loop.settings)
    work = Backfill(use_case, loop.settings, loop.names, partitions)

    class Dying:
        """Rows that end amid being written: they are read for their order and their name first."""

        def __init__(self, after: int) -> None:
            self.after, self.readings = after, 0

        def __call__(self) -> Iterator[Row]:
            self.readings += 1
            for number, row in enumerate(ROWS):
                if number == self.after and self.readings == 3:
                    raise KeyboardInterrupt
                yield row

    for after in (1, 170, 333):
        with pytest.raises(KeyboardInterrupt):
            await work.run(Recording(use_case, "dying", Dying(after)))
    assert await loop.records("history")
    done = await work.run(Recording(use_case, "whole", lambda: iter(ROWS)))
    assert done.written + done.already == len(ROWS)
    written = await loop.records("history")
    assert len(written) == len(ROWS)
    by_id = {(dict(r.headers)[KIND_HEADER], orjson.loads(r.value)["event_id"]) for r in written}
    assert len(by_id) == len(ROWS)
    times = [r.timestamp for r in written if r.partition == 0]
    assert times == sorted(times)
    changed = [*ROWS[:-1], ("outcome", {**ROWS[-1][1], "hours": 1.0})]
    with pytest.raises(Incompatible, match="has changed"):
        await work.run(Recording(use_case, "changed", lambda: iter(changed)))
