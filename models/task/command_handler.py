"""What a command does to one partition. Each is journaled like any input, so it is replayed too.

Whatever may be refused is refused, as `Refused`, before anything changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from models.inputs.journal import Journal
from models.inputs.skipped_records import Skips, skip_of
from models.inputs.watermark import Watermark
from models.outputs.lifecycle_log import LifecycleLog
from models.outputs.output_records import Output
from models.serving.model_router import ModelRouter
from models.spec.model_lifecycle import following
from models.spec.use_case import UseCase
from models.task.model_restore import ModelRestore, Stored
from models.task.outcome_handler import OutcomeHandler
from models.task.set_watermark import set_back
from models.task.state import TaskState
from schemas.commands import Command, ModelState
from schemas.errors import Refused

QUARANTINE = "(quarantine)"
"""Stands for a model's name where `lifecycle` says what was released."""
WATERMARK = "(watermark)"
"""Stands for a model's name where `lifecycle` says that time was set back."""


class Commanded(Protocol):
    """What commands about models change: a partition task's parts, or the learner."""

    partition: int
    definition: str
    use_case: UseCase
    router: ModelRouter
    lifecycle_log: LifecycleLog
    journal: Journal
    skips: Skips
    watermark: Watermark
    restoring: ModelRestore

    def reset(self, model: str) -> None: ...  # noqa: D102 - TaskState says it
    def put_back(self, stored: Stored) -> None: ...  # noqa: D102


Act = Callable[[Command, list[Output]], None]


class ModelCommands:
    """Obeys commands about models; changes the parts that it is given."""

    def __init__(self, parts: Commanded) -> None:
        self._parts = parts

    @property
    def _acts(self) -> dict[str, Act]:
        return {
            "promote": self._promote,
            "rollback": self._roll_back,
            "freeze": self._freeze,
            "unfreeze": self._freeze,
            "experiment": self._experiment,
            "drain": self._drain,
            "retire": self._retire,
            "reset": self._reset,
            "deliver": self._deliver,
        }

    def apply_command(self, command: Command, out: list[Output]) -> None:
        """Apply a command; raise `Refused`, with nothing changed, if it cannot be.

        A command that is not about models is ignored here: partitions apply it.
        """
        act = self._acts.get(command.verb)
        if act is not None:
            act(command, out)

    def _promote(self, command: Command, out: list[Output]) -> None:
        router, model = self._parts.router, self._named(command)
        if router.frozen:
            raise Refused("promotions are frozen; send `unfreeze` first")
        if model == router.champion:
            raise Refused(f"{model} is the champion already")
        was = router.state(model)
        following(was, "promote", model)
        self._changed_places(router.promote(model), model, was, command, out)

    def _roll_back(self, command: Command, out: list[Output]) -> None:
        router = self._parts.router
        if command.model_state is not None:
            self._put_back(command, command.model_state, out)
            return
        if not router.before:
            raise Refused("there is no earlier champion to roll back to")
        was = router.state(router.before[-1])
        left = router.roll_back()
        self._changed_places(left, router.champion, was, command, out)

    def _put_back(self, command: Command, model_state: ModelState, out: list[Output]) -> None:
        """Put the champion, or the one before, back as it was at a place."""
        parts, model = self._parts, self._named(command)
        router, candidates = parts.router, (*parts.router.before[-1:], parts.router.champion)
        if model not in candidates:
            raise Refused(
                f"{model} is neither champion nor the one before: {', '.join(candidates)}"
            )
        was = router.state(model)
        stored = parts.restoring.opened(parts, command, model_state)
        left = None if model == router.champion else router.roll_back()
        if stored is not None:
            parts.put_back(stored)
        parts.journal.restored.append(command.command_id)
        parts.restoring.clear()
        command = self._learnt(command, model)
        if left is None:
            self._tell(model, was, command, out)
        else:
            self._changed_places(left, model, was, command, out)

    def _deliver(self, command: Command, out: list[Output]) -> None:
        self._parts.restoring.take(command)

    def _changed_places(
        self, left: str, came: str, was: str, command: Command, out: list[Output]
    ) -> None:
        lifecycle_log, router = self._parts.lifecycle_log, self._parts.router
        fields = _command_fields(command)
        router.since = self._parts.watermark.time
        # A segment's own model is one of the champion's kind; another champion's start over.
        change = lifecycle_log.change
        for segment in router.own.leave(came):
            retired = {"from_state": "shadow", "to_state": "retired"}
            out.append(change(left, segment=segment, **retired, **fields))
        out.append(change(left, from_state="champion", to_state=router.state(left), **fields))
        out.append(change(came, from_state=was, to_state="champion", **fields))

    def _freeze(self, command: Command, out: list[Output]) -> None:
        router = self._parts.router
        router.frozen = command.verb == "freeze"
        state = "frozen" if router.frozen else "open"
        fields = _command_fields(command)
        out.append(self._parts.lifecycle_log.change(router.champion, to_state=state, **fields))

    def _experiment(self, command: Command, out: list[Output]) -> None:
        router, model, share = self._parts.router, self._named(command), command.share
        was = router.state(model)
        following(was, "experiment", model)
        if share is None or not 0.0 < share <= 1.0:
            raise Refused(f"an experiment needs a share above 0 and at most 1, not {share}")
        others = sum(s for name, s in router.experiment.items() if name != model)
        held = self._parts.use_case.contest.holdout
        if others + held + share > 1.0 + 1e-9:
            raise Refused(
                f"other arms and the holdout take {others + held:g} of the units; "
                f"{share:g} more than are left"
            )
        router.experiment[model] = share
        router.guard(model)
        self._drawn_anew(model, was, command, out)

    def _drain(self, command: Command, out: list[Output]) -> None:
        router, model = self._parts.router, self._named(command)
        was = router.state(model)
        following(was, "drain", model)
        router.leave_experiment(model)
        self._drawn_anew(model, was, command, out)

    def _retire(self, command: Command, out: list[Output]) -> None:
        router, model = self._parts.router, self._named(command)
        was = router.state(model)
        following(was, "retire", model)
        router.retired[model] = None
        if router.leave_experiment(model):
            router.experiment_since = self._parts.watermark.time
        self._tell(model, was, command, out)

    def _reset(self, command: Command, out: list[Output]) -> None:
        parts, model = self._parts, self._named(command)
        was = parts.router.state(model)
        following(was, "reset", model)
        parts.reset(model)
        self._tell(model, was, self._learnt(command, model), out)

    def _drawn_anew(self, model: str, was: str, command: Command, out: list[Output]) -> None:
        self._parts.router.experiment_since = self._parts.watermark.time
        self._tell(model, was, command, out)

    def _tell(self, model: str, was: str, command: Command, out: list[Output]) -> None:
        state = self._parts.router.state(model)
        fields = _command_fields(command)
        change = self._parts.lifecycle_log.change
        out.append(change(model, from_state=was, to_state=state, **fields))

    def _learnt(self, command: Command, model: str) -> Command:
        """Return the command, with what a model that was put in the place of another has learnt."""
        learnt = {"learnt": {model: self._parts.router.pooled[model].trained_on}}
        return command.model_copy(update={"evidence": (command.evidence or {}) | learnt})

    def _named(self, command: Command) -> str:
        names = self._parts.router.names
        if command.model is None or command.model not in names:
            raise Refused(f"there is no model {command.model!r}; there are: {', '.join(names)}")
        return command.model


