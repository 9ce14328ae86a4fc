"""What DECISIONS says of worth: its interval holds the mean of everything so far, on every day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.stats.confidence_sequence import Comparison
from tests.gallery.claims.claim import Claim, Result, Run, Size, judged
from tests.gallery.claims.verdict_claims import ALPHA, Course, judged_run, mark_of, runs_of
from tests.gallery.streams.stream import Blocks, Stream


def missed(run: Course, blocks: Blocks, truth: Mapping[str, Any]) -> Run:
    """Return whether the interval ever misses the true mean gain, and how that was marked."""
    comparison = Comparison(alpha=ALPHA, bound=blocks.bound, counts_warm_up=True)
    marks: list[tuple[str, bool] | None] = []
    expected, predictions = 0.0, 0
    for labelled, gain, missing, true in zip(*run, strict=True):
        expected += true
        predictions += labelled + missing
        comparison.update(labelled, gain, missing, cost=blocks.cost * labelled)
        if comparison.excludes(expected / max(1, predictions)):
            marks.append(mark_of(comparison, truth))
            if marks[-1] is None:
                break
    return judged_run(marks)


def measure(stream: Stream[Blocks], size: Size) -> Result:
    """Count runs whose interval misses, and those of them that carry no "not promised"."""
    blocks = stream.sample(size.seed, size.runs, size.length)
    return judged([missed(run, blocks, stream.truth) for run in runs_of(blocks)], ALPHA)


CLAIMS = [
    Claim(
        "worth's interval",
        "The interval of worth holds the true mean gain on every day, in 95 % of use cases, or "
        "the verdict says why that is not promised.",
        Blocks,
        measure,
    ),
]
