"""`riverrun promote`, `rollback`, `freeze`, `unfreeze`, `release`: what operators tell models."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from schemas.errors import Misdeclared, RiverrunError
from schemas.inputs import Command, Verb
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, complain, data, talk
from streams.loading import check_has, load
from streams.ordering import Obeyed, command, order
from streams.processes import reexec_if_unsafe
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

Who = Annotated[
    str | None, typer.Option("--who", help="Who asks, for the audit trail. Default: your login.")
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the audit trail.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for it.")]
TIMEOUT_S = 30.0


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(promote)
    app.command()(rollback)
    app.command()(freeze)
    app.command()(unfreeze)
    app.command()(experiment)
    app.command()(retire)
    app.command()(reset)
    app.command()(release)


def promote(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The new champion.")],
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Make a model the champion in every partition.

    Exit code 1 unless all partitions have done it. Example:
    `riverrun promote flight_eta trees --why "2 % better for a week"`
    """
    check_has(load(usecase).use_case, model)
    _order(usecase, command("promote", who=_who(who), why=why, model=model), timeout, prefix, json)


def experiment(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The challenger.")],
    why: Why,
    share: Annotated[
        float | None,
        typer.Option("--share", min=0.0, max=1.0, help="Share of the units that it answers."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Give it no more units.")] = False,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Let a challenger answer a share of the units, or end that.

    Example: `riverrun experiment flight_eta trees --share 0.2 --why "on real answers"`
    """
    check_has(load(usecase).use_case, model)
    if end is (share is not None):
        raise Misdeclared("An experiment begins or ends.", mend="Give --share 0.2, or --end.")
    verb: Verb = "drain" if end else "experiment"
    wish = command(verb, who=_who(who), why=why, model=model, share=share)
    _order(usecase, wish, timeout, prefix, json)


def retire(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The challenger.")],
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Let a challenger neither predict nor learn any more; `reset` brings it back, fresh.

    Example: `riverrun retire flight_eta trees --why "worse for two months"`
    """
    check_has(load(usecase).use_case, model)
    _order(usecase, command("retire", who=_who(who), why=why, model=model), timeout, prefix, json)


def reset(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model.")],
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Put a fresh model in the place of one; until it has its warm-up, others answer for it.

    Example: `riverrun reset flight_eta trees --why "learnt broken labels"`
    """
    check_has(load(usecase).use_case, model)
    _order(usecase, command("reset", who=_who(who), why=why, model=model), timeout, prefix, json)


def rollback(
    usecase: UseCaseName,
    why: Why,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="As it was then: PARTITION/STEP as `history` has it, or a time.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --as-of: the champion itself, in place of the one before."),
    ] = None,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Return to the champion before, in every partition: as it is now, or as it was at a place.

    With one PLACE, the other partitions are as of its time. Exit code 6 if the log does not reach
    back to it. Example:
    `riverrun rollback flight_eta --as-of 0/51234 --why "the labels broke after it"`
    """
    wish = command("rollback", who=_who(who), why=why)
    if as_of is None:
        if model is not None:
            raise Misdeclared(
                "--model is for --as-of.", mend="Give a PLACE, or `riverrun promote`."
            )
        _order(usecase, wish, timeout, prefix, json)
        return
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.past_definitions import Unprovable
    from streams.recovery import Diverged
    from streams.rolling_back import Rollback

    if model is not None:
        check_has(load(usecase).use_case, model)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    try:
        back = asyncio.run(Rollback(load(usecase), settings, as_of, model).prepared(wish))
    except (Unprovable, Diverged) as error:
        complain(error)
        raise typer.Exit(6) from None
    for line in back.said:
        talk.print(line, markup=False)
    _order(usecase, back.wish, timeout, prefix, json, back.each)


def freeze(
    usecase: UseCaseName,
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Let nobody and no rule promote a model until `unfreeze`.

    Example: `riverrun freeze flight_eta --why "holiday traffic"`
    """
    _order(usecase, command("freeze", who=_who(who), why=why), timeout, prefix, json)


def unfreeze(
    usecase: UseCaseName,
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Allow promotions again.

    Example: `riverrun unfreeze flight_eta --why "holidays are over"`
    """
    _order(usecase, command("unfreeze", who=_who(who), why=why), timeout, prefix, json)


def release(
    usecase: UseCaseName,
    event_ids: Annotated[
        list[str], typer.Argument(metavar="EVENT_ID...", help="Whose outcome is right after all.")
    ],
    why: Why,
    who: Who = None,
    timeout: Timeout = TIMEOUT_S,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Learn outcomes that were quarantined because their value is not plausible.

    `riverrun dead-letters list USECASE --class quarantined` shows them. Exit code 1 unless all of
    them were held and are learnt now. Example:
    `riverrun release flight_eta 2013-01-09-HA-51 --why "it did take 21 hours"`
    """
    wish = command("release", who=_who(who), why=why, event_ids=list(dict.fromkeys(event_ids)))
    obeyed = _order(usecase, wish, timeout, prefix, json)
    released = {i for said in obeyed.evidence.values() for i in said.get("released", ())}
    left = [i for i in wish.event_ids or () if i not in released]
    if left and not obeyed.waiting:
        complain(
            RiverrunError(
                f"not held: {', '.join(left)}. Each was never quarantined, or has been released "
                "or corrected, or its id's memory has ended."
            )
        )
    if left:
        raise typer.Exit(1)


def _who(given: str | None) -> str:
    return given or getpass.getuser()


def _order(
    usecase: str,
    wish: Command,
    timeout: float,
    prefix: str | None,
    json: bool,
    each: Mapping[int, Sequence[Command]] | None = None,
) -> Obeyed:
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(load(usecase).use_case, settings)
    progress = Progress("partitions that have answered")

    def show(obeyed: Obeyed) -> None:
        progress(obeyed.partitions - len(obeyed.waiting), obeyed.partitions)

    obeyed = asyncio.run(
        order(wish, settings, names, timeout_s=timeout, on_progress=show, each=each)
    )
    progress.done()
    if json:
        as_json(obeyed.as_json())
    else:
        data.print(f"{wish.verb}: {obeyed.summary}  ({wish.command_id})", markup=False)
    for number, reason in sorted(obeyed.refused.items()):
        complain(RiverrunError(f"partition {number} refused: {reason}"))
    if obeyed.waiting:
        complain(
            RiverrunError(
                f"partitions {obeyed.waiting} did not answer within {timeout:g} s. The command "
                "stays on its topic and is applied once a worker takes it: see `riverrun status "
                f"{usecase}` and `riverrun history {usecase}`."
            )
        )
    if len(obeyed.applied) < obeyed.partitions:
        raise typer.Exit(1)
    return obeyed
