"""Claims about prediction intervals: coverage in blocks of 1,000 labels, and in the long run."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from models.stats.adaptive_conformal import IntervalTracker
from tests.gallery.claims.claim import Claim, Result, Size
from tests.gallery.streams.residuals import Residuals
from tests.gallery.streams.stream import Stream

LABELS_A_BLOCK = 1_000


def covered(residual: np.ndarray, segment: np.ndarray | None, late: int = 0) -> np.ndarray:
    """Return for each label whether its prediction's interval held it; 90 % are declared."""
    tracker, within = IntervalTracker(0.9), []
    names = [None] * len(residual) if segment is None else [f"s{k}" for k in segment.tolist()]
    waiting: deque[tuple[float, str | None, int, bool | None]] = deque()
    for label, name in zip(residual.tolist(), names, strict=True):
        bounds = tracker.interval(0.0, name)
        held = None if bounds is None else bounds.lower <= label <= bounds.upper
        if held is not None:
            within.append(held)
        waiting.append((label, name, tracker.labels, held))
        if len(waiting) > late:
            tracker.update(0.0, *waiting.popleft())
    return np.array(within)


def labels_of(stream: Stream[Any], size: Size) -> list[np.ndarray]:
    """Return `covered` of some runs: 1 of 5,000 labels in the short part, 5 of 20,000 in full.

    Late labels take 20,000 to reach the long run in the short part, too.
    """
    short = 20_000 if "late" in stream.truth else 5_000
    sample = stream.sample(size.seed, *((5, 20_000) if size.full else (1, short)))
    segments = [None] * len(sample.residual) if sample.segment is None else list(sample.segment)
    rows = zip(sample.residual, segments, strict=True)
    return [covered(row, segment, sample.late) for row, segment in rows]


def in_the_long_run(stream: Stream[Any], size: Size) -> Result:
    """Measure the share of all labels within."""
    shares = [float(within.mean()) for within in labels_of(stream, size)]
    holds = all(0.88 <= share <= 0.92 for share in shares)
    return Result("pass" if holds else "fail", f"{min(shares):.1%} to {max(shares):.1%}")


def in_blocks(stream: Stream[Any], size: Size) -> Result:
    """Measure the share of blocks of 1,000 labels that are covered as declared."""
    blocks = [
        within[start : start + LABELS_A_BLOCK].mean()
        for within in labels_of(stream, size)
        for start in range(0, len(within) - LABELS_A_BLOCK + 2, LABELS_A_BLOCK)
    ]
    share = float(np.mean([0.85 <= block <= 0.95 for block in blocks]))
    figure = f"{share:.0%} of {len(blocks)} ({min(blocks):.1%} to {max(blocks):.1%})"
    return Result("pass" if share >= 0.9 else "fail", figure)


CLAIMS = [
    Claim(
        "coverage in the long run",
        "88 to 92 % of all labels lie within the interval that stood when they arrived, 90 % "
        "declared.",
        Residuals,
        in_the_long_run,
        about=lambda stream: "late" not in stream.truth,
    ),
    Claim(
        "coverage of late labels",
        "88 to 92 % of the labels that come 1,000 predictions later lie within the interval that "
        "was issued with their prediction.",
        Residuals,
        in_the_long_run,
        about=lambda stream: "late" in stream.truth,
    ),
    Claim(
        "coverage in blocks",
        "In 9 of 10 blocks of 1,000 labels 85 to 95 % lie within, where nothing shifts at once.",
        Residuals,
        in_blocks,
        about=lambda stream: not stream.truth.get("abrupt") and "late" not in stream.truth,
    ),
]
