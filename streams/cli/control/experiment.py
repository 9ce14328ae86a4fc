"""`riverrun experiment`: let a challenger answer a share of the units."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.commands import Verb
from schemas.errors import ConfigError
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.config.use_case_loader import check_has, load


@spread_options
def experiment(
    usecase: UseCaseName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The challenger.")],
    options: CommandOptions,
    share: Annotated[
        float | None,
        typer.Option("--share", min=0.0, max=1.0, help="Share of the units that it answers."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Assign it no further units.")] = False,
) -> None:
    """Let a challenger answer a share of the units, or end that.

    Example: `riverrun experiment flight_eta trees --share 0.2 --why "on real answers"`
    """
    check_has(load(usecase).use_case, model)
    if end is (share is not None):
        raise ConfigError("An experiment begins or ends.", hint="Give --share 0.2, or --end.")
    verb: Verb = "drain" if end else "experiment"
    send(usecase, options.command(verb, model=model, share=share), options)
