"""`riverrun set-watermark`: set time back after a wrong clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send


@spread_options
def set_watermark(
    usecase: UseCaseName,
    time: Annotated[
        str, typer.Argument(metavar="TIME", help="Such as 2024-05-01T12:00:00Z; UTC if no zone.")
    ],
    options: CommandOptions,
) -> None:
    """Set the watermark back, in every partition where a wrong clock has moved it past TIME.

    What expired or was forgotten meanwhile stays so; see OPERATIONS. Partitions that have not come
    to TIME are left as they are. Example:
    `riverrun set-watermark flight_eta 2024-05-01T12:00:00Z --why "a gate's clock was a year ahead"`
    """
    try:
        watermark = datetime.fromisoformat(time)
    except ValueError:
        raise ConfigError(
            f"{time!r} is not a time.", hint="Write it as 2024-05-01T12:00:00Z."
        ) from None
    watermark = watermark if watermark.tzinfo else watermark.replace(tzinfo=UTC)
    command = options.command("set-watermark", watermark=watermark.astimezone(UTC))
    send(usecase, command, options)
