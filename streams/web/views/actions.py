"""The actions of the page: commands to every partition, and dead letters sent again.

All were authorised before. Each is written to the page's log with who and why, and shown on the
page until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from aiohttp import web

from schemas.commands import Command, Verb
from streams.monitor.conditions import QUARANTINED
from streams.operations.command_sender import CommandResult, new_command, send_command
from streams.operations.dead_letter_states import DISMISSED, REDRIVEN, record_letters
from streams.operations.dead_letters import ATTEMPTS_MAX, redrive
from streams.web.state.action_log import Action
from streams.web.state.dead_letter_cache import Choice
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case

ANSWER_S_MAX = 60.0
REDRIVE_MAX = 10_000
RELEASE_MAX = 1_000
"""Most events that a command names (schemas/commands.py)."""
TEXT_MAX = 500
OFFERED: tuple[Verb, ...] = ("promote", "rollback", "freeze", "unfreeze")
Form = Mapping[str, str]


async def act(context: PageContext, case: Case, kind: str, form: Form) -> str:
    """Start an action; return the address that shows its progress."""
    if kind not in _STARTERS:
        raise web.HTTPNotFound(text=f"There is no action {kind!r}.")
    start, view = _STARTERS[kind]
    await start(context, case, form)
    await asyncio.sleep(0)  # so that its first step is done when the view is read
    return f"/{case.name}/{view}"


def _text(form: Form, name: str) -> str:
    text = form.get(name, "").strip()[:TEXT_MAX]
    if not text:
        raise web.HTTPBadRequest(text=f"Fill in {name!r}.")
    return text


def _choice(form: Form) -> Choice:
    return Choice(form.get("class", ""), form.get("cause", ""), form.get("position", ""))


async def _command(context: PageContext, case: Case, form: Form) -> None:
    verb, who, why = _text(form, "verb"), _text(form, "who"), _text(form, "why")
    model = form.get("model", "").strip() or None
    if verb not in OFFERED or verb not in get_args(Verb):
        raise web.HTTPBadRequest(text=f"This page does not offer {verb!r}.")
    if verb == "promote" and model not in case.use_case.models:
        raise web.HTTPBadRequest(text=f"There is no model {model!r}.")
    description = f"{verb} {model}" if model else verb
    action = context.actions.begin(case.name, "command", description, who, why)
    outgoing = new_command(verb, who=who, why=why, model=model)
    context.actions.run(action, _send_command(case, action, outgoing))


async def _send_command(case: Case, action: Action, outgoing: Command) -> CommandResult:
    """Send a command and show its result on the action."""

    def show(result: CommandResult) -> None:
        action.total, action.done = result.partitions, len(result.applied)
        action.refused = {result.title(n): why for n, why in sorted(result.refused.items())}
        action.result = result.summary

    result = await send_command(
        outgoing,
        case.settings,
        case.names,
        timeout_s=ANSWER_S_MAX,
        use_case=case.use_case,
        on_progress=show,
    )
    show(result)
    action.state = "done" if action.done == action.total else "not done"
    return result


async def _release(context: PageContext, case: Case, form: Form) -> None:
    choice = replace(_choice(form), error_class=QUARANTINED)
    who, why = _text(form, "who"), _text(form, "why")
    ids = await context.dead_letters(case).quarantined(choice, RELEASE_MAX)
    if not ids:
        raise web.HTTPBadRequest(text="There is no such quarantined outcome.")
    action = context.actions.begin(case.name, "release", f"release {choice.description}", who, why)

    async def send() -> None:
        outgoing = new_command("release", who=who, why=why, event_ids=ids)
        result = await _send_command(case, action, outgoing)
        action.refused |= dict.fromkeys(result.unheld, "no longer quarantined")
        if len(result.unheld) == len(ids):
            action.state = "not done"

    context.actions.run(action, send())


async def _redrive(context: PageContext, case: Case, form: Form) -> None:
    choice, attempts = _choice(form), form.get("attempts", "")
    cap = int(attempts) if attempts.isdigit() and 0 < int(attempts) < 100 else ATTEMPTS_MAX
    who, why = _text(form, "who"), _text(form, "why")
    cache = context.dead_letters(case)
    positions = await cache.open_positions(choice, REDRIVE_MAX)
    description = f"send again {choice.description}"
    action = context.actions.begin(
        case.name, "redrive", description, who, why, total=len(positions)
    )

    async def send() -> None:
        letters = await cache.letters(positions)
        done = await redrive(letters, case.settings, case.names, attempts_max=cap)
        action.done, action.refused = len(done.sent), done.left
        action.result = f"{len(done.sent)} sent again"
        if done.left:
            action.result += f", {len(done.left)} not sent"
        action.state = "done" if done.sent or not done.left else "not done"
        if done.records:
            args = case.use_case, case.settings, REDRIVEN, done.records
            await record_letters(*args, who=who, why=why)

    context.actions.run(action, send())


async def _dismiss(context: PageContext, case: Case, form: Form) -> None:
    choice, who, why = _choice(form), _text(form, "who"), _text(form, "why")
    positions = await context.dead_letters(case).open_positions(choice, REDRIVE_MAX)
    description = f"dismiss {choice.description}"
    action = context.actions.begin(
        case.name, "dismiss", description, who, why, total=len(positions)
    )

    async def record() -> None:
        args = case.use_case, case.settings, DISMISSED, dict.fromkeys(positions, "")
        await record_letters(*args, who=who, why=why)
        action.done, action.state = len(positions), "done"
        action.result = f"{len(positions)} dismissed"

    context.actions.run(action, record())


_STARTERS = {
    "command": (_command, "contest"),
    "redrive": (_redrive, "dead-letters"),
    "dismiss": (_dismiss, "dead-letters"),
    "release": (_release, "dead-letters"),
}
"""Kind of action → what starts it, and the view that shows its progress."""
