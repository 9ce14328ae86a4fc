"""`riverrun history`: the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from models.moments import moment
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

if TYPE_CHECKING:
    from streams.trail import Act

KINDS = ("command", "change", "definition", "redefinition", "verdict")


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(history)


def history(
    usecase: UseCaseName,
    acts: Annotated[
        bool, typer.Option("--acts", help="Only what an operator, a rule or a safeguard did.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help=f"Only {', '.join(KINDS)}; may be repeated."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only about this model.")] = None,
    who: Annotated[str | None, typer.Option(help="Only by this person or rule.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on, such as 2024-05-01.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest N.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the audit trail: commands, changes of models, definitions, verdicts; who, when, why.

    What was applied in several partitions under one id is one line; its places (PARTITION/STEP)
    are what --as-of takes. Example:
    `riverrun history flight_eta --acts --since 2024-05-01`
    """
    from streams.auditing import audited

    for name in kind or ():
        if name not in KINDS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(KINDS)}")
    start = _start(since)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(load(usecase).use_case, settings)
    progress = Progress("records read")
    found = asyncio.run(audited(settings, names, progress))
    progress.done()
    chosen = [
        act
        for act in found
        if (not acts or act.cause in ("operator", "rule", "safeguard"))
        and (not kind or act.kind in kind)
        and model in (None, act.model)
        and who in (None, act.who)
        and (start is None or act.time >= start)
    ][-(limit or 0) :]
    if json:
        as_json([act.as_json() for act in chosen])
        return
    show(chosen)
    if not chosen:
        talk.print("Nothing of that kind is on record.")


def _start(text: str | None) -> str | None:
    """The time as entries have it."""
    if text is None:
        return None
    found = moment(text) if "T" in text else moment(f"{text}T00:00:00Z")
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write 2024-05-01 or 2024-05-01T08:00:00Z")
    return datetime.fromtimestamp(found, UTC).isoformat()


def show(acts: Iterable[Act]) -> None:
    """One line an act, and one for each change that a command made."""
    table = Table(box=None)
    table.add_column("when", no_wrap=True)
    for name in ("what", "who", "why", "in", "place"):
        table.add_column(name)
    for act in acts:
        where = act.outcome or ",".join(map(str, act.partitions))
        table.add_row(
            act.time[:19].replace("T", " "), act.what, act.who, act.why, where, " ".join(act.places)
        )
        for change in act.changes:
            table.add_row("", f"  {change}")
    data.print(table)
