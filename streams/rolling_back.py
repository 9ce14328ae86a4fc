"""`riverrun rollback --as-of PLACE`: a champion returns as it was at a place of its past.

1. The place is found for every partition, and who is champion now and was before.
2. Each partition's state is derived at its place, as `verify` derives it.
3. The model's state goes with the command (streams/parcels.py): pieces first, then the command.

Workers go on meanwhile. Nothing is sent if a state cannot be derived in some partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.carrying import kept_models
from models.restoring import label_of
from models.task import PartitionTask
from models.usecase import UseCase
from schemas.errors import Incompatible
from schemas.inputs import Command, Parcel
from streams.loading import Loaded
from streams.parcels import packed, pieces, seal
from streams.places import Historian, places_everywhere, places_of
from streams.settings import Settings
from streams.starting import starts_of
from streams.topics import names_of, partitions_of


@dataclass(frozen=True, slots=True)
class Back:
    """What is to be sent: `each` partition's commands, `wish` without what they bring."""

    wish: Command
    each: Mapping[int, Sequence[Command]]
    said: Sequence[str]


class Target(NamedTuple):
    """What a state is sealed for, without its models."""

    use_case: UseCase
    partition: int
    definition: str


class Rollback:
    """One act. `model`: the champion or the one before; None: the one before."""

    def __init__(self, loaded: Loaded, settings: Settings, as_of: str, model: str | None) -> None:
        self._loaded, self._settings = loaded, settings
        self._as_of, self._model = as_of, model

    async def prepared(self, wish: Command) -> Back:
        """Steps 1 and 2, and the commands of step 3. Raises `RiverrunError` (`Unprovable`, …)."""
        loaded, settings = self._loaded, self._settings
        names = names_of(loaded.use_case, settings)
        partitions = await partitions_of(loaded.use_case, settings)
        places = await places_everywhere(self._as_of, names["journal"], settings, partitions)
        historian = Historian(loaded, settings, names, partitions, starts_of(loaded, settings))
        model = await self._who(historian, await places_of(None, names["journal"], settings))
        wish = wish.model_copy(update={"model": model})
        each, said = {}, []

        def pack(task: PartitionTask) -> None:
            self._check(task, model)
            each[task.partition] = self._commands(wish, task, model)
            learnt = task.roster.pooled[model].trained_on
            place = f"{task.partition}/{task.step}"
            said.append(f"{model} as at {place}, where it had learnt {learnt} examples")

        for partition, step in places.items():
            if step:
                await historian.visit(partition, step, pack)
            else:
                pack(self._fresh(partition, partitions))
        return Back(wish, each, said)

    def _commands(self, wish: Command, task: PartitionTask, model: str) -> list[Command]:
        """The pieces of its state, and the command that has it put back."""
        place, definition = f"{task.partition}/{task.step}", self._loaded.definition
        state = packed(task, model)
        label = label_of(self._target(task.partition), wish.command_id, model, place)
        sealed = seal(label, state, self._settings.snapshot_key())
        brought = [
            wish.model_copy(
                update={
                    "command_id": f"{wish.command_id}/{piece.number}",
                    "verb": "deliver",
                    "piece": piece,
                }
            )
            for piece in pieces(wish.command_id, state)
        ]
        parcel = Parcel(as_of=place, definition=definition, pieces=len(brought), seal=sealed)
        return [*brought, wish.model_copy(update={"parcel": parcel})]

    async def _who(self, historian: Historian, newest: Mapping[int, int]) -> str:
        """The model that returns, the same in every partition; raises `Incompatible`."""
        found: dict[int, tuple[str, str | None]] = {}
        for partition, step in sorted(newest.items()):

            def look(task: PartitionTask, partition: int = partition) -> None:
                before = task.roster.before
                found[partition] = task.roster.champion, before[-1] if before else None

            await historian.visit(partition, step, look)
        if self._model is not None:
            wrong = [n for n, who in found.items() if self._model not in who]
            if not wrong:
                return self._model
            raise Incompatible(
                f"{self._model} is neither the champion nor the one before in partitions {wrong}: "
                f"{_told(found)}. `riverrun promote` makes it champion as it is now."
            )
        models = {before for _, before in found.values()}
        one = models.pop() if len(models) == 1 else None
        if one is not None:
            return one
        raise Incompatible(
            f"There is no one earlier champion in all partitions: {_told(found)}. To bring back "
            "the champion itself as it was: --model NAME."
        )

    def _check(self, task: PartitionTask, model: str) -> None:
        # One declared otherwise then is another model, though of that name.
        if task.definition == self._loaded.definition:
            return
        if model not in kept_models(task, self._fresh(task.partition, task.partitions)):
            raise Incompatible(
                f"{model} or its features were declared otherwise at {task.partition}/{task.step} "
                f"(definition {task.definition}): it does not fit what runs now."
            )

    def _target(self, partition: int) -> Target:
        return Target(self._loaded.use_case, partition, self._loaded.definition)

    def _fresh(self, partition: int, partitions: int) -> PartitionTask:
        return PartitionTask(
            self._loaded.use_case,
            partition=partition,
            partitions=partitions,
            definition=self._loaded.definition,
        )


def _told(found: Mapping[int, tuple[str, str | None]]) -> str:
    return "; ".join(
        f"partition {number}: {champion}, before it {before or 'none'}"
        for number, (champion, before) in sorted(found.items())
    )
