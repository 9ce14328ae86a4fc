"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

UseCaseName = Annotated[
    str, typer.Argument(metavar="USECASE", help="A use case's name, or the path of its file.")
]
Prefix = Annotated[
    str | None,
    typer.Option("--prefix", help="Put before every topic's name (RIVERRUN_TOPIC_PREFIX)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Reveal = Annotated[
    str | None,
    typer.Option(
        "--reveal", metavar="WHY", help="Show personal data, too; the reason is put on record."
    ),
]
