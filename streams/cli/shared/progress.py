"""Progress of a long command: one line, rewritten on a terminal, repeated elsewhere."""

from __future__ import annotations

from time import monotonic

from schemas.printable import printable
from streams.cli.shared.terminal import talk

TERMINAL_S, PLAIN_S = 0.2, 5.0
"""Seconds between two updates, on a terminal and elsewhere."""


class ProgressLine:
    """A progress line for `activity`; call it with each new count, and `done` at the end."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._began = self._shown_at = monotonic()
        self._shown = False

    def __call__(self, count: int, total: int = 0, more: str = "") -> None:
        """Show that `count` is done by now; `total` 0 if it is not known."""
        now = monotonic()
        if now - self._shown_at < (TERMINAL_S if talk.is_terminal else PLAIN_S):
            return
        self._shown_at = now
        of = f" of {total:,} ({count / total:.0%})" if total else ""
        rate = f", {count / max(now - self._began, 1e-9):,.0f}/s"
        text = f"{self._activity}: {count:,}{of}{rate}" + (f", {more}" if more else "")
        if talk.is_terminal:
            talk.file.write(f"\r\x1b[2K{printable(text)}")
            talk.file.flush()
            self._shown = True
        else:
            talk.print(text)

    def done(self) -> None:
        """Clear the line."""
        if self._shown:
            talk.file.write("\r\x1b[2K")
            talk.file.flush()
