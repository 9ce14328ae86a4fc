"""A claim of DECISIONS, and how a count of failed runs is judged against its budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from scipy.stats import binom

from tests.gallery.streams.stream import Stream

Status = Literal["pass", "not promised", "fail"]


class Result(NamedTuple):
    """A claim on a stream: the figure that was measured, and why the claim does not hold."""

    status: Status
    figure: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: independent runs of a stream, and blocks (days) of each.

    What counts in something else than blocks has a size of its own for `full` and for the rest.
    """

    runs: int
    length: int
    full: bool
    seed: int = 1


SHORT = Size(runs=60, length=120, full=False)
FULL = Size(runs=200, length=200, full=True)


@dataclass(frozen=True)
class Claim:
    """One sentence of DECISIONS and its measurement.

    It is about the streams whose payload is `payload` and which `about` accepts. No stream is
    exempt: where a claim fails and nothing is promised, riverrun itself has to say so.
    """

    name: str
    sentence: str
    payload: type[Any]
    measure: Callable[[Any, Size], Result]
    about: Callable[[Stream[Any]], bool] = lambda stream: True

    def applies(self, stream: Stream[Any]) -> bool:
        """Return whether the claim is about the stream."""
        return stream.payload is self.payload and self.about(stream)

    def check(self, stream: Stream[Any], size: Size) -> Result:
        """Measure the claim on the stream."""
        return self.measure(stream, size)


def failures_allowed(runs: int, rate: float) -> int:
    """Return the upper 99 % limit of the failures among `runs` runs that each fail at `rate`.

    >>> failures_allowed(1_000, 0.05), failures_allowed(300, 0.05)
    (67, 24)
    """
    return int(binom.ppf(0.99, runs, rate))


class Run(NamedTuple):
    """One run: whether the claim failed, whether it ever did unmarked, and what a mark said.

    `assumed`: the mark is what the verdict assumes, and the stream is known to break it.
    """

    failed: bool
    unmarked: bool
    mark: str | None = None
    assumed: bool = False


UNMARKED_MOST = 0.05
"""The share of runs that may fail unmarked, where more fail than the limit."""


def judged(runs: Sequence[Run], rate: float) -> Result:
    """Return the result of runs that may each fail at `rate`.

    The claim holds if the failures are within the limit. Otherwise it is "not promised" if at least
    95 % of the runs did not fail or were marked; the reason is what riverrun said most often.
    """
    failed = sum(run.failed for run in runs)
    unmarked = sum(run.unmarked for run in runs)
    limit = failures_allowed(len(runs), rate)
    figure = f"{failed} of {len(runs)}"
    if failed <= limit:
        return Result("pass", figure)
    assumed = sum(run.assumed for run in runs if not run.unmarked)
    figure += f", {failed - unmarked - assumed} marked"
    figure += f", {assumed} as assumed" if assumed else ""
    if unmarked <= UNMARKED_MOST * len(runs):
        return Result("not promised", figure, usual_mark([run.mark for run in runs if run.mark]))
    return Result("fail", figure, f"{unmarked} without a mark")


def usual_mark(marks: Sequence[str]) -> str:
    """Return an example of the kind of mark, its figures aside, that is most frequent."""
    kinds = Counter(_FIGURES.sub("", mark) for mark in marks)
    kind, _ = kinds.most_common(1)[0]
    return next(mark for mark in marks if _FIGURES.sub("", mark) == kind)


_FIGURES = re.compile(r"[\d.,]+")
