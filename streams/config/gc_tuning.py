"""Tuning of Python's cyclic garbage collector, so that it neither stalls a worker nor slows a
backtest.

A full collection looks at every container: 1 µs each, 2 s for a forest whose pickle has 40 MB, and
nothing else runs meanwhile. Where one took longer than `PAUSE_S`, what survived it is set aside
(`gc.freeze`): later ones look at what is new. What is set aside is still freed by its reference
count; only a cycle that dies later stays, and River's trees and ensembles make none as they drop
their parts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from typing import Any

PAUSE_S = 0.03
FULL = 2
YOUNG_MAX = 10_000
"""The number of new containers after which the young generation is collected. At Python's 700,
fetched records and records to be written are examined while they are in use: 2 to 5 µs of CPU an
event; a backtest of shared models takes half as long again (docs/adr/0143).
"""


class _Watch:
    """Called for each collection by `gc.callbacks`."""

    def __init__(self) -> None:
        self.began = 0.0
        self.longest_s = 0.0

    def __call__(self, phase: str, info: Mapping[str, Any]) -> None:
        if info["generation"] != FULL:
            return
        if phase == "start":
            self.began = time.perf_counter()
            return
        took_s = time.perf_counter() - self.began
        self.longest_s = max(self.longest_s, took_s)
        if took_s > PAUSE_S:
            gc.freeze()


def collect_seldom() -> None:
    """Raise the number of new containers after which the young generation is collected."""
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])


def bound_pauses() -> None:
    """Bound a worker's pauses, too; what is imported by then is never examined again."""
    gc.collect()
    gc.freeze()
    collect_seldom()
    if not any(isinstance(callback, _Watch) for callback in gc.callbacks):
        gc.callbacks.append(_Watch())
