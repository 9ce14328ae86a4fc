"""Lengths of time, as seconds, named as people say them."""

from __future__ import annotations

SHORTEST_S, LONGEST_S = 1e-3, 1e10
"""What a use case may declare: a millisecond to 300 years. Rates and numbers of blocks made of such
lengths are finite, and blocks have dates.
"""


def seconds(n: float) -> float:
    """Return `n` seconds."""
    return float(n)


def minutes(n: float) -> float:
    """Return `n` minutes in seconds.

    >>> minutes(30)
    1800.0
    """
    return n * 60.0


def hours(n: float) -> float:
    """Return `n` hours in seconds."""
    return n * 3_600.0


def days(n: float) -> float:
    """Return `n` days of 24 hours in seconds."""
    return n * 86_400.0


def spoken(duration_s: float) -> str:
    """Return a duration in words.

    >>> spoken(5400), spoken(90), spoken(172800)
    ('90 minutes', '90 seconds', '2 days')
    """
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if duration_s % size == 0 and (duration_s >= 2 * size or duration_s == size):
            return f"{duration_s / size:g} {word}"
    return f"{duration_s:g} seconds"


def about(duration_s: float) -> str:
    """Return a measured duration in words, rounded to the largest unit of which it has two.

    >>> about(25_919_999.9), about(7_300.4), about(1.26)
    ('300 days', '2 hours', '1.3 seconds')
    """
    for size in (86_400, 3_600, 60):
        if duration_s >= 2 * size:
            return spoken(size * round(duration_s / size))
    return f"{duration_s:.2g} seconds" if duration_s < 10 else f"{duration_s:.0f} seconds"
