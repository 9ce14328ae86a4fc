"""`riverrun learning-curve`: what further outcomes would be worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.cli.weighing import Limit, Outcomes, Partitions, Source, recording_for
from streams.loading import Loaded, load
from streams.recordings import Recording, recording_of

if TYPE_CHECKING:
    from models.learning_curve import Curve, Sample


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command("learning-curve")(learning_curve)


def learning_curve(
    usecase: UseCaseName,
    recorded: Annotated[
        bool, typer.Option("--from-backtest", help="Of its recorded data, without Kafka.")
    ] = False,
    source: Source = None,
    outcomes: Outcomes = None,
    shares: Annotated[
        str, typer.Option(help="Shares of the outcomes to learn from.")
    ] = "0.25,0.5,1",
    partitions: Partitions = None,
    limit: Limit = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report to hand on, one file.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Say what 1,000 further outcomes bring, by learning from a quarter, half and all of them.

    Replays the events and outcomes of the log; all are scored, a nested sample is learnt. Example:
    `riverrun learning-curve flight_eta --from-backtest --limit 40000`
    """
    from models.learning_curve import curve

    loaded, asked = load(usecase), _shares(shares)
    if recorded or source is not None:
        recording = recording_for(loaded, source, outcomes, limit)
    else:
        recording = _log(loaded, prefix, limit)
    runs = _runs(loaded, recording, partitions or loaded.use_case.partitions, asked)
    found = curve(loaded.use_case, runs)
    if html is not None:
        from streams.reports import write
        from streams.reports.learning import page

        write(page(found), html)
        talk.print(f"Written: {html}", markup=False)
    if json:
        as_json(found.as_json())
    else:
        _show(found)


def _shares(text: str) -> list[float]:
    try:
        shares = sorted({float(part) for part in text.split(",")})
    except ValueError:
        shares = []
    if len(shares) < 2 or not all(0 < share <= 1 for share in shares):
        raise typer.BadParameter("give at least two shares, above 0 and up to 1: 0.25,0.5,1")
    return shares


def _runs(
    loaded: Loaded, recording: Recording, partitions: int, shares: list[float]
) -> list[Sample]:
    from streams.sampling import samples

    shown: dict[float, Progress] = {}

    def on_progress(share: float, count: int) -> None:
        if share not in shown:
            shown[share] = Progress(f"learning from {share:.0%}, records")
        shown[share](count)

    try:
        return samples(loaded, lambda: recording, partitions, shares, on_progress)
    finally:
        for progress in shown.values():
            progress.done()


def _log(loaded: Loaded, prefix: str | None, limit: int | None) -> Recording:
    """The use case's own topics, in the order of their times."""
    from streams.servers import running
    from streams.settings import Settings
    from streams.topic_reading import read_topic
    from streams.topics import names_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(loaded.use_case, settings)
    return recording_of(
        loaded.use_case,
        names["events"],
        names["outcomes"],
        lambda topic: read_topic(topic, settings),
        limit,
    )


def _show(found: Curve) -> None:
    from streams.reports import wording

    unit, number = found.unit, wording.number
    data.print(wording.lesson(found), markup=False, style="bold")
    if not found.labelled:
        return
    data.print(
        f"{found.labelled:,} answers, the same in each run, settled from "
        f"{wording.day(found.since)} to {wording.day((found.until or 1) - 1)}.",
        markup=False,
    )
    names = list(found.rungs[-1].kpi)
    rungs = Table("learnt from", "outcomes", found.metric, box=None)
    for name in names:
        rungs.add_column(f"{name}, {unit} an event")
    for rung in found.rungs:
        rungs.add_row(
            f"{rung.share:.0%}",
            f"{rung.learnt:,}",
            number(rung.metric),
            *(number(rung.kpi.get(name)) for name in names),
        )
    data.print(rungs)
    steps = Table("from", "to", "further", f"gain an event, {unit}", box=None)
    steps.add_column(f"{unit} for 1,000 further outcomes")
    steps.add_column("luck aside")
    for step in found.steps:
        steps.add_row(
            f"{step.before:.0%}",
            f"{step.after:.0%}",
            f"{step.further:,}",
            number(step.gain.mean),
            number(step.per_1000),
            wording.between(step.lower, step.upper, "").strip(),
        )
    data.print(steps)
