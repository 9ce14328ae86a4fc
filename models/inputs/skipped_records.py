"""Records that are set aside because `apply` fails on them: skipped, journaled, never applied.

`apply` is not a transaction in memory: an exception midway leaves an unusable state. So a record is
set aside before it is applied, by an operator (the command `skip`) or by a declared rule, and the
journal entry names the record with who, why and the failure. A fold that reads this entry sets the
record aside again: recovery, verification and simulation come to the same state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from schemas.commands import Command
from schemas.errors import Malformed
from schemas.topics import INPUTS

REMEMBERED_MAX = 1_000
"""The largest number of records, set aside or to be set aside, that a partition remembers."""

BY_RULE_MAX = 10
BY_RULE_STEPS = 1_000
"""The rule sets aside at most this many of this many records: more failures mean that the state is
at fault.
"""

RULE = "rule"
"""The `who` of a record that the rule `skip_after` sets aside."""

SUBJECT = "(record)"
"""The `model` of a `lifecycle` record that is about a record and not about a model."""

InputOffset = tuple[int, int]
"""The number of an input, and an offset."""


class Skip(NamedTuple):
    """A record that is to be set aside, or was, as the journal holds it."""

    input: int
    offset: int
    who: str
    why: str
    command_id: str | None = None
    error: str | None = None
    traceback: str | None = None

    @property
    def input_offset(self) -> InputOffset:
        """The record's input and offset."""
        return self.input, self.offset

    @property
    def cause(self) -> str:
        """The cause, as `lifecycle` names it."""
        return "rule" if self.command_id is None else "operator"


class Skips:
    """The records that one partition is to set aside and has set aside; part of its state.

    Memory: the newest `REMEMBERED_MAX` of each.
    """

    __slots__ = ("done", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[InputOffset, Skip] = {}
        # Where, at which step, and on which command; None: by rule.
        self.done: dict[InputOffset, tuple[int, str | None]] = {}

    def want(self, skip: Skip, following: int) -> None:
        """Accept a `skip` command; `following` is its input's next offset. Raise `Malformed` where
        the record was applied or set aside before; a repetition of the same command changes
        nothing.
        """
        if skip.input_offset in self.done:
            step, command_id = self.done[skip.input_offset]
            if command_id == skip.command_id:
                return
            raise Malformed(
                f"offset {skip.offset} of {INPUTS[skip.input]} was set aside at step {step}"
            )
        if skip.offset < following:
            raise Malformed(
                f"offset {skip.offset} of {INPUTS[skip.input]} has been applied: only a record "
                "that has not been can be set aside. Nothing has changed."
            )
        if len(self.wanted) >= REMEMBERED_MAX:
            raise Malformed(
                f"{REMEMBERED_MAX} records are to be set aside already; wait until some have come"
            )
        self.wanted[skip.input_offset] = skip

    def did(self, skip: Skip, step: int) -> None:
        """Note that the record has been set aside."""
        self.wanted.pop(skip.input_offset, None)
        while len(self.done) >= REMEMBERED_MAX:
            del self.done[next(iter(self.done))]
        self.done[skip.input_offset] = step, skip.command_id

    def rule_may(self, step: int) -> bool:
        """Return whether the rule may set the next record aside, at that step."""
        by_rule = (at for at, command_id in self.done.values() if command_id is None)
        return sum(step - at < BY_RULE_STEPS for at in by_rule) < BY_RULE_MAX


def skip_of(command: Command) -> Skip:
    """Return the record that a `skip` names; raise `Malformed` if it names none."""
    if command.record is None:
        raise Malformed("`skip` names no record; give record: input and offset")
    evidence = command.evidence or {}
    return Skip(
        INPUTS.index(command.record.input),
        command.record.offset,
        command.who,
        command.why,
        command.command_id,
        _text(evidence.get("error")),
        _text(evidence.get("traceback")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
