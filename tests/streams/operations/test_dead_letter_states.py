"""What became of dead letters, as the topics say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from streams.operations.dead_letter_states import LetterActions, states_of
from streams.operations.operator_actions import LETTERS
from tests.streams.inspection.test_model_registry import change


@dataclass(frozen=True, slots=True)
class Line:
    """A letter."""

    position: str
    error_class: str = "malformed"
    parent: str = ""
    event_id: str = ""


def act(state: str, letters: dict[str, str], why: str = "mended") -> dict[str, Any]:
    """An operator's act about letters."""
    return change(LETTERS, state, cause="operator", why=why, evidence={"letters": letters})


def states(letters: list[Line], *acts: dict[str, Any], applied: int = 0) -> dict[str, str]:
    """The state of each; partition 1 of the events is applied up to an offset."""
    by_letter = states_of(letters, LetterActions.of(acts), {("p.uc.events", 1): applied})
    return {letter: became.state for letter, became in by_letter.items()}


def test_a_letter_is_open_until_something_is_done() -> None:
    """LetterActions about others change nothing."""
    assert states([Line("0/1")], act("redriven", {"0/2": "p.uc.events/1/5"})) == {"0/1": "open"}


@pytest.mark.parametrize(("applied", "due"), [(5, "sent again"), (6, "resolved")])
def test_what_was_sent_is_resolved_once_it_is_applied(applied: int, due: str) -> None:
    """And has not come back."""
    sent = act("redriven", {"0/1": "p.uc.events/1/5"})
    assert states([Line("0/1")], sent, applied=applied) == {"0/1": due}


def test_what_came_back_is_open_once_and_not_twice() -> None:
    """However often all open ones are sent, two bad records are two open letters."""
    letters, acts = [Line("0/0"), Line("1/0")], []
    for round_ in range(1, 4):
        still = [
            letter
            for letter, state in states(letters, *acts, applied=99).items()
            if state == "open"
        ]
        assert len(still) == 2
        acts.append(act("redriven", dict.fromkeys(still, f"p.uc.events/1/{round_}")))
        letters += [Line(f"{letter[0]}/{round_}", parent=letter) for letter in still]
    by_letter = states(letters, *acts, applied=99)
    assert sorted(by_letter.values()).count("open") == 2
    assert sorted(by_letter.values()).count("sent again") == 6


def test_what_came_back_is_known_without_the_act() -> None:
    """The header says it, should the act not have been written."""
    assert states([Line("0/1"), Line("0/2", parent="0/1")]) == {"0/1": "sent again", "0/2": "open"}


def test_a_dismissed_letter_can_be_opened_again() -> None:
    """By a later act."""
    dismissed = act("dismissed", {"0/1": ""}, "a replay")
    assert states([Line("0/1")], dismissed) == {"0/1": "dismissed"}
    assert states([Line("0/1")], dismissed, act("reopened", {"0/1": ""})) == {"0/1": "open"}
    (became,) = states_of([Line("0/1")], LetterActions.of([dismissed]), {}).values()
    assert became.note == "a replay"


def test_a_held_outcome_is_resolved_by_its_release() -> None:
    """Of its own event."""
    released = change("(quarantine)", "released", evidence={"released": ["e2"]})
    letters = [Line("0/1", "quarantined", event_id="e1"), Line("0/2", "quarantined", event_id="e2")]
    assert states(letters, released) == {"0/1": "open", "0/2": "resolved"}


def test_a_refused_command_is_nothing_to_be_mended() -> None:
    """It is given again."""
    assert states([Line("0/1", "refused")]) == {"0/1": "dismissed"}


@pytest.mark.parametrize("evidence", [None, {}, {"letters": 7}, {"letters": ["0/1"]}])
def test_a_record_that_nobody_writes_says_nothing(evidence: Any) -> None:
    """LetterActions that cannot be read are not taken."""
    assert LetterActions.of([change(LETTERS, "dismissed", evidence=evidence)]) == LetterActions()


def test_a_place_that_is_none_resolves_nothing() -> None:
    """Whatever an act says of where a record was sent."""
    for at in ("", "nowhere", "p.uc.events/x/y", "p.uc.events/1"):
        assert states([Line("0/1")], act("redriven", {"0/1": at}), applied=99) == {
            "0/1": "sent again"
        }
