"""A claim of DECISIONS, and how a count of failed runs is judged against its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from scipy.stats import binom

from tests.gallery.stream import Stream

Status = Literal["pass", "fail", "not promised"]
DIAGNOSED_LEAST = 0.95
"""Share of failed runs that riverrun itself must mark as "not promised"."""


class Result(NamedTuple):
    """A claim on a stream: the figure that was measured, and why the claim does not hold."""

    status: Status
    figure: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: independent runs of a stream, and blocks (days) of each."""

    runs: int
    length: int
    seed: int = 1


SHORT = Size(runs=60, length=120)
FULL = Size(runs=200, length=200)


@dataclass(frozen=True)
class Claim:
    """One sentence of DECISIONS and its measurement.

    It is about the streams whose payload is `payload` and which `about` accepts. `exempt` names
    streams for which nothing is promised although riverrun cannot know it, with the reason.
    """

    name: str
    sentence: str
    payload: type[Any]
    measure: Callable[[Any, Size], Result]
    about: Callable[[Stream[Any]], bool] = lambda stream: True
    exempt: Mapping[str, str] = field(default_factory=dict)

    def applies(self, stream: Stream[Any]) -> bool:
        """Return whether the claim is about the stream."""
        return stream.payload is self.payload and self.about(stream)

    def check(self, stream: Stream[Any], size: Size) -> Result:
        """Measure the claim on the stream."""
        result = self.measure(stream, size)
        if result.status == "fail" and stream.name in self.exempt:
            return result._replace(status="not promised", reason=self.exempt[stream.name])
        return result


def failures_allowed(runs: int, rate: float) -> int:
    """Return the upper 99 % limit of the failures among `runs` runs that each fail at `rate`.

    >>> failures_allowed(1_000, 0.05), failures_allowed(300, 0.05)
    (67, 24)
    """
    return int(binom.ppf(0.99, runs, rate))


def judged(failed: int, diagnosed: int, runs: int, rate: float, reason: str) -> Result:
    """Return the result of `failed` runs, of which riverrun marked `diagnosed` itself.

    The claim holds if the failures are within the limit. Otherwise it is "not promised" if at
    least `DIAGNOSED_LEAST` of the failed runs were marked, for the given `reason`.
    """
    figure = f"{failed} of {runs}"
    if failed <= failures_allowed(runs, rate):
        return Result("pass", figure)
    if diagnosed >= DIAGNOSED_LEAST * failed:
        return Result("not promised", f"{figure}, {diagnosed} marked", reason)
    return Result("fail", f"{figure}, {diagnosed} marked", "more failures than the budget allows")
