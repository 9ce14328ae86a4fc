"""The result of a check of `riverrun doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One fact that was checked.

    If not `ok`, `remedy` says what to do. `essential`: riverrun does not work until it is fixed;
    else it works, with the drawback named in `cause`. Holds no secret.
    """

    check: str
    ok: bool
    cause: str
    remedy: str = ""
    essential: bool = True


def good(check: str, cause: str) -> CheckResult:
    """Return a check that detected nothing wrong."""
    return CheckResult(check, True, cause)


def bad(check: str, cause: str, remedy: str) -> CheckResult:
    """Return a check that detected something that keeps riverrun from working."""
    return CheckResult(check, False, cause, remedy)


def doubtful(check: str, cause: str, remedy: str) -> CheckResult:
    """Return a check that detected a drawback."""
    return CheckResult(check, False, cause, remedy, essential=False)
