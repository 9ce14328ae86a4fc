"""`riverrun doctor`: checks of everything that riverrun depends on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from schemas.errors import ConfigError
from streams.cli.shared.options import AsJson, Prefix
from streams.cli.shared.terminal import TerminalTable, as_json, data
from streams.config.settings import Settings
from streams.embedded.server_discovery import running


def doctor(
    usecase: Annotated[
        str | None,
        typer.Argument(
            metavar="[USECASE]",
            help="Check its permissions on Kafka, too, and that its topics are those of its "
            "journal.",
        ),
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Check everything that riverrun depends on; name cause and remedy of each fault.

    Exit code 1 if there is one. Example: `riverrun doctor flight_eta`
    """
    try:
        from streams.doctor.doctor import doctor as examine
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Packages that `riverrun doctor` needs are not installed ({error.name} is missing).",
            hint="pip install 'riverrun[embedded]'.",
        ) from error

    settings = Settings.load(riverrun_topic_prefix=prefix)
    findings = examine(settings)
    if usecase is not None:
        from streams.config.use_case_loader import load
        from streams.doctor.grant_checks import check_grants
        from streams.replay.input_check import examined

        loaded, servers = load(usecase), running(settings)
        findings += [*check_grants(loaded, servers), *examined(loaded.use_case, servers)]
    if json:
        as_json([finding.__dict__ for finding in findings])
    else:
        table = TerminalTable("", "check", "cause", "remedy", box=None)
        for f in findings:
            state = ("ok", "") if f.ok else ("no", "red") if f.essential else ("so-so", "yellow")
            table.add_row(Text(*state), f.check, f.cause, f.remedy)
        data.print(table)
    if not all(finding.ok for finding in findings if finding.essential):
        raise typer.Exit(1)
