"""`riverrun rollback --as-of POSITION`: a champion returns with an earlier state.

1. Determine the position in every partition, the champion now and the one before.
2. Derive each partition's state at its position, as `verify` derives it.
3. Send the model's state with the command (streams/snapshots/model_transfer.py): its pieces first,
   then the command.

Of models that all partitions share, the learner has the only state: its place takes theirs.

Workers go on meanwhile. Nothing is sent if a state cannot be derived in some partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.replay.state_migration import Task, kept_models
from models.spec.use_case import UseCase
from models.task.model_restore import label_of
from schemas.commands import Command, ModelState
from schemas.errors import Incompatible
from schemas.topics import LEARNER
from streams.config.naming import position_of, title_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.replay.archived_states import starts_of
from streams.replay.past_states import Checkpoints, learner_place, places_everywhere, places_of
from streams.snapshots.fresh_task import fresh_task
from streams.snapshots.model_transfer import packed, pieces, seal
from streams.topics.topic_admin import names_of, partitions_of


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """The commands to send to each partition; `command` is without the states; and a summary."""

    command: Command
    by_partition: Mapping[int, Sequence[Command]]
    summary: Sequence[str]


class Target(NamedTuple):
    """The purpose that a state is signed for, without its models."""

    use_case: UseCase
    partition: int
    definition: str


class Rollback:
    """One rollback. `model`: the champion or the one before; None: the one before."""

    def __init__(
        self, loaded: LoadedUseCase, settings: Settings, as_of: str, model: str | None
    ) -> None:
        self._loaded, self._settings = loaded, settings
        self._as_of, self._model = as_of, model

    async def prepare(self, command: Command) -> RollbackPlan:
        """Do steps 1 and 2, and prepare the commands of step 3.

        Raises `RiverrunError` (`Unprovable` …) if a state cannot be derived; nothing is sent then.
        """
        loaded, settings = self._loaded, self._settings
        names = names_of(loaded.use_case, settings)
        partitions = await partitions_of(loaded.use_case, settings)
        if loaded.use_case.is_shared(partitions):
            positions = {LEARNER: await learner_place(self._as_of, names, settings)}
            newest = {LEARNER: (await places_of(None, names["learning"], settings)).get(0, 0)}
        else:
            journal = names["journal"]
            positions = await places_everywhere(self._as_of, journal, settings, partitions)
            newest = dict(await places_of(None, journal, settings))
        checkpoints = Checkpoints(loaded, settings, names, partitions, starts_of(loaded, settings))
        model = await self._champion_to_restore(checkpoints, newest)
        command = command.model_copy(update={"model": model})
        by_partition, summary = {}, []

        def pack(task: Task) -> None:
            self._check(task, model)
            # The learner reads partition 0 of the commands.
            by_partition[max(0, task.partition)] = self._commands(command, task, model)
            learnt = task.router.pooled[model].trained_on
            log_position = position_of(task.partition, task.step)
            summary.append(f"{model} as of {log_position}, where it had learnt {learnt} examples")

        for partition, step in positions.items():
            if step:
                await checkpoints.visit(partition, step, pack)
            else:
                pack(self._fresh(partition, partitions))
        return RollbackPlan(command, by_partition, summary)

    def _commands(self, command: Command, task: Task, model: str) -> list[Command]:
        """Return the pieces of its state, and the command that restores it."""
        position, definition = position_of(task.partition, task.step), self._loaded.definition
        state = packed(task, model)
        label = label_of(self._target(task.partition), command.command_id, model, position)
        sealed = seal(label, state, self._settings.snapshot_key())
        chunks = [
            command.model_copy(
                update={
                    "command_id": f"{command.command_id}/{chunk.number}",
                    "verb": "deliver",
                    "chunk": chunk,
                }
            )
            for chunk in pieces(command.command_id, state)
        ]
        model_state = ModelState(
            as_of=position, definition=definition, chunks=len(chunks), signature=sealed
        )
        return [*chunks, command.model_copy(update={"model_state": model_state})]

    async def _champion_to_restore(
        self, checkpoints: Checkpoints, newest: Mapping[int, int]
    ) -> str:
        """Return the model to restore; raise `Incompatible` unless all partitions have the same."""
        champions: dict[int, tuple[str, str | None]] = {}
        for partition, step in sorted(newest.items()):

            def look(task: Task, partition: int = partition) -> None:
                before = task.router.before
                champions[partition] = task.router.champion, before[-1] if before else None

            await checkpoints.visit(partition, step, look)
        if self._model is not None:
            wrong = [n for n, pair in champions.items() if self._model not in pair]
            if not wrong:
                return self._model
            raise Incompatible(
                f"{self._model} is neither the champion nor the one before in "
                f"{', '.join(map(title_of, wrong))}: {_in_words(champions)}. "
                "`riverrun promote` makes it champion as it is now."
            )
        models = {before for _, before in champions.values()}
        one = models.pop() if len(models) == 1 else None
        if one is not None:
            return one
        raise Incompatible(
            f"The champion before differs by partition: {_in_words(champions)}. To restore the "
            "present champion's earlier state, give --model NAME."
        )

    def _check(self, task: Task, model: str) -> None:
        # One that was declared otherwise then is another model of the same name.
        if task.definition == self._loaded.definition:
            return
        if model not in kept_models(task, self._fresh(task.partition, task.partitions)):
            log_position = position_of(task.partition, task.step)
            raise Incompatible(
                f"{model} or its features were declared otherwise at {log_position} "
                f"(definition {task.definition}): it does not fit what runs now."
            )

    def _target(self, partition: int) -> Target:
        return Target(self._loaded.use_case, partition, self._loaded.definition)

    def _fresh(self, number: int, partitions: int) -> Task:
        task: Task = fresh_task(
            self._loaded.use_case,
            number,
            partitions=partitions,
            definition=self._loaded.definition,
            key=self._settings.snapshot_key,
        )
        return task


def _in_words(champions: Mapping[int, tuple[str, str | None]]) -> str:
    return "; ".join(
        f"{title_of(number)}: {champion}, before it {before or 'none'}"
        for number, (champion, before) in sorted(champions.items())
    )
