"""What could not be used: by cause, each as it was received, and sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.personal import masking_of
from streams.dead_letters import ATTEMPTS_MAX
from streams.ops.desk import Desk
from streams.ops.letterbox import Choice, Letterbox
from streams.ops.scene import Ask, Case, Scene

SHOWN = 100


async def view(desk: Desk, ask: Ask) -> Scene:
    """Causes with their counts, the newest letters of the chosen one, and one of them opened."""
    case = ask.case
    assert case is not None
    box = desk.letterbox(case)
    box.look()
    choice = Choice(ask.text("class", 40), ask.text("cause", 200))
    lines = [line for line in reversed(box.lines) if line in choice]
    facts: dict[str, Any] = {
        "box": box,
        "choice": choice,
        "causes": _causes(box),
        "lines": lines[:SHOWN],
        "more": max(0, len(lines) - SHOWN),
        "opened": await _opened(case, box, ask.text("place", 40)),
        "deeds": desk.deeds.of(case.name, "redrive", "release"),
        "attempts_max": ATTEMPTS_MAX,
        "command_line": case.command(
            "dead-letters",
            "list",
            case.file,
            *(("--class", choice.error_class) if choice.error_class else ()),
        ),
    }
    return Scene("dead_letters.html", "Dead letters", facts)


def _causes(box: Letterbox) -> list[dict[str, Any]]:
    total = sum(box.causes.values())
    return [
        {
            "error_class": error_class,
            "cause": cause,
            "count": count,
            "share": 100 * count / total,
            "newest_ms": box.newest[error_class, cause],
        }
        for (error_class, cause), count in box.causes.most_common(40)
    ]


async def _opened(case: Case, box: Letterbox, place: str) -> Mapping[str, Any] | None:
    partition, _, offset = place.partition("/")
    if not (partition.isdigit() and offset.isdigit()):
        return None
    for letter in await box.letters([place]):
        shown = letter.as_json(masking_of(case.use_case))
        why_not = letter.why_not(ATTEMPTS_MAX, case.names["commands"])
        return shown | {"why_not": why_not, "timestamp_ms": letter.timestamp_ms}
    return None
