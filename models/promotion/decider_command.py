"""The command that a rule sends: a function of the block that decided it, its time included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from models.promotion.decider import Decided, Proposal
from models.spec.use_case import UseCase
from schemas.commands import Command


def order(use_case: UseCase, decided: Decided, wish: Proposal) -> Command:
    """Return the proposal as a command; its `time` is when the block closed."""
    settled = decided.block.start + use_case.window + use_case.horizon
    contest = wish.contender.contest
    lower, upper = contest.interval
    return Command(
        command_id=wish.command_id,
        verb=wish.verb,  # type: ignore[arg-type]
        model=wish.model,
        who="decider",
        why=wish.why,
        time=datetime.fromtimestamp(0, UTC) + timedelta(seconds=settled),
        evidence={
            "question": wish.contender.question,
            "against": wish.contender.against,
            "gain": contest.mean,
            "lower": lower,
            "upper": upper,
            "alpha": wish.contender.alpha,
            "blocks": contest.seen,
            "labelled": contest.labelled,
            "missing": contest.missing,
            "kpi_unit": use_case.kpi.unit,
            "block_start": decided.block.start,
        },
    )
