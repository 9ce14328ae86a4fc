"""What is known of a record on which `apply` fails, and which records operators want set aside."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from models.inputs.skipped_records import InputOffset, Skip, skip_of
from schemas.commands import Command
from schemas.errors import Malformed

TRACE_CHARS_MAX = 4_000


def failure_of(index: int, offset: int, error: Exception, *, masked: bool) -> Skip:
    """Return what is known of a failure. `masked`: without the exception's words, which may quote
    what is personal.
    """
    if masked:
        text = f"{type(error).__name__} (its words are left out: some data is personal)"
        trace = "".join(traceback.format_tb(error.__traceback__))
    else:
        text = f"{type(error).__name__}: {error}"[:1_000]
        trace = "".join(traceback.format_exception(error))
    return Skip(
        index,
        offset,
        who="riverrun",
        why="`apply` failed",
        error=text.encode("utf-8", "replace").decode(),
        traceback=trace[-TRACE_CHARS_MAX:].encode("utf-8", "replace").decode(),
    )


def wishes(commands: Iterable[Any]) -> dict[InputOffset, Skip]:
    """Return the records that `skip` commands name, of whatever is on the topic."""
    skips: dict[InputOffset, Skip] = {}
    for record in commands:
        try:
            command = Command.model_validate_json(record.value or b"")
            if command.verb == "skip":
                skip = skip_of(command)
                skips.setdefault(skip.input_offset, skip)
        except (ValidationError, Malformed):
            continue  # refused when it is applied
    return skips
