"""`riverrun release`: learn outcomes that were quarantined."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.errors import RiverrunError
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.cli.shared.terminal import complain


@spread_options
def release(
    usecase: UseCaseName,
    event_ids: Annotated[
        list[str], typer.Argument(metavar="EVENT_ID...", help="Events whose outcome is right.")
    ],
    options: CommandOptions,
) -> None:
    """Learn outcomes that were quarantined because their value is not plausible.

    `riverrun dead-letters list USECASE --class quarantined` shows them. Exit code 1 unless all of
    them were quarantined and are learnt now. Example:
    `riverrun release flight_eta 2013-01-09-HA-51 --why "it did take 21 hours"`
    """
    command = options.command("release", event_ids=list(dict.fromkeys(event_ids)))
    result = send(usecase, command, options)
    unheld = result.unheld
    if unheld and not result.waiting:
        complain(
            RiverrunError(
                f"not held: {', '.join(unheld)}. Each was never quarantined, or has been released "
                "or corrected, or its id's retention has ended."
            )
        )
    if unheld:
        raise typer.Exit(1)
