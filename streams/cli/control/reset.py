"""`riverrun reset`: replace a model by an untrained one."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.config.use_case_loader import check_has, load


@spread_options
def reset(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model.")],
    options: CommandOptions,
) -> None:
    """Replace a model by an untrained one; others answer for it until its warm-up is complete.

    Example: `riverrun reset flight_eta trees --why "learnt broken labels"`
    """
    check_has(load(usecase).use_case, model)
    send(usecase, options.command("reset", model=model), options)
