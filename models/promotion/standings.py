"""What the decider says after a block: a record of each comparison, with what to do, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.deciding.contender import Contender
from models.deciding.decider import Decided, Decider
from models.evidence.confidence_sequence import Comparison
from models.evidence.foresight import blocks_needed


def standings(decider: Decider, decided: Decided) -> list[dict[str, Any]]:
    """Standing records of all comparisons after a block, in a fixed order."""
    return [_standing(decider, decided, contender) for contender in decided.contenders]


def _standing(decider: Decider, decided: Decided, contender: Contender) -> dict[str, Any]:
    contest, use_case = contender.contest, decider.use_case
    lower, upper = contest.interval
    worst_lower, worst_upper = contest.worst_case
    wish = decided.wish
    return {
        "use_case": use_case.name,
        "question": contender.question,
        "model": contender.model,
        "against": contender.against,
        "segment": None,
        "block_start": _moment(decided.block.start),
        "blocks": contest.seen,
        "labelled": contest.labelled,
        "missing": contest.missing,
        "gain": contest.mean,
        "lower": lower,
        "upper": upper,
        "worst_lower": worst_lower,
        "worst_upper": worst_upper,
        "alpha": contest.alpha,
        "kpi_unit": use_case.kpi.unit,
        "verdict": contest.verdict,
        "strictly": contest.strict_verdict if isinstance(contest, Comparison) else "undecided",
        "decided_at": None if contender.decided is None else _moment(contender.decided),
        "blocks_needed": blocks_needed(contest) if isinstance(contest, Comparison) else None,
        "recommendation": advice(decider, contender),
        "command_id": wish.command_id if wish and wish.contender is contender else None,
        "partitions": list(decided.block.partitions),
        "definition": decided.definition,
    }


def advice(decider: Decider, contender: Contender) -> str:
    """What to do now, in words."""
    name, against, contest = contender.model, contender.against, contender.contest
    if contender.question == "worth":
        return _worth(contest.verdict)
    if contender.command_id is not None:
        return f"a rule sent {contender.command_id}"
    if contender.question != decider.deciding:
        return _indicative(decider, contender)
    if contest.verdict == "better":
        forbidden = decider.forbidden(contender)
        return f"wait: {forbidden}" if forbidden else f"promote {name}"
    if contender.runs_away:
        return f"retire or reset {name}: {contender.run_away}"
    if contender.is_worse:
        if contender.question == "experiment":
            return f"end the experiment with {name}: {against} is better"
        return f"retire or reset {name}: {against} is better"
    if contest.verdict == "worse":
        return f"keep {against}: {name} is not better by the margin asked for"
    return "wait: not known yet"


def _worth(verdict: str) -> str:
    return {
        "better": "worth it: better than the baseline",
        "worse": "not worth it: the baseline is better",
        "undecided": "wait: not known yet",
    }[verdict]


def _indicative(decider: Decider, contender: Contender) -> str:
    if contender.question == "shadow":
        learns = (
            "every model learns from all of it"
            if decider.use_case.contest.shared
            else "each model learns from its own arm"
        )
        return f"indicative only: answers act on outcomes ({learns}); an experiment decides"
    return "shadow decides: answers do not act on outcomes"


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)
