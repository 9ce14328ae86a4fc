"""Options that several commands share."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.config.use_case_loader import LoadedUseCase


def _completed(prefix: str) -> list[str]:
    from streams.config.use_case_loader import known

    return [name for name in known() if name.startswith(prefix)]


UseCaseName = Annotated[
    str,
    typer.Argument(
        metavar="USECASE",
        help="A use case's name, or the path of its file.",
        autocompletion=_completed,
    ),
]
UseCaseNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[USECASE]...",
        help="Names or files; default: all that have topics here.",
        autocompletion=_completed,
    ),
]
WorkingUseCases = Annotated[
    list[str],
    typer.Argument(
        metavar="USECASE...",
        help="Names of use cases, or paths of their files; each has a process of its own.",
        autocompletion=_completed,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Repeat every two seconds, until Ctrl-C.")]
Prefix = Annotated[
    str | None,
    typer.Option("--prefix", help="Put before every topic's name (RIVERRUN_TOPIC_PREFIX)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Trust = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust",
        metavar="FILE",
        help="An earlier version of a use case file. It may be run although its record on the "
        "definitions topic is not signed with this RIVERRUN_SNAPSHOT_KEY. USECASE's present file "
        "is always trusted.",
    ),
]
Reveal = Annotated[
    str | None,
    typer.Option(
        "--reveal", metavar="WHY", help="Show personal data, too; the reason is recorded."
    ),
]
Partitions = Annotated[
    int | None, typer.Option(min=1, help="Number of partitions. Default: its own.")
]
Who = Annotated[
    str | None,
    typer.Option("--who", help="Who sends it, for the audit trail. Default: your login."),
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the audit trail.")]


def login_or(who: str | None) -> str:
    """Return who sends the command: the option's value, or the login."""
    return who or getpass.getuser()


def trusted_sources(loaded: LoadedUseCase, files: list[Path] | None) -> list[str]:
    """Return the texts that may be run: the use case's own file, and those of --trust."""
    try:
        return [loaded.source, *(file.read_text("utf-8") for file in files or ())]
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read: {error.strerror}.",
            hint="Check the path and its permissions.",
        ) from error
