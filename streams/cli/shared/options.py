"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _completed(begun: str) -> list[str]:
    from streams.loading import known

    return [name for name in known() if name.startswith(begun)]


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
Watch = Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")]
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
        help="A use case file as it was: its text may be run although its record on the "
        "definitions topic is not signed with this RIVERRUN_SNAPSHOT_KEY. USECASE's own always "
        "may.",
    ),
]
Reveal = Annotated[
    str | None,
    typer.Option(
        "--reveal", metavar="WHY", help="Show personal data, too; the reason is put on record."
    ),
]
