"""Sends a command to every partition and waits for its result: for the commands that do so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from schemas.command_line import command_line
from schemas.commands import Command, Verb
from schemas.errors import RiverrunError
from streams.cli.shared.option_groups import OptionGroup
from streams.cli.shared.options import AsJson, Prefix, Who, Why, login_or
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import as_json, complain, data
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.operations.command_sender import CommandResult, new_command, send_command
from streams.topics.topic_admin import names_of

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class CommandOptions(OptionGroup):
    """Who sends a command and why, and how long to wait for its result."""

    why: Why
    who: Who = None
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the result.")
    ] = TIMEOUT_S
    prefix: Prefix = None
    json: AsJson = False

    def settings(self) -> Settings:
        """Return the settings, those of the embedded servers included."""
        return running(Settings.load(riverrun_topic_prefix=self.prefix))

    def command(self, verb: Verb, **fields: Any) -> Command:
        """Return a new command of this person, with their reason."""
        return new_command(verb, who=login_or(self.who), why=self.why, **fields)


def send(
    usecase: str,
    command: Command,
    options: CommandOptions,
    by_partition: Mapping[int, Sequence[Command]] | None = None,
) -> CommandResult:
    """Send a command, print its result; exit code 1 unless every partition has applied it.

    `by_partition` has what is sent to each partition, where that differs.
    """
    settings = options.settings()
    use_case = load(usecase).use_case
    names = names_of(use_case, settings)
    progress = ProgressLine("partitions that have answered")

    def show(result: CommandResult) -> None:
        progress(result.partitions - len(result.waiting), result.partitions)

    result = asyncio.run(
        send_command(
            command,
            settings,
            names,
            timeout_s=options.timeout,
            use_case=use_case,
            on_progress=show,
            by_partition=by_partition,
        )
    )
    progress.done()
    if options.json:
        as_json(result.as_json())
    else:
        data.print(f"{command.verb}: {result.summary}  ({command.command_id})")
    for number, reason in sorted(result.refused.items()):
        complain(RiverrunError(f"{result.title(number)} refused: {reason}"))
    if result.waiting:
        complain(
            RiverrunError(
                f"partitions {result.waiting} did not answer within {options.timeout:g} s. The "
                "command stays on its topic and is applied once a worker reads it: see "
                f"`{command_line('status', usecase)}` and `{command_line('history', usecase)}`."
            )
        )
    if len(result.applied) < result.partitions:
        raise typer.Exit(1)
    return result
