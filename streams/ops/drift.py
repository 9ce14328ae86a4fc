"""What changed: each feature then and now, when, and what was done."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redis.exceptions import RedisError

from models.personal import masking_of
from streams.monitor import changes
from streams.monitor.figures import Drifted
from streams.ops.boards import unreachable
from streams.ops.charts import Chart, Mark, Series
from streams.ops.desk import Desk
from streams.ops.histograms import Compared, compared
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import number, seconds_of

DAY_S = 86_400
SHOWN = 60


async def view(desk: Desk, ask: Ask) -> Scene:
    """The timeline, the subjects by their newest change, and one of them then and now."""
    case = ask.case
    assert case is not None
    board = (await desk.board(case)).board
    try:
        found = list(await changes.drift(board.source))
        lifecycle = await changes.lifecycle(board.source)
    except (RedisError, OSError) as error:
        raise unreachable(case, error) from error
    shown = [_masked(case, drifted) for drifted in reversed(found)]
    subject = ask.text("subject") or (shown[0]["subject"] if shown else "")
    newest = next((d for d in reversed(found) if d.subject == subject), None)
    charts = [timeline(case, found)] if found else []
    counted = None
    told = None if newest is None else _told(case, newest)
    if told is not None:
        charts.append(told)
    elif subject in case.use_case.features and subject not in masking_of(case.use_case).features:
        since = None if newest is None else newest.since
        question = "feature", case.name, subject, since
        counted = desk.background.latest(question, lambda: compared(case, subject, since))
        if counted.answer is not None:
            charts.append(then_and_now(case, counted.answer))
    facts: dict[str, Any] = {
        "rows": shown[:SHOWN],
        "subject": subject,
        "newest": None if newest is None else _masked(case, newest),
        "counted": counted,
        "features": list(case.use_case.features),
        "done": [c for c in reversed(lifecycle) if c.cause in ("safeguard", "rule", "operator")][
            :8
        ],
        "command_line": case.command("drift", case.file),
    }
    return Scene("drift.html", "Drift", facts, charts)


def _masked(case: Case, drifted: Drifted) -> dict[str, Any]:
    record = masking_of(case.use_case).value("drift", drifted.record)
    return {
        "time": drifted.time,
        "partition": drifted.partition,
        "subject": drifted.subject,
        "was": record["was"],
        "now": record["now"],
        "since": drifted.since,
        "severity": drifted.severity,
        "done": record.get("done", "alert"),
    }


def timeline(case: Case, found: list[Drifted]) -> Chart:
    """How many changes began on each day of event time."""
    days = [int((seconds_of(drifted.since) or 0) // DAY_S) for drifted in found]
    first, last = min(days), max(days)
    x = [day * DAY_S for day in range(first, last + 1)]
    of = {"alarm": "bad", "warning": "warn", "notice": "quiet"}
    counts = Counter(days)
    series = [Series("changes", [counts[int(at // DAY_S)] for at in x], "bars", "quiet")]
    marks = [
        Mark(
            float(seconds_of(d.since) or 0), f"{d.subject}: {d.was} → {d.now}"[:120], of[d.severity]
        )
        for d in found[-40:]
    ]
    return Chart(
        id="timeline",
        title="When it began",
        say="Changes that were noticed, by the day of event time that they are dated to.",
        x=x,
        series=series,
        marks=marks,
        height=170,
        command=case.command("drift", case.file),
    )


def _told(case: Case, drifted: Drifted) -> Chart | None:
    """What the record itself says of both distributions; None for one that says nothing."""
    record = drifted.record
    if drifted.subject in masking_of(case.use_case).features or not record.get("then"):
        return None
    bins = record.get("names") or _between(record["edges"])
    found = Compared(drifted.subject, list(bins), record["then"], record["now_shares"])
    found.then_words, found.now_words = "before it changed", f"since {drifted.since[:10]}"
    return then_and_now(case, found)


def _between(edges: list[float]) -> list[str]:
    return [f"< {number(edges[0])}", *(f"≥ {number(edge)}" for edge in edges)]


def then_and_now(case: Case, found: Compared) -> Chart:
    """One feature's values, then and now, as shares of each."""
    return Chart(
        id="histogram",
        title=f"{found.feature}: then and now",
        say=f"Then: {found.then_words}. Now: {found.now_words}.",
        x=found.edges,
        scale="words",
        x_name=found.feature,
        series=[
            Series("then", [100 * n for n in found.then], "bars", "quiet"),
            Series("now", [100 * n for n in found.now], "bars", "served"),
        ],
        unit="% of events",
        zero=True,
        command=case.command("tail", f"{case.name}.features", "--from-beginning", "--to-end"),
    )
