"""Options objects on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from streams.cli.shared.option_groups import OptionGroup, spread_options


@dataclass(frozen=True)
class Sender(OptionGroup):
    """Who and why."""

    why: Annotated[str, typer.Option("--why", help="The reason.")]
    who: Annotated[str, typer.Option("--who")] = "nobody"


@dataclass(frozen=True)
class TimedSender(Sender):
    """A group that extends another."""

    timeout: Annotated[float, typer.Option("--timeout", min=0.1)] = 30.0


app = typer.Typer()


@app.command()
@spread_options
def act(name: str, options: TimedSender, last: int = 3) -> None:
    """Do it."""
    typer.echo(f"{name} {options} {last}")


def test_the_fields_of_an_options_object_are_options_of_the_command() -> None:
    """Values, defaults and those of the extended group reach the object."""
    result = CliRunner().invoke(app, ["a", "--why", "w", "--last", "5", "--timeout", "2"])
    assert result.output == "a TimedSender(why='w', who='nobody', timeout=2.0) 5\n"


def test_a_field_without_a_default_is_required_and_bounds_hold() -> None:
    """As where the option was written at the command itself."""
    assert CliRunner().invoke(app, ["a"]).exit_code == 2
    assert CliRunner().invoke(app, ["a", "--why", "w", "--timeout", "0"]).exit_code == 2
