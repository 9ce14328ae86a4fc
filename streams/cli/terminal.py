"""How the command line speaks: data to stdout, talk to stderr, JSON where it is asked for."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console

from schemas.errors import Incompatible, Misdeclared, RiverrunError, Unavailable

talk = Console(stderr=True, highlight=False, soft_wrap=True)
"""For people: progress, explanations, errors. Respects NO_COLOR; plain off a terminal."""

data = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
"""For results: tables, values."""

EXIT_CODES = {
    0: "done",
    1: "the answer is no: a check failed, a difference was found, something was left out",
    2: "wrong usage",
    3: "a server does not answer",
    4: "something stored does not fit",
    5: "a use case or a setting is wrong",
    6: "it cannot be proved (`verify`), or the log does not reach back (`rollback --as-of`)",
}
"""What a command says when it ends. A worker's own are in `streams/worker.py`."""


def as_json(value: Any) -> None:
    """Print one JSON document on stdout, nothing else."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    sys.stdout.flush()


def complain(error: RiverrunError) -> int:
    """Say a foreseen failure in one line; gives its exit code."""
    line = f"line {error.line}: " if isinstance(error, Misdeclared) and error.line else ""
    talk.print(f"riverrun: {line}{error}", style="red", markup=False)
    if isinstance(error, Unavailable):
        return 3
    if isinstance(error, Incompatible):
        return 4
    return 5 if isinstance(error, Misdeclared) else 1
