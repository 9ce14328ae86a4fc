"""The registry, the audit trail and filters, as far as they need no server."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from schemas.errors import ConfigError
from streams.inspection.model_registry import folded, together
from streams.inspection.tail import filter_of
from streams.operations.dead_letters import Letter
from streams.replay.verified import differing


def change(model: str, to: str, **rest: Any) -> dict[str, Any]:
    """A lifecycle record."""
    fields = {
        "partition": 0,
        "segment": None,
        "from_state": None,
        "cause": "definition",
        "who": "riverrun",
        "why": "declared",
        "command_id": None,
        "evidence": None,
        "event_time": None,
        "time": "2024-05-01T00:00:00+00:00",
        "step": 1,
    }
    return fields | {"model": model, "to_state": to} | rest


def test_lifecycle_records_lead_to_the_state_of_each_model() -> None:
    """The last change counts; the first says when and why it began."""
    entries = folded(
        [
            change("linear", "champion"),
            change("trees", "shadow"),
            change("linear", "shadow", cause="operator", who="eve", step=9),
            change("trees", "champion", cause="operator", who="eve", step=9),
            change("trees", "withheld", cause="safeguard", why="it left its limits"),
            change("trees", "frozen", cause="operator"),
        ]
    )
    states = {e.model: (e.state, e.who, e.began_step, e.withheld, e.frozen) for e in entries}
    assert states == {
        "linear": ("shadow", "eve", 1, None, True),
        "trees": ("champion", "eve", 1, "it left its limits", True),
    }


def test_a_segment_that_came_back_began_again() -> None:
    """What was retired and begins once more is a new model."""
    entries = folded(
        [
            change("linear", "shadow", segment="UA", step=5),
            change("linear", "retired", segment="UA", cause="limit", step=8),
            change("linear", "shadow", segment="UA", step=12),
        ]
    )
    assert [(e.state, e.began_step) for e in entries] == [("shadow", 12)]


def test_one_command_in_many_partitions_is_one_line() -> None:
    """What a partition's own rule did stays apart from what another's did."""
    models = together(
        [
            change("trees", "champion", command_id="c1", partition=0, cause="operator"),
            change("trees", "champion", command_id="c1", partition=1, cause="operator", step=7),
            change("trees", "champion", segment="UA", partition=0, cause="rule"),
            change("trees", "champion", segment="UA", partition=1, cause="rule"),
        ]
    )
    assert [group["partitions"] for group in models] == [[0, 1], [0], [1]]


def test_filters_look_into_records() -> None:
    """By path and key; numbers and booleans as JSON writes them; a mistake says how."""
    row = {"key": "JFK", "value": {"a": {"b": 1.5}, "learnt": True, "none": None}}
    for text in ("a.b=1.5", "learnt=true", "key=JFK", "none=null"):
        assert filter_of(text)(row), text
    for text in ("a.b=1", "a.c=1", "learnt=null", "learnt=True", "key=LGA"):
        assert not filter_of(text)(row), text
    with pytest.raises(ConfigError):
        filter_of("carrier >")


def test_the_first_differing_field_is_named() -> None:
    """By its path; an int that became a float is a difference, too."""
    prediction = {"value": 1.0, "shadows": {"a": 1.0, "b": 2.0}, "interval": [0.0, 1.0]}
    assert list(differing(prediction, prediction)) == []
    again = prediction | {"shadows": {"a": 1.0, "b": 2.0 + 2**-51}}
    assert next(differing(prediction, again))[0] == "shadows.b"
    assert next(differing(prediction, prediction | {"value": 1}))[0] == "value"
    assert next(differing(None, prediction)) == ("the prediction", None, prediction)


def letter(**rest: Any) -> Letter:
    """A dead letter of an event."""
    body = {
        "topic": "events",
        "key_base64": b64encode(b"JFK").decode(),
        "value_base64": b64encode(b"{}").decode(),
        "value_bytes": 2,
        "headers": [],
    }
    return Letter("0/1", 0, body | rest)


def test_what_cannot_be_sent_again_says_why() -> None:
    """Cut bytes, no key, a command, too many attempts."""
    tried = [("riverrun_attempt", b64encode(b"3").decode())]
    assert letter().why_not(3, "commands") is None
    assert letter(headers=tried).why_not(4, "commands") is None
    for mistake, word in (
        ({"value_bytes": 9}, "bytes were kept"),
        ({"key_base64": None}, "no key"),
        ({"topic": "commands"}, "send a new one"),
        ({"headers": tried}, "3 times"),
        ({"stage": "source"}, "belongs to others"),
    ):
        assert word in str(letter(**mistake).why_not(3, "commands"))


def test_what_a_model_learnt_begins_anew_with_it() -> None:
    """After a redefinition, a reset, a state put back; what is kept keeps its count."""
    shared = {"cause": "operator", "step": 40, "time": "2024-05-02T00:00:00+00:00"}
    entries = folded(
        [
            *(change(model, "shadow") for model in ("kept", "anew", "reset", "back")),
            change("kept", "shadow", evidence={"begun": "kept", "learnt": {"kept": 30}}, **shared),
            change("anew", "shadow", evidence={"begun": "fresh", "learnt": {"anew": 0}}, **shared),
            change("reset", "shadow", evidence={"learnt": {"reset": 0}}, **shared),
            change("back", "shadow", evidence={"learnt": {"back": 12}}, **shared),
        ]
    )
    assert {e.model: (e.learnt, e.began_step) for e in entries} == {
        "kept": (30, 41), "anew": (0, 41), "reset": (0, 41), "back": (12, 41)
    }  # fmt: skip
    assert {e.model for e in entries if e.began == shared["time"]} == {"anew"}


def test_a_model_says_why_it_is_what_it_is() -> None:
    """Of its last change; the first says why it began."""
    changed = {"cause": "operator", "who": "eve", "why": "2 % better"}
    (entry,) = folded([change("trees", "shadow"), change("trees", "champion", **changed)])
    assert (entry.why, entry.who, entry.began_why) == ("2 % better", "eve", "declared")
