"""What DECISIONS says of worth: its interval holds the mean of everything so far, on every day."""

from __future__ import annotations

from models.stats.confidence_sequence import Comparison
from tests.gallery.claim import Claim, Result, Size, judged
from tests.gallery.stream import Blocks, Stream
from tests.gallery.verdict_claims import ALPHA, UNKNOWABLE, Run, runs_of


def missed(run: Run, blocks: Blocks) -> tuple[bool, bool]:
    """Return whether the interval ever misses the true mean gain, and without a remark."""
    comparison = Comparison(alpha=ALPHA, bound=blocks.bound, counts_warm_up=True)
    wrong, expected, predictions = False, 0.0, 0
    for labelled, gain, missing, true in zip(*run, strict=True):
        expected += true
        predictions += labelled + missing
        comparison.update(labelled, gain, missing, cost=blocks.cost * labelled)
        if comparison.excludes(expected / max(1, predictions)):
            wrong = True
            if comparison.not_promised is None:
                return True, True
    return wrong, False


def measure(stream: Stream[Blocks], size: Size) -> Result:
    """Count runs whose interval misses, and those of them that carry no "not promised"."""
    blocks = stream.sample(size.seed, size.runs, size.length)
    found = [missed(run, blocks) for run in runs_of(blocks)]
    wrong, unmarked = (sum(flags) for flags in zip(*found, strict=True))
    return judged(wrong, wrong - unmarked, size.runs, ALPHA, "the verdict itself says why")


CLAIMS = [
    Claim(
        "worth's interval",
        "The interval of worth holds the true mean gain on every day, in 95 % of use cases, or "
        "the verdict says why that is not promised.",
        Blocks,
        measure,
        exempt=UNKNOWABLE
        | {
            "day effect AR(.95)": "memory of a month is marked in half of these runs, and seen too "
            "late in the others",
        },
    ),
]
