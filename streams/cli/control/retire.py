"""`riverrun retire`: stop a challenger."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.config.use_case_loader import check_has, load


@spread_options
def retire(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The challenger.")],
    options: CommandOptions,
) -> None:
    """Stop a challenger: it neither predicts nor learns; `reset` brings it back, untrained.

    Example: `riverrun retire flight_eta trees --why "worse for two months"`
    """
    check_has(load(usecase).use_case, model)
    send(usecase, options.command("retire", model=model), options)
