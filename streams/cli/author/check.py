"""`riverrun check`: every mistake in a use case file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import ConfigError, Unavailable
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson
from streams.cli.shared.recording_options import RecordingOptions
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.lookup_files import LookupFile
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, find, load
from streams.recordings import Recording
from streams.topics.topic_admin import names_of


@spread_options
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A use case's file, or its name.")],
    options: RecordingOptions,
    json: AsJson = False,
) -> None:
    """Find every mistake in a use case, and run it on ten of its recorded events.

    With --source, on those of a recording, of which every record is read. Exit code 5 if there is
    a mistake. Example: `riverrun check usecases/flight_eta.py`
    """
    from streams.offline.check import Examined, examine

    path = find(file)
    files: tuple[LookupFile, ...] = ()
    try:
        loaded = load(file)
        files = loaded.files
        recorded = None
        if options.source or options.outcomes:

            def recorded() -> Recording:
                return options.open(loaded.use_case)

        talk.print("Running it, and building its models under three hash seeds …")
        examined, use_case = examine(loaded, recorded), loaded.use_case.name
        _compare_registered(loaded, examined)
    except ConfigError as error:
        examined, use_case = Examined([error]), path.stem
    if json:
        lookup = {part.name: part.sha256 for part in files}
        as_json({"use_case": use_case, "file": str(path), **_as_data(examined), "lookup": lookup})
    else:
        for part in files:
            data.print(f"part of the definition: {part.name} (SHA-256 {part.sha256[:12]})")
        _show(examined, path)
    if examined.mistakes:
        raise typer.Exit(5)


def _compare_registered(loaded: LoadedUseCase, examined: Any) -> None:
    """Add the objections of a Schema Registry to the schema of the predictions."""
    from streams.registry.prediction_schemas import NO_REGISTRY, misfit
    from streams.registry.schema_registry import registry_of

    use_case = loaded.use_case
    if examined.mistakes or use_case.prediction_format == "json":
        return
    settings = Settings.load()
    registry = registry_of(settings)
    if registry is None:
        examined.warnings.append(NO_REGISTRY)
        return
    try:
        reason = asyncio.run(misfit(use_case, names_of(use_case, settings), registry))
    except Unavailable as error:
        examined.warnings.append(f"Its predictions' schema was not compared: {error}")
        return
    if reason is not None:
        from models.validation import Lines

        why, _, hint = reason.partition(". ")
        line = Lines(loaded.source).of("prediction_format")
        examined.mistakes.append(ConfigError(f"{why}.", hint=hint, line=line))


def _as_data(examined: Any) -> dict[str, Any]:
    ran = examined.ran
    return {
        "mistakes": [
            {"line": m.line, "reason": m.reason, "hint": m.hint} for m in examined.mistakes
        ],
        "warnings": examined.warnings,
        "ran": None if ran is None else {"events": ran.events, "outcomes": ran.outcomes},
        "staleness": examined.staleness,
        "cost_us": examined.cost_us,
        "cost_many_us": examined.cost_many_us,
    }


def _show(examined: Any, path: Path) -> None:
    for warning in examined.warnings:
        talk.print(f"Note: {warning}", style="yellow")
    if examined.mistakes:
        table = TerminalTable(
            "line", "what is wrong", "how to fix it", box=None, title_justify="left"
        )
        for mistake in examined.mistakes:
            line = str(mistake.line) if mistake.line else ""
            table.add_row(line, mistake.reason, mistake.hint)
        data.print(table, soft_wrap=False)
        n = len(examined.mistakes)
        talk.print(f"{path}: {n} mistake{'s' if n > 1 else ''}.", style="red")
        return
    ran = examined.ran
    if ran is not None:
        data.print(f"ran {ran.events} events and {ran.outcomes} outcomes, none refused")
        if ran.prediction is not None:
            value, reason = ran.prediction["value"], ran.prediction["reason"]
            data.print(f"first prediction: {value} ({reason})")
    for name, behind in examined.staleness.items():
        data.print(f"{name}: {behind}")
    for name, cost in examined.cost_us.items():
        data.print(f"{name}: {cost:,.0f} µs to predict and learn once")
    data.print(f"{path}: no mistakes.", style="green")
