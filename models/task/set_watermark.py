"""What the command `set-watermark` does: time goes back, after a wrong clock had moved it forward.

What the wrong time ended stays ended: predictions that expired are answered by `late` outcomes,
ids that were forgotten are unknown, blocks that settled are not settled again. What would be wrong
from now on is put right, so that everything after the command is as if the time had not come:

- records that are held and dated later are refused, since they would move time forward again;
- window values of a later time count as of the time that is set;
- drift, delays, comparisons and closed blocks go on from the time that is set.

A metric window that was closed too early is opened again and counts only what comes from now on.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from models.outputs.output_records import Output
from models.task.state import TaskState
from models.values.durations import spoken
from schemas.errors import Ahead


def set_back(parts: TaskState, time: float, out: list[Output]) -> int:
    """Set a partition back to `time` (seconds UTC); returns how many held records were refused.

    Nothing changes where the watermark is not later than `time`.
    """
    reached = parts.watermark.time
    if reached is None or reached <= time:
        return 0
    later = [
        *parts.watermark.set_back(time),
        *parts.ledger.early_after(time + parts.watermark.max_jump),
    ]
    for taken in later:
        parts.refuse(taken, _later(time, parts.watermark.max_jump), out)
    parts.windows.part()
    for state in parts.featurizer.states.values():
        state.set_back(time)
    parts.windows.note("set back", time)
    parts.maturity.arrivals.set_back(time)
    if parts.watcher.monitor is not None:
        parts.watcher.monitor.set_back(parts.watcher.block_of(time))
    parts.router.set_back(time)
    if parts.shared is not None:
        parts.shared.set_back(time)
    parts.metrics.set_back(time)
    return len(later)


def _later(time: float, max_jump: float) -> Ahead:
    moment = datetime.fromtimestamp(time, UTC).isoformat()
    much = "" if math.isinf(max_jump) else f" by more than {spoken(max_jump)}"
    return Ahead(
        f"an operator set the watermark back to {moment}, and this record's time is later{much} "
        "or was doubted before. If its time is right, send it again."
    )
