"""The audit trail put together from rows, as far as that needs no server."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson

from streams.trail import trail
from tests.test_registry_rules import change

NOON = "2024-05-01T12:0{}:00+00:00"


def order(command_id: str, **rest: Any) -> dict[str, Any]:
    """A command as it is on one partition."""
    given = {"verb": "promote", "model": "trees", "who": "eve", "why": "2 % better"}
    return (
        given | {"command_id": command_id, "evidence": {"gain": 2}, "time": NOON.format(1)} | rest
    )


def standing(verdict: str, minute: int, **rest: Any) -> dict[str, Any]:
    """A verdict as the decider writes it."""
    return {
        "question": "shadow",
        "model": "trees",
        "against": "linear",
        "segment": None,
        "verdict": verdict,
        "command_id": None,
        "gain": 0.5,
        "kpi_unit": "EUR",
        "lower": 0.2,
        "upper": 0.8,
        "blocks": 42,
        "recommendation": "promote trees",
        "time": NOON.format(minute),
    } | rest


def test_a_command_is_one_entry_with_what_became_of_it_in_each_partition() -> None:
    """Applied in 2 of 4, refused in 1 with its reason, one did not answer; what it changed."""
    refusal = {
        "partition": 2,
        "value_base64": b64encode(orjson.dumps(order("promote-1"))).decode(),
        "error": "promotions are frozen",
        "time": NOON.format(2),
    }
    shared = {"command_id": "promote-1", "cause": "operator", "who": "eve", "why": "2 % better"}
    found = trail(
        commands=[order("promote-1") for _ in range(4)],
        lifecycle=[
            change(model, state, from_state=before, partition=n, time=NOON.format(2), **shared)
            for n in (0, 1)
            for model, before, state in (
                ("linear", "champion", "shadow"),
                ("trees", "shadow", "champion"),
            )
        ],
        refusals=[refusal],
        partitions=4,
    )
    (act,) = found
    assert (act.what, act.who, act.why) == ("promote trees", "eve", "2 % better")
    assert act.outcome == "applied in 2 of 4, refused in 1, no answer from 1"
    assert act.refused == {2: "promotions are frozen"}
    assert act.changes == ["linear: champion → shadow", "trees: shadow → champion"]
    assert act.evidence == {"gain": 2}


def test_everything_comes_in_the_order_of_time_with_its_cause() -> None:
    """A definition, its models, a verdict, a safeguard, a redefinition."""
    redefined = {
        "definition": "bbb",
        "redefined": {"before": "aaa", "how": "keep", "who": "ann", "why": "faster"},
        "time": NOON.format(8),
    }
    definition = {
        "definition": "aaa",
        "file": "parcels.py",
        "runtime": "python 3.11",
        "python": "3.11",
        "river": "0.26.1",
        "riverrun": "0.1.0",
        "time": NOON.format(0),
    }
    found = trail(
        lifecycle=[change("linear", "champion", partition=n, time=NOON.format(1)) for n in range(2)]
        + [change("linear", "withheld", cause="safeguard", why="worse", time=NOON.format(5))],
        definitions=[definition, definition],
        verdicts=[
            standing("undecided", 2),
            standing("better", 3),
            standing("better", 4),
            standing("better", 6, command_id="promote-9"),
        ],
        redefined=[redefined | {"partition": n} for n in range(2)],
        partitions=2,
    )
    assert [(act.kind, act.cause) for act in found] == [
        ("definition", "definition"),
        ("change", "definition"),
        ("verdict", "rule"),
        ("change", "safeguard"),
        ("verdict", "rule"),
        ("redefinition", "operator"),
    ]
    assert found[1].partitions == [0, 1]
    assert found[2].what == "trees better than linear (shadow)"
    assert "0.5 EUR a prediction in [0.2, 0.8] after 42 blocks" in found[2].why
    assert found[5].what == "definition aaa → bbb (keep)"
    assert found[5].outcome == "begun in 2 of 2"


def test_a_dead_letter_that_is_no_command_disturbs_nothing() -> None:
    """Whatever bytes were sent to the commands topic."""
    rows = [{"partition": 0, "value_base64": v, "error": "no"} for v in (None, "e30=", "AAAA")]
    found = trail(commands=[order("promote-1")], refusals=rows, partitions=1)
    assert found[0].outcome == "applied in 0 of 1, no answer from 1"
