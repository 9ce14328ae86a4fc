"""Dead letters: by cause, each as it was received, and sent again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from models.spec.personal_data import masking_of
from streams.monitor.store import event_queries
from streams.monitor.store.board import redis_errors
from streams.operations.dead_letter_states import Applied, LetterActions, LetterState, applied_of
from streams.operations.dead_letters import ATTEMPTS_MAX
from streams.web.state.dead_letter_cache import Choice, DeadLetterCache
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest

SHOWN = 100


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return causes with their counts, the newest dead letters of one, and one of them opened."""
    case = view_request.case
    cache = context.dead_letters(case)
    cache.keep_reading()
    choice = Choice(view_request.text("class", 40), view_request.text("cause", 200))
    states, state = await _states(context, case, cache), view_request.text("state", 20)
    rows = [
        row
        for row in reversed(cache.rows)
        if row in choice and state in ("", states[row.position].state)
    ]
    facts: dict[str, Any] = {
        "cache": cache,
        "choice": choice,
        "causes": _causes(cache, states),
        "states": states,
        "state_counts": Counter(became.state for became in states.values()),
        "state": state,
        "rows": rows[:SHOWN],
        "more": max(0, len(rows) - SHOWN),
        "opened": await _opened(case, cache, view_request.text("position", 40)),
        "actions": context.actions.of(case.name, "redrive", "release", "dismiss"),
        "command_line": case.command(
            "dead-letters",
            "list",
            case.file,
            *(("--class", choice.error_class) if choice.error_class else ()),
        ),
    }
    return PageModel("dead_letters.html", "Dead letters", facts)


async def _states(
    context: PageContext, case: Case, cache: DeadLetterCache
) -> dict[str, LetterState]:
    """Return the state of each dead letter, from the board and the journals."""
    opened = await context.board(case)
    with redis_errors(case.settings):
        done = await event_queries.lifecycle(opened.board.source)
    acts = LetterActions.of(asdict(change) for change in done)
    applied: Applied = {}
    if acts.sent:
        read = partial(applied_of, case.settings, case.names, opened.board.count)
        applied = context.recent_cache.latest(("applied", case.name), read).answer or {}
    return cache.states(acts, applied)


def _causes(cache: DeadLetterCache, states: Mapping[str, LetterState]) -> list[dict[str, Any]]:
    total = sum(cache.causes.values())
    open_counts = Counter(
        (row.error_class, row.cause) for row in cache.rows if states[row.position].state == "open"
    )
    return [
        {
            "error_class": error_class,
            "cause": cause,
            "count": count,
            "open": open_counts[error_class, cause],
            "share": 100 * count / total,
            "newest_ms": cache.newest[error_class, cause],
        }
        for (error_class, cause), count in cache.causes.most_common(40)
    ]


async def _opened(case: Case, cache: DeadLetterCache, position: str) -> Mapping[str, Any] | None:
    partition, _, offset = position.partition("/")
    if not (partition.isdigit() and offset.isdigit()):
        return None
    letter = await cache.opened(position)
    if letter is not None:
        shown = letter.as_json(masking_of(case.use_case))
        why_not = letter.why_not(ATTEMPTS_MAX, case.names["commands"])
        return shown | {
            "position": position,
            "why_not": why_not,
            "timestamp_ms": letter.timestamp_ms,
        }
    return None
