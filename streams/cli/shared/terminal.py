"""Terminal output: data to stdout, messages to stderr, JSON where it is requested."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import orjson
import rich.table
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.text import Text

from schemas.errors import ConfigError, Incompatible, RiverrunError, Unavailable
from schemas.printable import json_text, printable_lines


class PrintingConsole(Console):
    """A console on which data cannot act: control sequences in it are printed, never executed.

    Text is text, no markup and no emoji. Control characters in any text that is rendered (ESC,
    OSC 52, C1, bidirectional controls) are written as escapes, on a terminal and off it. Line ends
    and tabs stay.
    """

    def __init__(self, **options: Any) -> None:
        plain: dict[str, Any] = {
            "markup": False,
            "emoji": False,
            "highlight": False,
            "soft_wrap": True,
        }
        super().__init__(**plain, **options)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, each segment's text printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


talk = PrintingConsole(stderr=True)
"""For people: progress, explanations, errors. Respects NO_COLOR; plain when not on a terminal."""

data = PrintingConsole(width=None if sys.stdout and sys.stdout.isatty() else 240)
"""For results: tables, values."""


class TerminalTable(rich.table.Table):
    """A table in which cells, headers and title are text: nothing in a record acts as markup."""

    def __init__(self, *headers: rich.table.Column | str, title: str | None = None, **options: Any):
        super().__init__(*headers, title=None if title is None else Text(title), **options)

    def add_column(self, header: Any = "", *more: Any, **options: Any) -> None:
        """Add a column, as rich does."""
        super().add_column(_text(header), *more, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, as rich does."""
        super().add_row(*map(_text, cells), **options)


def _text(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell


EXIT_CODES = {
    0: "done",
    1: "the answer is no: a check failed, there is a difference, something was left out",
    2: "wrong usage",
    3: "a server does not answer",
    4: "stored state does not fit",
    5: "a use case or a setting is wrong",
    6: "it cannot be proved (`verify`), or the log does not reach back (`rollback --as-of`)",
}
"""What a command's exit code means. A worker's own are in `streams/worker/worker_process.py`."""


DIFFERENT, UNPROVABLE = 1, 6


def as_json(value: Any) -> None:
    """Print one JSON document on stdout, nothing else."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    _write(orjson.dumps(value, option=option, default=str))


def as_json_line(value: Any) -> None:
    """Print one JSON document on a line of stdout."""
    _write(orjson.dumps(value, default=str))


def as_text(text: str) -> None:
    """Print a document of several lines on stdout as it is, but for control characters."""
    sys.stdout.write(printable_lines(text))
    sys.stdout.flush()


def _write(document: bytes) -> None:
    sys.stdout.write(json_text(document.decode()) + "\n")
    sys.stdout.flush()


def complain(error: RiverrunError) -> int:
    """Print an expected failure in one line, and return its exit code."""
    line = f"line {error.line}: " if isinstance(error, ConfigError) and error.line else ""
    talk.print(f"riverrun: {line}{error}", style="red")
    if isinstance(error, Unavailable):
        return 3
    if isinstance(error, Incompatible):
        return 4
    return 5 if isinstance(error, ConfigError) else 1
