"""The command line: `riverrun`. One file a group of commands; here they are put together.

Data goes to stdout, talk to stderr. `--json` on everything that reports. What exit codes mean is in
`terminal.EXIT_CODES`.
"""

from __future__ import annotations

import sys

import typer

import streams.lean  # noqa: F401 - before all that imports River
from schemas.errors import RiverrunError
from streams.cli import (
    auditing,
    authoring,
    backfilling,
    backtesting,
    capturing,
    catalogue,
    commanding,
    delays,
    demo,
    exporting,
    features,
    learning,
    looking,
    page,
    redefining,
    registry,
    repartitioning,
    scoring,
    servers,
    verifying,
    watched,
    weighing,
    working,
)
from streams.cli.terminal import complain
from streams.processes import recurse_deeply

app = typer.Typer(
    name="riverrun",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The closed loop around an online model, on Kafka.",
)
for group in (
    servers,
    working,
    watched,
    demo,
    authoring,
    backtesting,
    weighing,
    learning,
    catalogue,
    backfilling,
    verifying,
    redefining,
    registry,
    auditing,
    commanding,
    delays,
    looking,
    page,
    features,
    capturing,
    scoring,
    exporting,
    repartitioning,
):
    group.register(app)


def main() -> None:
    """Run a command; a foreseen failure is one line that says what to do, and an exit code."""
    recurse_deeply()
    try:
        app()
    except RiverrunError as error:
        sys.exit(complain(error))
