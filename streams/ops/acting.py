"""The acts that this page offers: commands to every partition, and dead letters sent again.

All were authorised before they come here. Each is written to the log of the page with who and why,
and shown on the page until it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import get_args

from aiohttp import web
from aiokafka.errors import KafkaError

from schemas.errors import RiverrunError
from schemas.inputs import Command, Verb
from streams.dead_letters import ATTEMPTS_MAX, redrive
from streams.monitor.signs import QUARANTINED
from streams.ops.deeds import Deed
from streams.ops.desk import Desk
from streams.ops.letterbox import Choice
from streams.ops.scene import Case
from streams.ordering import Obeyed, command, order

log = logging.getLogger("riverrun.ops")

ANSWER_S_MAX = 60.0
REDRIVE_MAX = 10_000
RELEASE_MAX = 1_000
"""A command names no more events (schemas/inputs.py)."""
TEXT_MAX = 500
OFFERED: tuple[Verb, ...] = ("promote", "rollback", "freeze", "unfreeze")
Form = Mapping[str, str]


async def act(desk: Desk, case: Case, deed: str, form: Form) -> str:
    """Begin an act; gives the address on which its course is seen."""
    if deed == "command":
        return _command(desk, case, form)
    if deed == "redrive":
        return await _redrive(desk, case, form)
    if deed == "release":
        return await _release(desk, case, form)
    raise web.HTTPNotFound(text=f"There is no act {deed!r}.")


def _text(form: Form, name: str) -> str:
    text = form.get(name, "").strip()[:TEXT_MAX]
    if not text:
        raise web.HTTPBadRequest(text=f"Say {name}.")
    return text


def _command(desk: Desk, case: Case, form: Form) -> str:
    verb, who, why = _text(form, "verb"), _text(form, "who"), _text(form, "why")
    model = form.get("model", "").strip() or None
    if verb not in OFFERED or verb not in get_args(Verb):
        raise web.HTTPBadRequest(text=f"{verb!r} is nothing that this page offers.")
    if verb == "promote" and model not in case.use_case.models:
        raise web.HTTPBadRequest(text=f"There is no model {model!r}.")
    words = f"{verb} {model}" if model else verb
    deed = desk.deeds.begin(case.name, "command", words, who, why)
    log.warning("%s: %s by %s: %s", case.name, words, who, why)
    desk.deeds.run(_ordered(case, deed, command(verb, who=who, why=why, model=model)))
    return f"/{case.name}/contest"


async def _ordered(case: Case, deed: Deed, wish: Command) -> Obeyed | None:
    """Send it, and show on the deed what becomes of it; None if it could not be sent."""

    def show(obeyed: Obeyed) -> None:
        deed.total, deed.done = obeyed.partitions, len(obeyed.applied)
        deed.refused = {f"partition {n}": why for n, why in sorted(obeyed.refused.items())}
        deed.result = obeyed.summary

    try:
        obeyed = await order(
            wish, case.settings, case.names, timeout_s=ANSWER_S_MAX, on_progress=show
        )
        show(obeyed)
        deed.state = "done" if deed.done == deed.total else "not done"
    except (RiverrunError, KafkaError, OSError) as error:
        deed.state, deed.result = "not done", _said(error)
        return None
    return obeyed


async def _release(desk: Desk, case: Case, form: Form) -> str:
    choice = Choice(QUARANTINED, form.get("cause", ""), form.get("place", ""))
    who, why = _text(form, "who"), _text(form, "why")
    ids = await desk.letterbox(case).held(choice, RELEASE_MAX)
    if not ids:
        raise web.HTTPBadRequest(text="There is no such outcome to be released.")
    deed = desk.deeds.begin(case.name, "release", f"release {choice.words}", who, why)
    log.warning("%s: %s by %s: %s", case.name, deed.words, who, why)
    wish = command("release", who=who, why=why, event_ids=ids)

    async def send() -> None:
        obeyed = await _ordered(case, deed, wish)
        if obeyed is None:
            return
        learnt = {i for said in obeyed.evidence.values() for i in said.get("released", ())}
        left = [i for i in ids if i not in learnt]
        deed.result = f"{len(learnt)} learnt, {obeyed.summary}"
        deed.refused |= dict.fromkeys(left, "not held any more")
        if left and not learnt:
            deed.state = "not done"

    desk.deeds.run(send())
    await asyncio.sleep(0)
    return f"/{case.name}/dead-letters"


async def _redrive(desk: Desk, case: Case, form: Form) -> str:
    choice = Choice(form.get("class", ""), form.get("cause", ""), form.get("place", ""))
    attempts = form.get("attempts", "")
    cap = int(attempts) if attempts.isdigit() and 0 < int(attempts) < 100 else ATTEMPTS_MAX
    who, why = _text(form, "who"), _text(form, "why")
    box = desk.letterbox(case)
    chosen = await box.chosen(choice, REDRIVE_MAX)
    deed = desk.deeds.begin(case.name, "redrive", f"send again {choice.words}", who, why)
    deed.total = len(chosen)
    log.warning("%s: %s by %s: %s", case.name, deed.words, who, why)

    async def send() -> None:
        try:
            letters = await box.letters(chosen)
            done = await redrive(letters, case.settings, case.names, attempts_max=cap)
            deed.done, deed.refused = len(done.sent), done.left
            deed.result = f"{len(done.sent)} sent again"
            if done.left:
                deed.result += f", {len(done.left)} left where they are"
            deed.state = "done" if done.sent or not done.left else "not done"
            box.sent_again(done.sent)
        except (RiverrunError, KafkaError, OSError) as error:
            deed.state, deed.result = "not done", _said(error)

    desk.deeds.run(send())
    await asyncio.sleep(0)
    return f"/{case.name}/dead-letters"


def _said(error: Exception) -> str:
    """What failed, without what a client's error may carry about the connection."""
    return str(error) if isinstance(error, RiverrunError) else f"Kafka: {type(error).__name__}"
