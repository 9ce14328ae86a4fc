"""The life of a model on a partition, as a table: which state may follow which, and by what.

The diagram in docs/how-to/OPERATIONS.md is drawn from it; a command changes a state only along it.
A circuit breaker puts a serving model into `withheld`: the model goes on learning and predicting.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.errors import Refused

BEGIN = "[*]"


class Transition(NamedTuple):
    """From one state to another: `by` is a command's verb, or what happened, in words."""

    before: str
    after: str
    by: str


TABLE = (
    Transition(BEGIN, "candidate", "declared"),
    Transition(BEGIN, "champion", "declared as champion"),
    Transition("candidate", "shadow", "has learnt its warm-up"),
    Transition("candidate", "experiment", "experiment"),
    Transition("shadow", "experiment", "experiment"),
    Transition("experiment", "experiment", "experiment"),
    Transition("experiment", "shadow", "drain"),
    Transition("candidate", "champion", "promote"),
    Transition("shadow", "champion", "promote"),
    Transition("experiment", "champion", "promote"),
    Transition("champion", "shadow", "another is promoted"),
    Transition("champion", "shadow", "rollback"),
    Transition("retired", "champion", "rollback"),
    Transition("champion", "champion", "rollback --as-of"),
    Transition("champion", "withheld", "breaker opens"),
    Transition("withheld", "champion", "breaker closes"),
    Transition("experiment", "withheld", "breaker opens"),
    Transition("withheld", "experiment", "breaker closes"),
    Transition("candidate", "retired", "retire"),
    Transition("shadow", "retired", "retire"),
    Transition("experiment", "retired", "retire"),
    Transition("candidate", "candidate", "reset"),
    Transition("shadow", "candidate", "reset"),
    Transition("experiment", "candidate", "reset"),
    Transition("retired", "candidate", "reset"),
    Transition("champion", "champion", "reset"),
    Transition("shadow", "shadow", "a fresh copy takes over"),
    Transition("experiment", "experiment", "a fresh copy takes over"),
    Transition("champion", "champion", "a fresh copy takes over"),
)


def following(state: str, verb: str, model: str) -> str:
    """Return the state that a command leads to; raise `Refused` if it leads to none."""
    for transition in TABLE:
        if transition.before == state and transition.by == verb:
            return transition.after
    where = sorted({t.before for t in TABLE if t.by == verb})
    raise Refused(f"{model} is {state}, and {verb} is for a model that is {' or '.join(where)}")


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {t.before} --> {t.after}: {t.by}" for t in TABLE]
    return "\n".join(lines)
