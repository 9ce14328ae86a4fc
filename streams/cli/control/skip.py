"""`riverrun skip`: set aside a record on which `apply` fails."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.config.use_case_loader import load
from streams.topics.topic_admin import names_of


@spread_options
def skip(
    usecase: UseCaseName,
    partition: Annotated[int, typer.Argument(min=0, metavar="PARTITION", help="Its partition.")],
    offset: Annotated[int, typer.Argument(min=0, metavar="OFFSET", help="Its offset there.")],
    options: CommandOptions,
    input: Annotated[
        Literal["events", "outcomes", "commands", "history"],
        typer.Option("--input", help="The input topic that it is on."),
    ] = "events",
    untold: Annotated[
        bool,
        typer.Option(
            "--untold", help="Skip it although no worker has reported that the record fails."
        ),
    ] = False,
) -> None:
    """Set aside a record on which a partition halts, so that all after it is answered.

    The journal records who did it and why, and the dead-letter topic gets the record with the
    failure's traceback; it is not applied, nor learnt. `riverrun status` names the record and this
    command. `--untold` is for a record that ends the process before a worker can report it. Exit
    code 1 unless it was set aside. Example:
    `riverrun skip flight_eta 3 51234 --why "a date of the year 0"`
    """
    from streams.operations.skip_checks import evidence_of

    settings = options.settings()
    names = names_of(load(usecase).use_case, settings)
    evidence = asyncio.run(
        evidence_of(settings, names, partition=partition, input=input, offset=offset, untold=untold)
    )
    record = {"input": input, "offset": offset}
    command = options.command("skip", record=record, evidence=evidence)
    send(usecase, command, options, {partition: [command]})
