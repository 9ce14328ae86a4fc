"""Champion against challengers: the evidence so far, what is missing, who decides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streams.monitor.store import event_queries, queries
from streams.monitor.store.board import redis_errors
from streams.monitor.store.record_rows import standing_name
from streams.web.charts.verdict_sentences import assumption_text, confidence_text
from streams.web.render.chart import Chart, ReferenceLine, Series
from streams.web.render.formatting import money, number, seconds_of
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest

QUESTIONS = {
    "worth": "Served predictions against the baseline",
    "shadow": "In shadow against the champion",
    "experiment": "In an experiment, on served predictions",
}
VERDICTS = {"better": ("good", "better"), "worse": ("bad", "worse"), "undecided": ("", "undecided")}
COMPARED_MAX = 12


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return standings with their history, the models' scores, and the actions."""
    case = view_request.case
    board = (await context.board(case)).board
    with redis_errors(case.settings):
        standings = await event_queries.standings(board.source)
        overview = await queries.overview(board)
        total = (await queries.quality(board)).total
        history = await event_queries.lifecycle(board.source)
        now, earlier = _partition_standings(case, standings, overview.champions)
        chosen = sorted(now, key=_order)[:COMPARED_MAX]
        charts = [
            confidence_sequence_chart(
                case, index, s, await event_queries.standing_history(board.source, standing_name(s))
            )
            for index, s in enumerate(chosen)
        ]
    facts: dict[str, Any] = {
        "overview": overview,
        "rows": [_row(case, index, standing) for index, standing in enumerate(chosen)],
        "earlier": [_row(case, 0, standing) for standing in sorted(earlier, key=_newest)[:20]],
        "models": _models(case, overview.champion, total),
        "history": [change for change in reversed(history) if change.cause != "definition"][:40],
        "actions": context.actions.of(case.name, "command"),
        "promotion": case.use_case.promotion,
        "metric": case.use_case.metric,
        "unit": case.use_case.kpi.unit,
        "history_command": case.command("history", case.file),
        "models_command": case.command("models", "list", case.file),
    }
    return PageModel("challengers.html", "Contest", facts, charts)


def _partition_standings(
    case: Case, standings: Sequence[Mapping[str, Any]], champions: Collection[str]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the comparisons that continue, and those that ended.

    A comparison ends with another champion, or when its model is the champion or not declared.
    """
    now: list[Mapping[str, Any]] = []
    earlier: list[Mapping[str, Any]] = []
    for standing in standings:
        continues = (
            standing["question"] == "worth"
            or not champions
            or (
                standing["against"] in champions
                and standing["model"] in case.use_case.models
                and standing["model"] not in champions
            )
        )
        (now if continues else earlier).append(standing)
    return now, earlier


def _newest(standing: Mapping[str, Any]) -> float:
    return -(seconds_of(standing["block_start"]) or 0.0)


def _order(standing: Mapping[str, Any]) -> tuple[Any, ...]:
    rank = {"shadow": 1, "experiment": 0, "worth": 2}[standing["question"]]
    return standing["segment"] is not None, rank, -standing["gain"]


def _row(case: Case, index: int, standing: Mapping[str, Any]) -> dict[str, Any]:
    unit = standing["kpi_unit"]
    return {
        **standing,
        "chart": f"gain{index}",
        "question_text": QUESTIONS[standing["question"]],
        "verdict_pill": VERDICTS[standing["verdict"]],
        "confidence": confidence_text(case, standing),
        "gain_text": money(standing["gain"], unit),
        "recommendation": standing["recommendation"][:1].upper() + standing["recommendation"][1:],
        "decision_text": _decision_text(standing),
        "doubt": _doubt(standing),
    }


def _doubt(standing: Mapping[str, Any]) -> str | None:
    """Return why the verdict is not promised, unless the recommendation says so already."""
    doubt: str | None = standing.get("not_promised")  # an older riverrun's record has none
    return None if doubt is None or doubt in standing["recommendation"] else doubt


def _decision_text(standing: Mapping[str, Any]) -> str:
    """Return what is missing to a verdict, in words."""
    if standing["verdict"] != "undecided":
        at = str(standing["decided_at"] or "")[:10]
        return f"Decided{' at ' + at if at else ''}.{assumption_text(standing)}"
    if standing["blocks"] < standing["blocks_least"]:
        return f"A decision needs at least {standing['blocks_least']} blocks."
    needed = standing["blocks_needed"]
    if needed is None:
        return "The difference is too small to be decided soon."
    blocks = "block" if needed == 1 else "blocks"
    return f"About {number(needed)} more {blocks} decide it at this difference."


def confidence_sequence_chart(
    case: Case, n: int, standing: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> Chart:
    """Return the confidence sequence of one comparison, block by block."""
    return Chart(
        id=f"gain{n}",
        title=f"{standing['model']} against {standing['against']}",
        caption=f"Gain an event in {standing['kpi_unit']}, with its confidence sequence; decided "
        "once it excludes zero.",
        x=[float(seconds_of(row["block_start"]) or 0) for row in history],
        series=[
            Series(
                "gain",
                [row["gain"] for row in history],
                low=[row["lower"] for row in history],
                high=[row["upper"] for row in history],
            )
        ],
        rules=[ReferenceLine(0.0, "no difference")],
        unit=standing["kpi_unit"],
        group="time",
        narrows=True,
        command=case.command(
            *("tail", f"{case.name}.verdicts", "--from-beginning", "--to-end"),
            *("--where", f"model={standing['model']}"),
            *("--where", f"question={standing['question']}"),
        ),
    )


def _models(case: Case, champion: str | None, total: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "champion": name == champion,
            "score": total.get(name),
            "tone": f"m{index % 6}",
        }
        for index, name in enumerate(case.use_case.models)
    ]
