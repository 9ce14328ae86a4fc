"""`riverrun redefine`: the deliberate act by which a changed use case goes on."""

from __future__ import annotations

import asyncio
import getpass
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data
from streams.loading import load
from streams.servers import running
from streams.settings import Settings


class How(StrEnum):
    """What becomes of the state."""

    WARM = "warm"
    KEEP = "keep"
    CLEAN = "clean"


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(redefine)


def redefine(
    usecase: UseCaseName,
    how: Annotated[
        How,
        typer.Option(
            help="keep: windows, waiting predictions and unchanged models stay, what is new begins "
            "beside. warm: the same, with windows and models as if it had seen the whole log. "
            "clean: nothing but the position."
        ),
    ],
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit trail.")],
    who: Annotated[str | None, typer.Option("--who", help="Who asks. Default: your login.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Begin a changed use case under a running state; the choice is written into the journal.

    Stop the workers first. Nothing is written unless all partitions can be carried over. Exit code
    4 says why they cannot. Example: `riverrun redefine flight_eta --how keep --why "new feature"`
    """
    from streams.processes import reexec_if_unsafe

    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.redefinition import Redefinition, Wish

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = Progress("journal entries derived")
    wish = Wish(how.value, who or getpass.getuser(), why)
    act = Redefinition(loaded, settings, wish, lambda partition, seq: progress(seq, seq))
    begun = asyncio.run(act.run())
    progress.done()
    rows = [one.row() for one in begun]
    if json:
        as_json({"definition": loaded.definition, "how": how.value, "partitions": rows})
        return
    table = Table("partition", "journal entry", "models kept", box=None)
    for row in rows:
        entry = "in force already" if row["entry"] is None else str(row["entry"])
        table.add_row(str(row["partition"]), entry, ", ".join(row["kept_models"]) or "none")
    data.print(table)
