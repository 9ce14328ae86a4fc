"""The state of each dead letter: open, sent again, resolved or dismissed.

It is stored nowhere and follows from the topics:

    sent again   an action on `lifecycle` names it, with the position of the record that was sent;
                 or a later letter names it in the header `riverrun_letter`: the record came back
    resolved     the record that was sent is applied (its offset is before the journal's `next`) and
                 has not come back; or its outcome was quarantined and is released
    dismissed    an action says that nothing is to be done about it; so is a refused command from
                 the start: it is sent as a new command, not again
    open         none of these
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from models.spec.use_case import UseCase
from schemas.errors import Implausible, Refused
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader
from streams.operations.operator_actions import LETTERS, record_action
from streams.replay.kafka_log import newest_entries

State = Literal["open", "sent again", "resolved", "dismissed"]
STATES: tuple[State, ...] = ("open", "sent again", "resolved", "dismissed")
REDRIVEN, DISMISSED, REOPENED, RELEASED = "redriven", "dismissed", "reopened", "released"
LETTERS_BYTES, RELEASED_BYTES = f'"{LETTERS}"'.encode(), f'"{RELEASED}"'.encode()
LETTERS_MAX = 5_000
"""Letters that one record names: about 200 kB."""

Applied = Mapping[tuple[str, int], int]
"""(input topic, partition) → the offset up to which it is applied."""


class LetterFacts(Protocol):
    """The facts about a letter that its state depends on."""

    @property
    def position(self) -> str:
        """Return its position: partition/offset."""

    @property
    def error_class(self) -> str:
        """Return the error's class, by which it is counted."""

    @property
    def parent(self) -> str:
        """Return the letter that was sent again and came back as this one; empty for the first."""

    @property
    def event_id(self) -> str:
        """Return the event of an outcome that is held; empty for any other letter."""


class LetterState(NamedTuple):
    """A letter's state, and the reason in words."""

    state: State
    note: str = ""


@dataclass(slots=True)
class LetterActions:
    """Actions on letters: position → where it was sent (topic/partition/offset), or why."""

    sent: dict[str, str] = field(default_factory=dict)
    dismissed: dict[str, str] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, changes: Iterable[Mapping[str, Any]]) -> LetterActions:
        """Return the actions that lifecycle records, in their order, contain."""
        actions = cls()
        for change in changes:
            actions.apply(change)
        return actions

    def apply(self, change: Mapping[str, Any]) -> None:
        """Apply the next record; ignore one that riverrun would not write."""
        # Everyone with access to the topic may have written anything to it.
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            self._apply(change)

    def _apply(self, change: Mapping[str, Any]) -> None:
        state, evidence = change["to_state"], change["evidence"] or {}
        if state == RELEASED:
            self.released.update(evidence.get(RELEASED, ()))
        if change["model"] != LETTERS:
            return
        letters: dict[str, str] = dict(evidence["letters"])
        if state == REDRIVEN:
            self.sent.update(letters)
        for position in letters:
            self.dismissed.pop(position, None)
            if state == DISMISSED:
                self.dismissed[position] = change["why"]
            elif state == REOPENED:
                self.sent.pop(position, None)


def states_of(
    letters: Iterable[LetterFacts], actions: LetterActions, applied: Applied
) -> dict[str, LetterState]:
    """Return the state of each, by its position."""
    letters = list(letters)
    returned = {letter.parent: letter.position for letter in letters if letter.parent}
    return {letter.position: _state_of(letter, returned, actions, applied) for letter in letters}


def _state_of(
    letter: LetterFacts, returned: Mapping[str, str], actions: LetterActions, applied: Applied
) -> LetterState:
    position = letter.position
    if letter.error_class == Refused.fault:
        return LetterState("dismissed", "a refused command is sent as a new one")
    if position in actions.dismissed:
        return LetterState("dismissed", actions.dismissed[position])
    if letter.error_class == Implausible.fault:
        released = letter.event_id in actions.released
        return LetterState("resolved", "it was released") if released else LetterState("open")
    if position in returned:
        return LetterState("sent again", f"it came back as {returned[position]}")
    if position not in actions.sent:
        return LetterState("open")
    topic, _, rest = str(actions.sent[position]).partition("/")
    partition, _, offset = rest.partition("/")
    is_offset = partition.isdigit() and offset.isdigit()
    if is_offset and int(offset) < applied.get((topic, int(partition)), 0):
        return LetterState("resolved", "it was sent again and applied")
    return LetterState("sent again", "it is not applied yet")


async def actions_on(settings: Settings, names: Mapping[str, str]) -> LetterActions:
    """Return all actions on letters, read from the whole of `lifecycle`."""
    actions = LetterActions()
    async with TopicReader([names["lifecycle"]], settings) as reader:
        for topic_partition in reader.topic_partitions:
            async for record in reader.records(topic_partition):
                value = record.value or b""
                if LETTERS_BYTES in value or RELEASED_BYTES in value:
                    actions.apply(reader.row("lifecycle", record) or {})
    return actions


async def applied_of(settings: Settings, names: Mapping[str, str], partitions: int) -> Applied:
    """Return the offset up to which each input is applied, by each journal's newest entry."""
    offsets: dict[tuple[str, int], int] = {}
    newest = await newest_entries(settings.kafka_client(), names, range(partitions))
    for number, entry in newest.items():
        for kind, offset in zip(INPUTS, [] if entry is None else entry.next, strict=False):
            offsets[names[kind], number] = offset
    return offsets


async def record_letters(
    use_case: UseCase,
    settings: Settings,
    state: str,
    letters: Mapping[str, str],
    *,
    who: str,
    why: str,
) -> None:
    """Record that these letters were redriven, dismissed or reopened; raise `Unavailable`."""
    positions = list(letters)
    for start in range(0, len(positions), LETTERS_MAX):
        some = {each: letters[each] for each in positions[start : start + LETTERS_MAX]}
        await record_action(
            use_case,
            settings,
            subject=LETTERS,
            to_state=state,
            who=who,
            why=why,
            evidence={"letters": some},
        )
