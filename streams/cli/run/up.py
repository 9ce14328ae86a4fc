"""`riverrun up`, `down`, `doctor`: the embedded servers, and what is wrong with any."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from streams.cli.options import AsJson
from streams.cli.terminal import as_json, data, talk
from streams.servers import stack
from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(up)
    app.command()(down)
    app.command()(doctor)


def up(json: AsJson = False) -> None:
    """Start the embedded Kafka and Redis, or find those that run.

    Example: `riverrun up`
    """
    settings = Settings.load()
    if settings.external:
        talk.print("KAFKA_BOOTSTRAP_SERVERS and REDIS_URL are set: those servers are used.")
        place: dict[str, Any] = {"kafka": settings.kafka_bootstrap_servers, "started": False}
    else:
        endpoints = stack(settings).up(lambda text: talk.print(text, markup=False))
        place = {
            "kafka": endpoints.bootstrap_servers,
            "redis": endpoints.redis_url,
            "started": endpoints.started,
            "home": str(settings.home),
        }
    if json:
        as_json(place)
    else:
        for name, value in place.items():
            data.print(f"{name:8} {value}", markup=False)


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all their data.")] = False,
) -> None:
    """Stop the embedded servers.

    Example: `riverrun down --purge`
    """
    settings = Settings.load()
    stopped = stack(settings).down(purge, lambda text: talk.print(text, markup=False))
    for name in stopped:
        data.print(f"stopped {name}", markup=False)
    if not stopped:
        talk.print("nothing was running")


def doctor(json: AsJson = False) -> None:
    """Look at everything riverrun stands on; name cause and remedy of what is wrong.

    Exit code 1 if something is. Example: `riverrun doctor --json`
    """
    from streams.embedded.doctor import doctor as examine

    findings = examine(Settings.load())
    if json:
        as_json([finding.__dict__ for finding in findings])
    else:
        table = Table("", "check", "cause", "remedy", box=None)
        for f in findings:
            state = "ok" if f.ok else "[red]no[/]" if f.essential else "[yellow]so-so[/]"
            table.add_row(state, f.check, f.cause, f.remedy)
        data.print(table)
    if not all(finding.ok for finding in findings if finding.essential):
        raise typer.Exit(1)
