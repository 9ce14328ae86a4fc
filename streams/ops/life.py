"""One event's life: what came, what was seen and said and why, the outcome, what it taught; proof.

The answer is `riverrun explain`, run beside the page; with `prove` it derives the prediction again
from the log and compares it to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streams.ops.desk import Desk
from streams.ops.inquiries import FRESH_S, SETTLED_S
from streams.ops.scene import Ask, Case, Scene
from streams.tapes import Tapes

NEWEST = 6


@dataclass(frozen=True, slots=True)
class Spot:
    """A named value on the number line; `at` in percent of its width."""

    name: str
    value: float
    at: float
    tone: str
    kind: str = "dot"


async def view(desk: Desk, ask: Ask) -> Scene:
    """The event that is asked for; without one, the newest to choose from."""
    case = ask.case
    assert case is not None
    event_id, prove = ask.text("id", 256), ask.query.get("prove") == "1"
    facts: dict[str, Any] = {"event_id": event_id, "prove": prove, "inquiry": None, "life": None}
    if not event_id or event_id.startswith("-"):
        facts["newest"] = await _newest(case)
        return Scene("life.html", "One event", facts)
    words = ("explain", str(case.loaded.path), event_id)
    brief = desk.inquiries.known(*words, "--brief")
    if prove:
        inquiry = desk.inquiries.ask(case.settings, *words, fresh_s=SETTLED_S)
    else:
        learnt = brief is not None and brief.answer is not None and brief.answer["example"]
        fresh_s = SETTLED_S if learnt else FRESH_S
        inquiry = desk.inquiries.ask(case.settings, *words, "--brief", fresh_s=fresh_s)
    facts |= {
        "newest": [],
        "inquiry": inquiry,
        "life": inquiry.answer or (brief and brief.answer),
        "command_line": case.command("explain", case.file, event_id),
        "verify": case.command("verify", case.file, event_id),
    }
    if facts["life"] is not None:
        facts |= _told(facts["life"])
    return Scene("life.html", f"Event {event_id}", facts)


def _told(life: Mapping[str, Any]) -> dict[str, Any]:
    said, example = life["prediction"], life["example"]
    line = [] if said is None else number_line(said, example)
    return {
        "line": line,
        "dots": sum(spot.kind in ("dot", "true") for spot in line),
        "reasons": [] if said is None else reasons(said),
    }


def number_line(said: Mapping[str, Any], example: Mapping[str, Any] | None) -> list[Spot]:
    """What was said, what others would have said and what was true, on one scale.

    >>> said = {"value": 12.0, "interval": [2.0, 22.0], "shadows": {"a": 10.0}}
    >>> [(s.kind, round(s.at)) for s in number_line(said, None)]
    [('span-start', 6), ('span-end', 94), ('dot', 50), ('dot', 41)]
    """
    found: list[tuple[str, Any, str, str]] = []
    if said.get("interval"):
        low, high = said["interval"]
        found += [("served", low, "served", "span-start"), ("served", high, "served", "span-end")]
    found.append(("served", said["value"], "served", "dot"))
    for number, (name, value) in enumerate(said["shadows"].items()):
        found.append((name, value, f"m{number % 6}", "dot"))
    if example is not None:
        found.append(("baseline", example["baseline"], "baseline", "dot"))
        found.append(("what was true", example["label"], "good", "true"))
    numbers = [(*spot[:1], float(spot[1]), *spot[2:]) for spot in found if _number(spot[1])]
    if not numbers or not _number(said["value"]):
        return []
    low, high = min(n[1] for n in numbers), max(n[1] for n in numbers)
    room = (high - low) or 1.0
    return [
        Spot(name, value, 6 + 88 * (value - low) / room, tone, kind)
        for name, value, tone, kind in numbers
    ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def reasons(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The contributions as steps from the reference to the answer, each with its bar in percent."""
    top = said.get("contributions")
    if not top:
        return []
    steps = [*top.items(), ("all others", said["rest"])]
    places, at = [], float(said["reference"])
    for name, amount in steps:
        places.append((name, amount, at, at + amount))
        at += amount
    ends = [end for _, _, start, stop in places for end in (start, stop)]
    low, room = min(ends), (max(ends) - min(ends)) or 1.0
    return [
        {
            "name": name,
            "amount": amount,
            "left": 100 * (min(start, stop) - low) / room,
            "width": max(100 * abs(amount) / room, 0.6),
            "up": amount >= 0,
        }
        for name, amount, start, stop in places
    ]


async def _newest(case: Case) -> list[str]:
    """Ids of events that were answered just now, to begin with."""
    topic, found = case.names["predictions"], []
    async with Tapes([topic], case.settings) as tapes:
        for place in tapes.places:
            found += await tapes.last(place, 2)
    found.sort(key=lambda record: -record.timestamp)
    return [str(orjson.loads(record.value)["event_id"]) for record in found[:NEWEST]]
