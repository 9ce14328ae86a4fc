"""What DECISIONS says of verdicts: false winners, power, and that they are as of now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.stats.confidence_sequence import Comparison
from tests.gallery.claims.claim import Claim, Result, Run, Size, failures_allowed, judged
from tests.gallery.streams.stream import Blocks, Stream

ALPHA = 0.05
FIRST = ALPHA * 6.0 / math.pi**2
"""Share of the default budget that the first challenger has: half of it beside segments."""
EQUAL = 1e-9
DECLARED = (5, 10, 20, 40)
"""Values of `Contest(rare_losses=…)`, the default first."""


class Course(NamedTuple):
    """One run of a stream, block by block: labelled, gain, missing, expected gain."""

    labelled: list[int]
    gain: list[float]
    missing: list[int]
    expected: list[float]


def runs_of(blocks: Blocks) -> Iterator[Course]:
    """Yield each run as plain numbers."""
    for row in zip(blocks.labelled, blocks.gain, blocks.missing, blocks.expected, strict=True):
        yield Course(*(column.tolist() for column in row))


def mark_of(comparison: Comparison, truth: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Return why the comparison promises nothing, and whether that is what it assumes.

    What it assumes counts only where the stream is known to break it: its losses are rarer than
    the comparison says that it could have seen, or its gains hang together over months.
    """
    doubt = comparison.not_promised
    if doubt is not None:
        return doubt, False
    rare = truth.get("loss_once_in", 0) > comparison.rarest_loss
    months = truth.get("months", False) and not comparison.knows_memory
    return (f"assumes {comparison.assumes}", True) if rare or months else None


def judged_run(marks: Sequence[tuple[str, bool] | None]) -> Run:
    """Return a run from the mark of each of its failures, in their order."""
    last = next((mark for mark in reversed(marks) if mark is not None), ("", False))
    unmarked = None in marks
    assumed = any(mark is not None and mark[1] for mark in marks)
    return Run(bool(marks), unmarked, last[0] or None, assumed=assumed)


def false_winner(run: Course, blocks: Blocks, truth: Mapping[str, Any], **options: Any) -> Run:
    """Return whether a challenger that is no better was called better, and how it was marked.

    What is true is the expected gain per prediction since the warm-up.
    """
    comparison = Comparison(alpha=2 * FIRST, bound=blocks.bound, **options)
    marks: list[tuple[str, bool] | None] = []
    expected, predictions = 0.0, 0
    for labelled, gain, missing, true in zip(*run, strict=True):
        if comparison.seen >= comparison.warm_blocks:
            expected += true
            predictions += labelled + missing
        comparison.update(labelled, gain, missing, cost=blocks.cost * labelled)
        if comparison.verdict == "better" and expected <= EQUAL * max(1, predictions):
            marks.append(mark_of(comparison, truth))
            if marks[-1] is None:
                break
    return judged_run(marks)


def false_winners(stream: Stream[Blocks], size: Size) -> list[Run]:
    """Return whether each run had a false winner, and how it was marked."""
    blocks = stream.sample(size.seed, size.runs, size.length)
    return [false_winner(run, blocks, stream.truth) for run in runs_of(blocks)]


def measure_winners(stream: Stream[Blocks], size: Size) -> Result:
    """Count false winners, and those of them that carry no "not promised"."""
    return judged(false_winners(stream, size), ALPHA)


def days_until_better(run: Course, blocks: Blocks, alpha: float) -> float:
    """Return the block at which the challenger is promised to be better; infinite if at none."""
    comparison = Comparison(alpha=alpha, bound=blocks.bound)
    for day, (labelled, gain, missing, _) in enumerate(zip(*run, strict=True), 1):
        comparison.update(labelled, gain, missing, cost=blocks.cost * labelled)
        if comparison.verdict == "better" and comparison.not_promised is None:
            return float(day)
    return math.inf


def measure_power(stream: Stream[Blocks], size: Size) -> Result:
    """Measure the days after which a gain is found by a first challenger beside segments."""
    most = stream.truth["days_most"]
    blocks = stream.sample(size.seed, min(size.runs, 200), 2 * most)
    days = [days_until_better(run, blocks, FIRST) for run in runs_of(blocks)]
    half, most_runs = np.quantile(days, [0.5, 0.9], method="higher")
    figure = f"{half:.0f} days, 9 of 10 runs {most_runs:.0f}"
    return Result("pass" if half <= most else "fail", figure, f"at most {most} promised")


def promised_by_declaration(run: Course, blocks: Blocks) -> set[int]:
    """Return the `Contest(rare_losses=…)` of `DECLARED` under which "better" was ever promised."""
    comparison, promised = Comparison(alpha=2 * FIRST, bound=blocks.bound), set()
    for labelled, gain, missing, _ in zip(*run, strict=True):
        comparison.update(labelled, gain, missing, cost=blocks.cost * labelled)
        if comparison.verdict != "better":
            continue
        for once_in in set(DECLARED) - promised:
            comparison.rare_losses = once_in
            if comparison.not_promised is None:
                promised.add(once_in)
    return promised


def measure_declared(stream: Stream[Blocks], size: Size) -> Result:
    """Count equal models on which a rule would act, by the rare losses that are declared."""
    blocks = stream.sample(size.seed, size.runs, 2 * size.length)
    runs = [promised_by_declaration(run, blocks) for run in runs_of(blocks)]
    acted = {once_in: sum(once_in in run for run in runs) for once_in in DECLARED}
    limit, once_in = failures_allowed(size.runs, ALPHA), stream.truth["loss_once_in"]
    holds = all(count <= limit for declared, count in acted.items() if declared >= once_in)
    figure = ", ".join(f"{declared}: {count}" for declared, count in acted.items())
    return Result("pass" if holds else "fail", f"{figure} of {size.runs}")


CLAIMS = [
    Claim(
        "false winners",
        "A challenger that is no better is called better in at most 5 % of use cases, however "
        "often one looks, or the verdict says why that is not promised.",
        Blocks,
        measure_winners,
        about=lambda stream: "days_most" not in stream.truth,
    ),
    Claim(
        "power",
        "A true gain is found by the first challenger within the days named, in half of the runs.",
        Blocks,
        measure_power,
        about=lambda stream: "days_most" in stream.truth,
    ),
    Claim(
        "declared rare losses",
        "Where a loss that comes once in so many blocks is declared (Contest.rare_losses), a rule "
        "acts on at most 5 % of equal models in 400 blocks. Measured: by what is declared, 5 being "
        "the default.",
        Blocks,
        measure_declared,
        about=lambda stream: "loss_once_in" in stream.truth,
    ),
]
