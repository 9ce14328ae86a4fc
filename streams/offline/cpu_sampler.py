"""CPU of each model, measured by sampling while a use case runs over recorded data.

The system's profiling timer (setitimer, ITIMER_PROF) interrupts the process after each slice of CPU
time that it has used; the stack then says whose slice it was: a slot's model, the explanations, or
riverrun itself. So nothing is measured inside the partition task, which stays a function of its
records, and nothing is slowed down. `n` samples of a share p are off by about sqrt(p·(1-p)/n).
"""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, field
from time import process_time
from types import CodeType, FrameType
from typing import Any, Self

from models.serving.explanations import Explainer
from models.serving.model_slot import ModelSlot
from streams.recordings import Recording

SLICE_S = 0.004
RIVERRUN, EXPLAINING, READING = "riverrun", "explanations", "reading the recording"
OF_SLOT: frozenset[CodeType] = frozenset((ModelSlot.ask.__code__, ModelSlot.learn.__code__))
OF_EXPLAINER: CodeType = Explainer.explain.__code__
OF_READING: CodeType = Recording.__iter__.__code__


@dataclass(slots=True)
class Cpu:
    """CPU seconds by who used them. Main thread only; with → run → left, once."""

    samples: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    _before: Any = None
    _began: float = 0.0

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGPROF, self._sample)
        self._began = process_time()
        signal.setitimer(signal.ITIMER_PROF, SLICE_S, SLICE_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, self._before)
        self.seconds = process_time() - self._began

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self.samples[whose(frame)] += 1

    def shares(self) -> dict[str, float]:
        """Return seconds by model, `explanations` and `riverrun`.

        Without a sample all is `riverrun`'s.

        What it took to read a recording is left out.
        """
        total = sum(self.samples.values())
        if not total:
            return {RIVERRUN: self.seconds}
        return {
            name: self.seconds * n / total
            for name, n in sorted(self.samples.items())
            if name != READING
        }


def whose(frame: FrameType | None) -> str:
    """Return who is at work in this stack: a model by its name, `explanations` or `riverrun`."""
    while frame is not None:
        if frame.f_code in OF_SLOT:
            return str(frame.f_locals["self"].name)
        if frame.f_code is OF_EXPLAINER:
            return EXPLAINING
        if frame.f_code is OF_READING:
            return READING
        frame = frame.f_back
    return RIVERRUN
