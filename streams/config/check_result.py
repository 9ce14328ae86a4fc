"""What a check of `riverrun doctor` says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One fact that was checked. If not `ok`, `remedy` says what a person does about it.

    `essential`: riverrun does not work until it is mended; else it works, with the drawback named
    in `cause`. Holds no secret.
    """

    check: str
    ok: bool
    cause: str
    remedy: str = ""
    essential: bool = True


def good(check: str, cause: str) -> Finding:
    """A check that found nothing wrong."""
    return Finding(check, True, cause)


def bad(check: str, cause: str, remedy: str) -> Finding:
    """A check that found what keeps riverrun from working."""
    return Finding(check, False, cause, remedy)


def doubtful(check: str, cause: str, remedy: str) -> Finding:
    """A check that found a drawback."""
    return Finding(check, False, cause, remedy, essential=False)
