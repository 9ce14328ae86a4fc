"""`riverrun redefine`: start a changed use case on its present state."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer

from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Who, login_or
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running


class How(StrEnum):
    """What happens to the state."""

    WARM = "warm"
    KEEP = "keep"
    CLEAN = "clean"


def redefine(
    usecase: UseCaseName,
    how: Annotated[
        How,
        typer.Option(
            help="keep: windows, waiting predictions and unchanged models stay, new ones start "
            "beside them. warm: the same, with windows and models as if it had seen the whole log. "
            "clean: nothing but the position."
        ),
    ],
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit trail.")] = "",
    who: Who = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; report what would be kept.")
    ] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Start a changed use case on its present state; the journal records the choice.

    Stop the workers first; a --dry-run may run beside them, and needs no reason. Nothing is written
    unless all partitions can be carried over. Exit code 4 says why they cannot.
    Example: `riverrun redefine flight_eta --how keep --why "new feature"`
    """
    if not why and not dry_run:
        raise typer.BadParameter("give the reason, for the audit trail", param_hint="--why")
    from streams.config.process_env import reexec_if_unsafe

    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.operations.redefine import RedefineRequest, Redefinition

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = ProgressLine("journal entries derived")

    def on_progress(partition: int, seq: int) -> None:
        progress(seq, more=f"partition {partition}")

    request = RedefineRequest(how.value, login_or(who), why)
    redefinition = Redefinition(loaded, settings, request, on_progress, dry_run=dry_run)
    results = asyncio.run(redefinition.run())
    progress.done()
    rows = [result.row() for result in results]
    if json:
        document = {"definition": loaded.definition, "how": how.value, "dry_run": dry_run}
        as_json(document | {"partitions": rows})
        return
    table = TerminalTable("partition", "journal entry", "models kept", box=None)
    for row in rows:
        entry = "in force already" if row["entry"] is None else str(row["entry"])
        table.add_row(str(row["partition"]), entry, ", ".join(row["kept_models"]) or "none")
    data.print(table)
    if dry_run:
        talk.print("Nothing was written: a dry run.")
