"""A model put back as it was at an earlier place of its partition.

Its state is an input like any other, so every fold of the journal puts back the same: it comes in
pieces on `commands` (`deliver`), and the `rollback` that names them puts them together. A state is
a program when it is read, so it is read only where `unseal` finds it signed. That is the one thing
here which depends on more than the records, and the journal therefore says what was put back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from models.attribution.contributions import Means
from models.serving.model_slot import ModelSlot
from schemas.commands import Command, ModelState
from schemas.errors import Refused

PIECE_BYTES_MAX = 131_072
PIECES_MAX = 512
"""64 MB of a compressed state."""


class Stored(NamedTuple):
    """A model's state at a place: its slot, and the means that its contributions refer to."""

    slot: ModelSlot
    means: Means | None


class Labelled(Protocol):
    """What a state is of (a partition task, or its parts)."""

    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def definition(self) -> str: ...  # noqa: D102
    @property
    def use_case(self) -> Any: ...  # noqa: D102


Unseal = Callable[[Any, bytes, bytes, str], Stored]
"""(use case, label, state, seal) → what the state holds; raises `Refused` where it is not signed
as of that label, or cannot be read."""


def label_of(task: Labelled, command_id: str, model: str, as_of: str) -> bytes:
    """Return what a seal is over besides the state, so that none can be used for anything else."""
    use = task.use_case.name, str(task.partition), task.definition, command_id, model, as_of
    return "\0".join(use).encode()


class ModelRestore:
    """The pieces that came, of one model state at a time. Memory: `PIECES_MAX` pieces at most."""

    def __init__(self, unseal: Unseal | None) -> None:
        self._unseal = unseal
        self.restored_before: frozenset[str] = frozenset()
        self.of = ""
        self.pieces: list[bytes] = []

    def take(self, command: Command) -> None:
        """Take one piece; the first of another state is in place of what was not asked for."""
        piece = command.chunk
        if piece is None:
            raise Refused("`deliver` brings no piece; it is sent by `riverrun rollback --as-of`")
        if piece.number == 0 and piece.of != self.of:
            self.of, self.pieces = piece.of, []
        if piece.of != self.of or piece.number > len(self.pieces):
            raise Refused(f"piece {piece.number} of {piece.of} came without those before it")
        if len(self.pieces) >= PIECES_MAX or len(piece.state) > PIECE_BYTES_MAX:
            raise Refused(f"more than {PIECES_MAX} pieces of {PIECE_BYTES_MAX} bytes")
        if piece.number == len(self.pieces):  # else it came before
            self.pieces.append(piece.state)

    def opened(self, task: Labelled, command: Command, model_state: ModelState) -> Stored | None:
        """Return the state that a command names; raise `Refused`, with nothing changed. None: the
        command was applied under another definition, for which the state was made.
        """
        if command.command_id in self.restored_before and model_state.definition != task.definition:
            return None
        if model_state.definition != task.definition:
            raise Refused(
                f"the state is of definition {model_state.definition}, and {task.definition} is in "
                "force; give the command again"
            )
        if command.command_id != self.of or len(self.pieces) != model_state.chunks:
            raise Refused("the state that it names has not come; give the command again")
        if self._unseal is None:
            raise Refused("nothing is put back here: there is no key to read it with")
        assert command.model is not None
        label = label_of(task, command.command_id, command.model, model_state.as_of)
        stored = self._unseal(task.use_case, label, b"".join(self.pieces), model_state.signature)
        if stored.slot.name != command.model or stored.slot.segment is not None:
            raise Refused(f"the state is not that of {command.model}")
        return stored

    def clear(self) -> None:
        """Forget the pieces: they are used up."""
        self.of, self.pieces = "", []
