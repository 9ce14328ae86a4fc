"""Compares this machine's clock with the brokers', and reports differences and jumps.

No result depends on it, but outputs are dated by it, and brokers refuse records that are dated more
than `message.timestamp.after.max.ms` ahead (an hour by default). The brokers' time is that of a
record that they dated themselves: the definition, which is written at each start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("riverrun.worker")

SKEW_S_MAX = 5.0

MEND = "Synchronise this machine's clock (NTP); `riverrun doctor` compares it, too."

REFUSED = (
    "Kafka refuses the records of this machine, since its clock is further ahead than "
    f"message.timestamp.after.max.ms allows (an hour by default). {MEND} It is tried again, and "
    "goes on once the clock is right."
)


def skewed(skew_s: float | None) -> str | None:
    """Return the warning about a clock so far ahead of the brokers'; None if it is right."""
    if skew_s is None or abs(skew_s) <= SKEW_S_MAX:
        return None
    where = "ahead of" if skew_s > 0 else "behind"
    return f"this machine's clock is {abs(skew_s):,.0f} s {where} the brokers'. {MEND}"


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Notices a clock that is set while a process runs, against the time since the boot."""

    def __init__(
        self, now: Callable[[], float] = time.time, steady: Callable[[], float] = _since_boot
    ) -> None:
        self.warnings: list[str] = []
        self._now, self._steady = now, steady
        self._began = now() - steady()

    def look(self) -> None:
        """See whether it was set since; said once, and once more when it is as it was."""
        jump_s = self._now() - self._steady() - self._began
        before, self.warnings = self.warnings, []
        if abs(jump_s) > SKEW_S_MAX:
            way = "ahead" if jump_s > 0 else "back"
            self.warnings = [f"this machine's clock was set {way} while the worker ran. {MEND}"]
        if self.warnings != before:
            log.warning("%s", "; ".join(self.warnings) or "the clock is as it was")