class CommandHandler(ModelCommands):
    """Obeys all commands to one partition; those about shared models are the learner's."""

    _parts: TaskState

    def __init__(self, parts: TaskState, learning: OutcomeHandler) -> None:
        super().__init__(parts)
        self._learning = learning

    def apply_command(self, command: Command, out: list[Output]) -> None:
        """Apply a command; raises `Refused`, with nothing changed, if it cannot be."""
        own: dict[str, Act] = {
            "release": self._release,
            "set-watermark": self._set_watermark,
            "skip": self._skip,
        }
        act = own.get(command.verb)
        if act is not None:
            act(command, out)
        elif command.verb not in self._acts:
            raise Refused(f"the command {command.verb!r} is not known to this version")
        elif self._parts.shared is None:
            super().apply_command(command, out)

    def _release(self, command: Command, out: list[Output]) -> None:
        """Learn outcomes that were held as implausible; says which of them are here."""
        if not command.event_ids:
            raise Refused("`release` names no event; give event_ids")
        ids = dict.fromkeys(command.event_ids)
        released = [i for i in ids if self._learning.release(i, out)]
        evidence = {"released": released}
        fields = _command_fields(command) | {"cause": "operator", "evidence": evidence}
        out.append(self._parts.lifecycle_log.change(QUARANTINE, to_state="released", **fields))

    def _set_watermark(self, command: Command, out: list[Output]) -> None:
        """Move time back; a partition that has not come to that time is left as it is."""
        parts, moment = self._parts, command.watermark
        if moment is None:
            raise Refused("`set-watermark` names no time; give watermark")
        reached = parts.watermark.time
        refused = set_back(parts, moment.timestamp(), out)
        state = "unchanged" if parts.watermark.time == reached else "set back"
        was = None if reached is None else datetime.fromtimestamp(reached, UTC).isoformat()
        evidence = {"was": was, "refused": refused}
        fields = _command_fields(command) | {"cause": "operator", "evidence": evidence}
        out.append(parts.lifecycle_log.change(WATERMARK, to_state=state, **fields))

    def _skip(self, command: Command, out: list[Output]) -> None:
        # The record is reported once it is set aside: `PartitionTask.set_aside`.
        skip = skip_of(command)
        self._parts.skips.want(skip, self._parts.journal.next[skip.input])


def _command_fields(command: Command) -> dict[str, Any]:
    return {
        "cause": "rule" if command.who == "decider" else "operator",
        "who": command.who,
        "why": command.why,
        "command_id": command.command_id,
        "evidence": command.evidence,
    }
