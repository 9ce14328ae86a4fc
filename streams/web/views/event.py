"""The history of one event: input, features, prediction and reasons, outcome, learning; proof.

The answer comes from `riverrun explain`, run as a subprocess; with `prove` it derives the
prediction again from the log and compares it to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from streams.kafka.topic_reader import TopicReader
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest
from streams.web.state.request_limits import Visitor
from streams.web.state.subprocess_queries import FINAL_S, FRESH_S, SubprocessQuery

NEWEST_MAX = 6
ID_MAX = 256


@dataclass(frozen=True, slots=True)
class ScalePoint:
    """A named value on the number line; `at` in percent of its width."""

    name: str
    value: float
    tone: str
    kind: str
    at: float = 0.0


def explain_args(case: Case, event_id: str, *, prove: bool) -> tuple[str, ...]:
    """Return the command: with `prove` the whole history, else what the topics hold."""
    brief = () if prove else ("--brief",)
    return ("explain", str(case.loaded.path), "--json", *brief, "--", event_id)


def ask(context: PageContext, case: Case, visitor: Visitor, form: Mapping[str, str]) -> str:
    """Start the query of a form; return the address that shows it. Raises `Busy`."""
    event_id, prove = form.get("id", "").strip()[:ID_MAX], form.get("prove") == "1"
    if not event_id:
        raise web.HTTPBadRequest(text="Enter the id of an event.")
    args = explain_args(case, event_id, prove=prove)
    earlier = context.subprocess_queries.known(*args)
    final = prove or _learnt(earlier)
    context.subprocess_queries.ask(
        case.settings, visitor, *args, fresh_s=FINAL_S if final else FRESH_S
    )
    query = {"id": event_id} | ({"prove": "1"} if prove else {})
    return f"/{case.name}/event?{urlencode(query)}"


def _learnt(query: SubprocessQuery | None) -> bool:
    answer = None if query is None else query.answer
    return bool(answer and answer["example"])


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return what is known of the requested event; without one, the newest to choose from.

    A view starts no work: a form does (`ask`).
    """
    case = view_request.case
    event_id, prove = view_request.text("id", ID_MAX), view_request.query.get("prove") == "1"
    facts: dict[str, Any] = {"event_id": event_id, "prove": prove, "query": None, "history": None}
    if not event_id:
        newest = context.recent_cache.latest(("newest", case.name), lambda: _newest(case))
        facts["newest"] = newest
        return PageModel("event.html", "One event", facts)
    brief = context.subprocess_queries.known(*explain_args(case, event_id, prove=False))
    query = context.subprocess_queries.known(*explain_args(case, event_id, prove=prove))
    facts |= {
        "query": query,
        "history": (query and query.answer) or (brief and brief.answer),
        "settled": _learnt(brief),
        "command_line": case.command("explain", case.file, data=[event_id]),
        "verify": case.command("verify", case.file, data=[event_id]),
    }
    if facts["history"] is not None:
        facts |= _prediction_variables(facts["history"])
    return PageModel("event.html", f"Event {event_id}", facts)


def _prediction_variables(life: Mapping[str, Any]) -> dict[str, Any]:
    prediction, example = life["prediction"], life["example"]
    line = [] if prediction is None else number_line(prediction, example)
    return {
        "points": line,
        "dots": sum(point.kind in ("dot", "true") for point in line),
        "reasons": [] if prediction is None else reasons(prediction),
    }


def number_line(
    prediction: Mapping[str, Any], example: Mapping[str, Any] | None
) -> list[ScalePoint]:
    """Return the prediction, those of other models and the outcome, on one scale.

    >>> prediction = {"value": 12.0, "interval": [2.0, 22.0], "shadows": {"a": 10.0}}
    >>> [(s.kind, round(s.at)) for s in number_line(prediction, None)]
    [('span-start', 6), ('span-end', 94), ('dot', 50), ('dot', 41)]
    """
    value = prediction["value"]
    if not _number(value):
        return []
    points: list[ScalePoint] = []

    def add(name: str, value: Any, tone: str, kind: str = "dot") -> None:
        if _number(value):
            points.append(ScalePoint(name, float(value), tone, kind))

    for kind, end in zip(
        ("span-start", "span-end"), prediction.get("interval") or (), strict=False
    ):
        add("served", end, "served", kind)
    add("served", value, "served")
    for number, (name, other) in enumerate(prediction["shadows"].items()):
        add(name, other, f"m{number % 6}")
    if example is not None:
        add("baseline", example["baseline"], "baseline")
        add("outcome", example["label"], "good", "true")
    low = min(point.value for point in points)
    room = (max(point.value for point in points) - low) or 1.0
    return [replace(point, at=6 + 88 * (point.value - low) / room) for point in points]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def reasons(prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the contributions as steps from the reference to the prediction, bars in percent."""
    top = prediction.get("contributions")
    if not top:
        return []
    contributions = [*top.items(), ("other features", prediction["rest"])]
    bars, value = [], float(prediction["reference"])
    for name, amount in contributions:
        bars.append((name, amount, value, value + amount))
        value += amount
    ends = [end for _, _, start, stop in bars for end in (start, stop)]
    low, room = min(ends), (max(ends) - min(ends)) or 1.0
    return [
        {
            "name": name,
            "amount": amount,
            "left": 100 * (min(start, stop) - low) / room,
            "width": max(100 * abs(amount) / room, 0.6),
            "up": amount >= 0,
        }
        for name, amount, start, stop in bars
    ]


async def _newest(case: Case) -> list[str]:
    """Return ids of events with recent predictions."""
    topic, rows = case.names["predictions"], []
    async with TopicReader([topic], case.settings) as reader:
        for partition in reader.topic_partitions:
            rows += [(r, reader.row("predictions", r)) for r in await reader.last(partition, 2)]
    rows.sort(key=lambda one: -one[0].timestamp)
    return [row["event_id"] for _, row in rows if row is not None][:NEWEST_MAX]
