"""Lengths of time, as seconds, named as people say them."""

from __future__ import annotations


def seconds(n: float) -> float:
    """`n` seconds."""
    return float(n)


def minutes(n: float) -> float:
    """`n` minutes, in seconds.

    >>> minutes(30)
    1800.0
    """
    return n * 60.0


def hours(n: float) -> float:
    """`n` hours, in seconds."""
    return n * 3_600.0


def days(n: float) -> float:
    """`n` days of 24 hours, in seconds."""
    return n * 86_400.0


def spoken(duration_s: float) -> str:
    """A duration as people say it.

    >>> spoken(5400), spoken(90), spoken(172800)
    ('90 minutes', '90 seconds', '2 days')
    """
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if duration_s % size == 0 and (duration_s >= 2 * size or duration_s == size):
            return f"{duration_s / size:g} {word}"
    return f"{duration_s:g} seconds"
