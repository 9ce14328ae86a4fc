"""`riverrun history`: the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.timestamps import moment
from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.naming import number_of
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of

if TYPE_CHECKING:
    from streams.inspection.audit_trail import AuditEntry

KINDS = ("command", "change", "definition", "redefinition", "verdict")


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
        str | None, typer.Option(metavar="TIME", help="Only from this time on, such as 2024-05-01.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest N.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the audit trail: commands, changes of models, definitions, verdicts; who, when, why.

    A command that several partitions applied is one line; --as-of takes its positions
    (PARTITION/STEP). Example: `riverrun history flight_eta --acts --since 2024-05-01`
    """
    from streams.inspection.audit_trail import audited

    for name in kind or ():
        if name not in KINDS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(KINDS)}")
    start = _start(since)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(load(usecase).use_case, settings)
    progress = ProgressLine("records read")
    entries = asyncio.run(audited(settings, names, progress))
    progress.done()
    chosen = [
        entry
        for entry in entries
        if (not acts or entry.cause in ("operator", "rule", "safeguard"))
        and (not kind or entry.kind in kind)
        and model in (None, entry.model)
        and who in (None, entry.who)
        and (start is None or entry.time >= start)
    ][-(limit or 0) :]
    if json:
        as_json([entry.as_json() for entry in chosen])
        return
    show(chosen)
    if not chosen:
        talk.print("The audit trail has no such entry.")


def _start(text: str | None) -> str | None:
    """Return the time as entries have it."""
    if text is None:
        return None
    seconds = moment(text) if "T" in text else moment(f"{text}T00:00:00Z")
    if seconds is None:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2024-05-01 or 2024-05-01T08:00:00Z"
        )
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def show(entries: Iterable[AuditEntry]) -> None:
    """Print one line an entry, and one for each change that a command made."""
    table = TerminalTable(box=None)
    table.add_column("when", no_wrap=True)
    for name in ("what", "who", "why", "in", "position"):
        table.add_column(name)
    for entry in entries:
        where = entry.outcome or ",".join(map(number_of, entry.partitions))
        table.add_row(
            entry.time[:19].replace("T", " "),
            *(entry.what, entry.who, entry.why, where, " ".join(entry.positions)),
        )
        for line in (*entry.changes, *entry.notes):
            table.add_row("", f"  {line}")
    data.print(table)
