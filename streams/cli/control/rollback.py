"""`riverrun rollback`: return to the previous champion."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import UseCaseName
from streams.cli.shared.send_command import CommandOptions, send
from streams.cli.shared.terminal import UNPROVABLE, complain, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.use_case_loader import check_has, load


@spread_options
def rollback(
    usecase: UseCaseName,
    options: CommandOptions,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION",
            help="Its state then: PARTITION/STEP as `history` has it, or a time.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --as-of: restore this champion, instead of the previous one."),
    ] = None,
) -> None:
    """Return to the previous champion, in every partition: as it is now, or as it was earlier.

    With one POSITION, the other partitions are as of its time. Exit code 6 if the log does not
    reach back to it. Example: `riverrun rollback flight_eta --as-of 0/51234 --why "the labels broke
    after it"`
    """
    command = options.command("rollback")
    if as_of is None:
        if model is not None:
            raise ConfigError(
                "--model needs --as-of.", hint="Give a POSITION, or use `riverrun promote`."
            )
        send(usecase, command, options)
        return
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.operations.rollback import Rollback
    from streams.replay.definition_history import Unprovable
    from streams.replay.journal_fold import Diverged

    if model is not None:
        check_has(load(usecase).use_case, model)
    try:
        plan = asyncio.run(
            Rollback(load(usecase), options.settings(), as_of, model).prepare(command)
        )
    except (Unprovable, Diverged) as error:
        complain(error)
        raise typer.Exit(UNPROVABLE) from None
    for line in plan.summary:
        talk.print(line)
    send(usecase, plan.command, options, plan.by_partition)
