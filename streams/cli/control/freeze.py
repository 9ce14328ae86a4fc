"""`riverrun freeze` and `unfreeze`: stop promotions, and allow them again."""

from __future__ import annotations

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send


@spread_options
def freeze(usecase: UseCaseName, options: CommandOptions) -> None:
    """Refuse all promotions, by people and by rules, until `unfreeze`.

    Example: `riverrun freeze flight_eta --why "holiday traffic"`
    """
    send(usecase, options.command("freeze"), options)


@spread_options
def unfreeze(usecase: UseCaseName, options: CommandOptions) -> None:
    """Allow promotions again.

    Example: `riverrun unfreeze flight_eta --why "holidays are over"`
    """
    send(usecase, options.command("unfreeze"), options)
