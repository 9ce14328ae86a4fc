"""The command line: `riverrun`. One file a command, named as the command.

Data goes to stdout, messages to stderr. Every command that reports has `--json`. The exit codes are
in `terminal.EXIT_CODES`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

import riverrun
from schemas.errors import RiverrunError
from streams.cli.author import (
    backtest,
    check,
    cost,
    delays,
    learning_curve,
    new,
    profile,
    schema,
    topics,
    worth,
)
from streams.cli.control import (
    experiment,
    freeze,
    mute,
    promote,
    redefine,
    release,
    repartition,
    reset,
    retire,
    rollback,
    set_watermark,
    skip,
)
from streams.cli.data import backfill, capture, export, score
from streams.cli.inspect import (
    alerts,
    dead_letters,
    drift,
    explain,
    features,
    history,
    metrics,
    models,
    status,
    tail,
    verify,
)
from streams.cli.run import demo, doctor, monitor, ops, up, worker
from streams.cli.shared.file_errors import OF_THE_MACHINE, in_words
from streams.cli.shared.terminal import complain
from streams.config.gc_tuning import collect_seldom
from streams.config.process_env import claim_standard_streams, drop_output, recurse_deeply
from streams.telemetry.log_format import quieten_client

app = typer.Typer(
    name="riverrun",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The closed loop around an online model, on Kafka.",
)

Command = Callable[..., None] | typer.Typer

PANELS: dict[str, tuple[Command, ...]] = {
    "Start here": (demo.demo, up.up, up.down, doctor.doctor),
    "Write a use case": (
        *(new.new, profile.profile, check.check, backtest.backtest, worth.worth, cost.cost),
        *(learning_curve.learning_curve, delays.delays, topics.topics, schema.schema),
    ),
    "Run it": (worker.worker, monitor.monitor, ops.ops, status.status),
    "Look at it": (
        *(metrics.metrics, drift.drift, alerts.alerts, features.features, models.models),
        *(tail.tail, dead_letters.dead_letters, history.history),
    ),
    "Change it": (
        *(promote.promote, rollback.rollback, experiment.experiment, reset.reset, retire.retire),
        *(freeze.freeze, freeze.unfreeze, release.release, redefine.redefine, skip.skip),
        *(set_watermark.set_watermark, mute.mute, mute.unmute),
    ),
    "Prove it": (verify.verify, explain.explain),
    "Move data": (
        *(backfill.backfill, capture.capture, score.score, export.export),
        repartition.repartition,
    ),
}
"""The panel in which `riverrun --help` lists each command."""

for panel, commands in PANELS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=command.info.name, rich_help_panel=panel)
        else:
            name = command.__name__.replace("_", "-")
            app.command(name, rich_help_panel=panel)(command)


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"riverrun {riverrun.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run the closed loop around an online model, on Kafka."""


def main() -> None:
    """Run a command; an expected failure is one line that says what to do, and an exit code."""
    claim_standard_streams()
    recurse_deeply()
    collect_seldom()
    quieten_client()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # while what it raises can still be told
    except RiverrunError as error:
        sys.exit(complain(error))
    except BrokenPipeError:  # nobody reads on
        drop_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        drop_output()
        sys.exit(complain(in_words(error)))
