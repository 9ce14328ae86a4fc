"""Champion against challengers: what the evidence says so far, what is missing, who decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from streams.monitor import changes, views
from streams.monitor.rows import standing_name
from streams.ops.boards import unreachable
from streams.ops.charts import Chart, Rule, Series
from streams.ops.desk import Desk
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import money, number, percent, seconds_of

QUESTIONS = {
    "worth": "What is served, against the baseline",
    "shadow": "In shadow, against the champion",
    "experiment": "In an experiment, on real answers",
}
VERDICTS = {"better": ("good", "better"), "worse": ("bad", "worse"), "undecided": ("warn", "open")}
COMPARED_MAX = 12


async def view(desk: Desk, ask: Ask) -> Scene:
    """Standings with their history, the models' scores, the acts and what became of them."""
    case = ask.case
    assert case is not None
    board = (await desk.board(case)).board
    try:
        standings = await changes.standings(board.source)
        told = await views.overview(board)
        total = (await views.quality(board)).total
        history = await changes.lifecycle(board.source)
        chosen = sorted(standings, key=_order)[:COMPARED_MAX]
        charts = [
            narrowing(case, n, s, await changes.standing_history(board.source, standing_name(s)))
            for n, s in enumerate(chosen)
        ]
    except (RedisError, OSError) as error:
        raise unreachable(case, error) from error
    facts: dict[str, Any] = {
        "told": told,
        "rows": [_row(n, standing) for n, standing in enumerate(chosen)],
        "models": _models(case, told.champion, total),
        "history": [change for change in reversed(history) if change.cause != "definition"][:40],
        "deeds": desk.deeds.of(case.name, "command"),
        "promotion": case.use_case.promotion,
        "metric": case.use_case.metric,
        "unit": case.use_case.kpi.unit,
        "history_command": case.command("history", case.file),
        "models_command": case.command("models", "list", case.file),
    }
    return Scene("contest.html", "Contest", facts, charts)


def _order(standing: Mapping[str, Any]) -> tuple[Any, ...]:
    place = {"shadow": 1, "experiment": 0, "worth": 2}[standing["question"]]
    return standing["segment"] is not None, place, -standing["gain"]


def _row(number_: int, standing: Mapping[str, Any]) -> dict[str, Any]:
    unit = standing["kpi_unit"]
    low, high = standing["lower"], standing["upper"]
    return {
        **standing,
        "chart": f"gain{number_}",
        "asked": QUESTIONS[standing["question"]],
        "shown": VERDICTS[standing["verdict"]],
        "sure": percent(1 - standing["alpha"], 0 if standing["alpha"] >= 0.01 else 2),
        "gained": money(standing["gain"], unit),
        "between": f"{money(low)} and {money(high, unit)}",
        "recommendation": standing["recommendation"][:1].upper() + standing["recommendation"][1:],
        "missing_words": _missing(standing),
    }


def _missing(standing: Mapping[str, Any]) -> str:
    """What is missing to a verdict, in words."""
    if standing["verdict"] != "undecided":
        at = str(standing["decided_at"] or "")[:10]
        return f"Decided{' at ' + at if at else ''}."
    needed = standing["blocks_needed"]
    if needed is None:
        return "At this difference no amount of evidence would decide it soon."
    blocks = "block" if needed == 1 else "blocks"
    return f"About {number(needed)} more {blocks} decide it, if all goes on as it does."


def narrowing(
    case: Case, n: int, standing: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> Chart:
    """The confidence sequence of one comparison, block by block."""
    return Chart(
        id=f"gain{n}",
        title=f"{standing['model']} against {standing['against']}",
        say=f"Gain an event, in {standing['kpi_unit']}. Once the band leaves zero, it is decided.",
        x=[float(seconds_of(row["block_start"]) or 0) for row in history],
        series=[
            Series(
                "gain",
                [row["gain"] for row in history],
                low=[row["lower"] for row in history],
                high=[row["upper"] for row in history],
            )
        ],
        rules=[Rule(0.0, "no difference")],
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
            "tone": f"m{number_ % 6}",
        }
        for number_, name in enumerate(case.use_case.models)
    ]
