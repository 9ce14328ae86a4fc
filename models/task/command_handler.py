"""What a command does to one partition. Each is journaled like any input, so it is replayed too.

Whatever may be refused is refused, as `Malformed`, before anything changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.learning import Learning
from models.lifecycle import following
from models.parts import Parts
from models.publishing import Output
from schemas.errors import Malformed
from schemas.inputs import Command, Parcel

QUARANTINE = "(quarantine)"
"""Stands for a model's name where `lifecycle` says what was released."""


class Commanding:
    """Obeys commands; changes the parts that it is given."""

    def __init__(self, parts: Parts, learning: Learning) -> None:
        self._parts = parts
        self._learning = learning

    def obey(self, command: Command, out: list[Output]) -> None:
        """Apply a command; raises `Malformed`, with nothing changed, if it cannot be."""
        known: dict[str, Callable[[Command, list[Output]], None]] = {
            "promote": self._promote,
            "rollback": self._roll_back,
            "freeze": self._freeze,
            "unfreeze": self._freeze,
            "experiment": self._experiment,
            "drain": self._drain,
            "retire": self._retire,
            "reset": self._reset,
            "release": self._release,
            "deliver": self._deliver,
        }
        act = known.get(command.verb)
        if act is None:
            raise Malformed(f"the command {command.verb!r} is not known to this version")
        act(command, out)

    def _promote(self, command: Command, out: list[Output]) -> None:
        roster, model = self._parts.roster, self._named(command)
        if roster.frozen:
            raise Malformed("promotions are frozen; send `unfreeze` first")
        if model == roster.champion:
            raise Malformed(f"{model} is the champion already")
        was = roster.state(model)
        following(was, "promote", model)
        self._changed_places(roster.promote(model), model, was, command, out)

    def _roll_back(self, command: Command, out: list[Output]) -> None:
        roster = self._parts.roster
        if command.parcel is not None:
            self._put_back(command, command.parcel, out)
            return
        if not roster.before:
            raise Malformed("there is no earlier champion to roll back to")
        was = roster.state(roster.before[-1])
        left = roster.roll_back()
        self._changed_places(left, roster.champion, was, command, out)

    def _put_back(self, command: Command, parcel: Parcel, out: list[Output]) -> None:
        """The champion, or the one before, as it was at a place."""
        parts, model = self._parts, self._named(command)
        roster, who = parts.roster, (*parts.roster.before[-1:], parts.roster.champion)
        if model not in who:
            raise Malformed(f"{model} is neither champion nor the one before: {', '.join(who)}")
        was = roster.state(model)
        stored = parts.restoring.opened(parts, command, parcel)
        left = None if model == roster.champion else roster.roll_back()
        if stored is not None:
            parts.put_back(stored)
        parts.journal.restored.append(command.command_id)
        parts.restoring.clear()
        if left is None:
            self._tell(model, was, command, out)
        else:
            self._changed_places(left, model, was, command, out)

    def _deliver(self, command: Command, out: list[Output]) -> None:
        self._parts.restoring.take(command)

    def _changed_places(
        self, left: str, came: str, was: str, command: Command, out: list[Output]
    ) -> None:
        teller, roster, said = self._parts.teller, self._parts.roster, _said(command)
        roster.since = self._parts.watermark.time
        # A segment's own model is one of the champion's kind; another champion's start anew.
        for segment in roster.own.leave(came):
            teller.tell(out, left, segment=segment, from_state="shadow", to_state="retired", **said)
        teller.tell(out, left, from_state="champion", to_state=roster.state(left), **said)
        teller.tell(out, came, from_state=was, to_state="champion", **said)

    def _freeze(self, command: Command, out: list[Output]) -> None:
        roster = self._parts.roster
        roster.frozen = command.verb == "freeze"
        state = "frozen" if roster.frozen else "open"
        self._parts.teller.tell(out, roster.champion, to_state=state, **_said(command))

    def _experiment(self, command: Command, out: list[Output]) -> None:
        roster, model, share = self._parts.roster, self._named(command), command.share
        was = roster.state(model)
        following(was, "experiment", model)
        if share is None or not 0.0 < share <= 1.0:
            raise Malformed(f"an experiment needs a share above 0 and at most 1, not {share}")
        others = sum(s for name, s in roster.experiment.items() if name != model)
        held = self._parts.use_case.contest.holdout
        if others + held + share > 1.0 + 1e-9:
            raise Malformed(
                f"other arms and the holdout take {others + held:g} of the units; "
                f"{share:g} more than are left"
            )
        roster.experiment[model] = share
        roster.guard(model)
        self._drawn_anew(model, was, command, out)

    def _drain(self, command: Command, out: list[Output]) -> None:
        roster, model = self._parts.roster, self._named(command)
        was = roster.state(model)
        following(was, "drain", model)
        roster.leave_experiment(model)
        self._drawn_anew(model, was, command, out)

    def _retire(self, command: Command, out: list[Output]) -> None:
        roster, model = self._parts.roster, self._named(command)
        was = roster.state(model)
        following(was, "retire", model)
        roster.retired[model] = None
        if roster.leave_experiment(model):
            roster.experiment_since = self._parts.watermark.time
        self._tell(model, was, command, out)

    def _reset(self, command: Command, out: list[Output]) -> None:
        parts, model = self._parts, self._named(command)
        was = parts.roster.state(model)
        following(was, "reset", model)
        parts.renew(model)
        self._tell(model, was, command, out)

    def _release(self, command: Command, out: list[Output]) -> None:
        """Learn outcomes that were held as implausible; says which of them are here."""
        if not command.event_ids:
            raise Malformed("`release` names no event; give event_ids")
        ids = dict.fromkeys(command.event_ids)
        released = [i for i in ids if self._learning.release(i, out)]
        said = _said(command) | {"cause": "operator", "evidence": {"released": released}}
        self._parts.teller.tell(out, QUARANTINE, to_state="released", **said)

    def _drawn_anew(self, model: str, was: str, command: Command, out: list[Output]) -> None:
        self._parts.roster.experiment_since = self._parts.watermark.time
        self._tell(model, was, command, out)

    def _tell(self, model: str, was: str, command: Command, out: list[Output]) -> None:
        state = self._parts.roster.state(model)
        self._parts.teller.tell(out, model, from_state=was, to_state=state, **_said(command))

    def _named(self, command: Command) -> str:
        names = self._parts.roster.names
        if command.model is None or command.model not in names:
            raise Malformed(f"there is no model {command.model!r}; there are: {', '.join(names)}")
        return command.model


def _said(command: Command) -> dict[str, Any]:
    return {
        "cause": "rule" if command.who == "decider" else "operator",
        "who": command.who,
        "why": command.why,
        "command_id": command.command_id,
        "evidence": command.evidence,
    }
