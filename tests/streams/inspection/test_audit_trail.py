"""The audit trail put together from rows, as far as that needs no server."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest

from streams.inspection.audit_trail import trail
from tests.streams.inspection.test_model_registry import change

NOON = "2024-05-01T12:0{}:00+00:00"


def order(command_id: str, **rest: Any) -> dict[str, Any]:
    """A command as it is on one partition."""
    fields = {"verb": "promote", "model": "trees", "who": "eve", "why": "2 % better"}
    return (
        fields | {"command_id": command_id, "evidence": {"gain": 2}, "time": NOON.format(1)} | rest
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
    acts = trail(
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
    (act,) = acts
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
    acts = trail(
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
    assert [(act.kind, act.cause) for act in acts] == [
        ("definition", "definition"),
        ("change", "definition"),
        ("verdict", "rule"),
        ("change", "safeguard"),
        ("verdict", "rule"),
        ("redefinition", "operator"),
    ]
    assert acts[1].partitions == [0, 1]
    assert acts[2].what == "trees better than linear (shadow)"
    assert "0.5 EUR a prediction in [0.2, 0.8] after 42 blocks" in acts[2].why
    assert acts[5].what == "definition aaa → bbb (keep)"
    assert acts[5].outcome == "begun in 2 of 2"


def test_a_dead_letter_that_is_no_command_disturbs_nothing() -> None:
    """Whatever bytes were sent to the commands topic."""
    rows = [{"partition": 0, "value_base64": v, "error": "no"} for v in (None, "e30=", "AAAA")]
    acts = trail(commands=[order("promote-1")], refusals=rows, partitions=1)
    assert acts[0].outcome == "applied in 0 of 1, no answer from 1"


def test_a_command_is_shown_with_all_that_was_asked() -> None:
    """The share of an experiment, the events of a release, the place of an --as-of, a time."""
    acts = trail(
        commands=[
            order("e-1", verb="experiment", share=0.2),
            order("x-1", verb="release", model=None, event_ids=["o1", "o2"]),
            order("w-1", verb="set-watermark", model=None, watermark="2024-05-01T12:00:00Z"),
            order("s-1", verb="skip", model=None, record={"input": "outcomes", "offset": 41}),
            *(
                order(
                    "r-1",
                    verb="rollback",
                    partition=n,
                    model_state={"as_of": position, "chunks": 1},
                )
                for n, position in ((1, "1/7"), (0, "0/51"))
            ),
        ],
        lifecycle=[],
        partitions=2,
    )
    by_command = {act.command_id: act for act in acts}
    assert by_command["e-1"].what == "experiment trees to 20 % of the units"
    assert by_command["x-1"].what == "release o1, o2"
    assert by_command["w-1"].what == "set-watermark to 2024-05-01T12:00:00Z"
    assert by_command["s-1"].what == "skip outcomes offset 41"
    assert by_command["r-1"].what == "rollback trees as of 0/51, 1/7"
    for command_id, name, value in (
        ("e-1", "share", 0.2), ("x-1", "event_ids", ["o1", "o2"]), ("r-1", "as_of", ["0/51", "1/7"])
    ):  # fmt: skip
        command = by_command[command_id].as_json()["command"]
        assert command[name] == value
        assert "model_state" not in command
    many = trail(
        commands=[order("x-2", verb="release", model=None, event_ids=[f"o{n}" for n in range(9)])],
        partitions=1,
    )
    assert many[0].what == "release o0, o1, o2, o3, o4 and 4 more"


def test_a_refusal_is_shown_with_its_reason() -> None:
    """Once for the partitions that say the same."""
    raw = b64encode(orjson.dumps(order("promote-1"))).decode()
    refusals = [
        {"partition": n, "value_base64": raw, "error": why, "time": NOON.format(2)}
        for n, why in enumerate(("frozen", "frozen", "there is no model 'trees'"))
    ]
    (act,) = trail(commands=[order("promote-1")], refusals=refusals, partitions=3)
    assert act.notes == ["refused in 0, 1: frozen", "refused in 2: there is no model 'trees'"]


@pytest.mark.parametrize(
    ("held", "outcome", "changes"),
    [
        ([], "0 of 2 learnt, applied in 2 of 2", ["not held: o1", "not held: o2"]),
        (["o2"], "1 of 2 learnt, applied in 2 of 2", ["not held: o1"]),
        (["o1", "o2"], "2 of 2 learnt, applied in 2 of 2", []),
    ],
)
def test_a_release_says_what_it_released(held: list[str], outcome: str, changes: list[str]) -> None:
    """Every partition applies it; what was held anywhere is what was learnt."""
    shared = {"command_id": "x-1", "cause": "operator", "who": "eve", "why": "right after all"}
    (act,) = trail(
        commands=[order("x-1", verb="release", model=None, event_ids=["o1", "o2"])] * 2,
        lifecycle=[
            change("(quarantine)", "released", partition=0, evidence={"released": []}, **shared),
            change("(quarantine)", "released", partition=1, evidence={"released": held}, **shared),
        ],
        partitions=2,
    )
    assert act.outcome == outcome
    assert act.notes == changes


def test_a_redefinition_says_which_models_begin_anew() -> None:
    """With what each had learnt, all partitions together; there are no further lines of it."""
    why = "definition bbb was begun (keep): faster"
    redefined = {"before": "aaa", "how": "keep", "who": "ann", "why": "faster"}
    acts = trail(
        redefined=[
            {"partition": n, "definition": "bbb", "redefined": redefined, "time": NOON.format(3)}
            for n in (0, 1)
        ],
        lifecycle=[
            change(model, state, partition=n, why=why, evidence=evidence)
            for n in (0, 1)
            for model, state, evidence in (
                ("linear", "champion", {"begun": "kept", "learnt": {"linear": 1_000}}),
                ("trees", "shadow", {"begun": "fresh", "learnt": {"trees": 0}}),
            )
        ],
        partitions=2,
    )
    assert [act.notes for act in acts] == [
        ["linear is kept, champion, 2,000 learnt", "trees starts over, shadow, 0 learnt"]
    ]
