"""`riverrun promote`: make a model the champion."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.config.use_case_loader import check_has, load


@spread_options
def promote(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The new champion.")],
    options: CommandOptions,
) -> None:
    """Make a model the champion in every partition.

    Exit code 1 unless all partitions have done it. Example:
    `riverrun promote flight_eta trees --why "2 % better for a week"`
    """
    check_has(load(usecase).use_case, model)
    send(usecase, options.command("promote", model=model), options)
