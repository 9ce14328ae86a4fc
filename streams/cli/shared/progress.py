"""How far a long command is: a line rewritten on a terminal, a line now and then off it."""

from __future__ import annotations

from time import monotonic

from streams.cli.terminal import talk

TERMINAL_S, PLAIN_S = 0.2, 5.0
"""How often something is said."""


class Progress:
    """Says `what` and how many; `total` 0 if it is not known. Call `done` at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = monotonic()
        self._shown = False

    def __call__(self, count: int, total: int = 0, more: str = "") -> None:
        """`count` is done by now."""
        now = monotonic()
        if now - self._said < (TERMINAL_S if talk.is_terminal else PLAIN_S):
            return
        self._said = now
        of = f" of {total:,} ({count / total:.0%})" if total else ""
        rate = f", {count / max(now - self._began, 1e-9):,.0f}/s"
        text = f"{self._what}: {count:,}{of}{rate}" + (f", {more}" if more else "")
        if talk.is_terminal:
            talk.file.write(f"\r\x1b[2K{text}")
            talk.file.flush()
            self._shown = True
        else:
            talk.print(text, markup=False)

    def done(self) -> None:
        """Leave the line."""
        if self._shown:
            talk.file.write("\r\x1b[2K")
            talk.file.flush()
