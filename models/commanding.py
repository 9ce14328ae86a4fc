"""What a command does to one partition. Each is journaled like any input, so it is replayed too."""

from __future__ import annotations

from typing import Any

from models.learning import Learning
from models.publishing import Output
from models.roster import Roster
from models.telling import Teller
from schemas.errors import Malformed
from schemas.inputs import Command

QUARANTINE = "(quarantine)"
"""Stands for a model's name where `lifecycle` says what was released."""


def obey(command: Command, roster: Roster, teller: Teller, out: list[Output]) -> None:
    """Apply a command; raises `Malformed`, with nothing changed, if it cannot be."""
    said: dict[str, Any] = {
        "cause": "rule" if command.who == "decider" else "operator",
        "who": command.who,
        "why": command.why,
        "command_id": command.command_id,
        "evidence": command.evidence,
    }
    if command.verb == "promote":
        _promote(command, roster, teller, out, said)
    elif command.verb == "rollback":
        left = roster.roll_back()
        if left is None:
            raise Malformed("there is no earlier champion to roll back to")
        _changed_places(left, roster.champion, roster, teller, out, said)
    elif command.verb in ("freeze", "unfreeze"):
        roster.frozen = command.verb == "freeze"
        state = "frozen" if roster.frozen else "open"
        teller.tell(out, roster.champion, to_state=state, **said)
    else:
        raise Malformed(f"the command {command.verb!r} is not known to this version")


def release(command: Command, learning: Learning, teller: Teller, out: list[Output]) -> None:
    """Learn outcomes that were held as implausible; says which of them this partition held.

    Raises `Malformed`, with nothing changed, if none is named.
    """
    if not command.event_ids:
        raise Malformed("`release` names no event; give event_ids")
    released = [i for i in dict.fromkeys(command.event_ids) if learning.release(i, out)]
    teller.tell(
        out,
        QUARANTINE,
        to_state="released",
        cause="operator",
        who=command.who,
        why=command.why,
        command_id=command.command_id,
        evidence={"released": released},
    )


def _promote(
    command: Command, roster: Roster, teller: Teller, out: list[Output], said: dict[str, Any]
) -> None:
    model = command.model
    if model is None or model not in roster.pooled:
        raise Malformed(f"there is no model {model!r}; there are: {', '.join(roster.names)}")
    if roster.frozen:
        raise Malformed("promotions are frozen; send `unfreeze` first")
    if model == roster.champion:
        raise Malformed(f"{model} is the champion already")
    _changed_places(roster.promote(model), model, roster, teller, out, said)


def _changed_places(
    left: str,
    came: str,
    roster: Roster,
    teller: Teller,
    out: list[Output],
    said: dict[str, Any],
) -> None:
    # A segment's own model is one of the champion's kind; another champion's start anew.
    for segment in roster.own.leave(came):
        teller.tell(out, left, segment=segment, from_state="shadow", to_state="retired", **said)
    teller.tell(out, left, from_state="champion", to_state="shadow", **said)
    teller.tell(out, came, from_state="shadow", to_state="champion", **said)
