"""Records of all comparisons after a block, with a recommendation in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.promotion.comparison import Contender
from models.promotion.decider import Decided, Decider
from models.stats.ab_test import AbTest
from models.stats.confidence_sequence import Comparison
from models.worth.time_to_decision import blocks_needed


def standings(decider: Decider, decided: Decided) -> list[dict[str, Any]]:
    """Return the records of all comparisons after a block, in a fixed order."""
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
        "blocks_least": contest.blocks_least,
        "labelled": contest.labelled,
        "missing": contest.missing,
        "gain": contest.mean,
        "lower": lower,
        "upper": upper,
        "worst_lower": worst_lower,
        "worst_upper": worst_upper,
        "alpha": contender.alpha,
        "kpi_unit": use_case.kpi.unit,
        "verdict": "undecided" if decider.unpriced else contest.verdict,
        "not_promised": contest.not_promised,
        "assumes": contest.assumes,
        "strictly": contest.strict_verdict if isinstance(contest, Comparison) else "undecided",
        "decided_at": None if contender.decided is None else _moment(contender.decided),
        "blocks_needed": blocks_needed(contest) if isinstance(contest, Comparison) else None,
        "recommendation": advice(decider, contender),
        "command_id": wish.command_id if wish and wish.contender is contender else None,
        "partitions": list(decided.block.partitions),
        "definition": decided.definition,
    }


def advice(decider: Decider, contender: Contender) -> str:
    """Return what to do now, in words."""
    name, against, contest = contender.model, contender.against, contender.contest
    if decider.unpriced:
        return (
            f"no verdict: {decider.unpriced:,} default labels have no KPI. Declare the fields of "
            "the outcome that they stand for: label_on_timeout={...}"
        )
    if contender.question == "worth":
        return _worth(contest)
    if contender.command_id is not None:
        return f"a rule sent {contender.command_id}"
    if contender.question != decider.deciding:
        return _indicative(decider, contender)
    if contest.verdict == "better":
        forbidden = decider.forbidden(contender)
        if forbidden and forbidden.endswith(contest.not_promised or "\0"):
            return f"decide by hand whether to promote {name}: {forbidden}"
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


def _worth(contest: Comparison | AbTest) -> str:
    advice = {
        "better": "worth it: better than the baseline",
        "worse": "not worth it: the baseline is better",
        "undecided": "wait: not known yet",
    }[contest.verdict]
    doubt = contest.not_promised
    return advice if doubt is None else f"{advice}; not promised here: {doubt}"


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
