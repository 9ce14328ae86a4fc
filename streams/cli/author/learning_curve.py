"""`riverrun learning-curve`: the value of further outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson, Partitions, Prefix, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.recording_options import (
    Limit,
    RecordingOptions,
    open_recording,
    print_unmatched,
)
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.use_case_loader import LoadedUseCase, load
from streams.recordings import Recording

if TYPE_CHECKING:
    from models.replay.learning_curve import Curve, CurveSample


@spread_options
def learning_curve(
    usecase: UseCaseName,
    options: RecordingOptions,
    recorded: Annotated[
        bool, typer.Option("--from-backtest", help="Use its recorded data, without Kafka.")
    ] = False,
    shares: Annotated[
        str, typer.Option(help="Shares of the outcomes to learn from.")
    ] = "0.25,0.5,1",
    partitions: Partitions = None,
    limit: Limit = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report, as a single HTML file.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Estimate what 1,000 further outcomes bring, by learning from a quarter, half and all of them.

    Replays the events and outcomes of the log; all are scored, a nested sample is learnt. Example:
    `riverrun learning-curve flight_eta --from-backtest --limit 40000`
    """
    from models.replay.learning_curve import curve as curve_of

    loaded, learnt_shares = load(usecase), _shares(shares)
    if recorded or options.source:
        recording = options.open(loaded.use_case, limit)
    else:
        recording = _log(loaded, prefix, limit)
    runs = _runs(loaded, recording, partitions or loaded.use_case.partitions, learnt_shares)
    print_unmatched(recording)
    curve = curve_of(loaded.use_case, runs)
    if html is not None:
        from streams.reports import write
        from streams.reports.learning_curve import page

        write(page(curve), html)
        talk.print(f"Written: {html}")
    if json:
        as_json(curve.as_json())
    else:
        _show(curve)


def _shares(text: str) -> list[float]:
    try:
        shares = sorted({float(part) for part in text.split(",")})
    except ValueError:
        shares = []
    if len(shares) < 2 or not all(0 < share <= 1 for share in shares):
        raise typer.BadParameter("give at least two shares, above 0 and up to 1: 0.25,0.5,1")
    return shares


def _runs(
    loaded: LoadedUseCase, recording: Recording, partitions: int, shares: list[float]
) -> list[CurveSample]:
    from streams.offline.evidence import samples

    shown: dict[float, ProgressLine] = {}

    def on_progress(share: float, count: int) -> None:
        if share not in shown:
            shown[share] = ProgressLine(f"learning from {share:.0%}, records")
        shown[share](count)

    try:
        return samples(loaded, lambda: recording, partitions, shares, on_progress)
    finally:
        for progress in shown.values():
            progress.done()


def _log(loaded: LoadedUseCase, prefix: str | None, limit: int | None) -> Recording:
    """Open the use case's own topics, in the order of their times."""
    from streams.config.settings import Settings
    from streams.embedded.server_discovery import running
    from streams.topics.topic_admin import names_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(loaded.use_case, settings)
    sources, outcomes = [names["events"]], [names["outcomes"]]
    return open_recording(loaded.use_case, sources, outcomes, limit, settings=settings)


def _show(curve: Curve) -> None:
    from streams.reports import report_texts

    unit, number = curve.unit, report_texts.number
    data.print(report_texts.learning_verdict(curve), style="bold")
    if not curve.labelled:
        return
    data.print(
        f"{curve.labelled:,} answers, the same in each run, closed from "
        f"{report_texts.day(curve.since)} to {report_texts.day((curve.until or 1) - 1)}.",
    )
    names = list(curve.rungs[-1].kpi)
    rungs = TerminalTable("learnt from", "outcomes", curve.metric, box=None)
    for name in names:
        rungs.add_column(f"{name}, {unit} an event")
    for rung in curve.rungs:
        rungs.add_row(
            f"{rung.share:.0%}",
            f"{rung.learnt:,}",
            number(rung.metric),
            *(number(rung.kpi.get(name)) for name in names),
        )
    data.print(rungs)
    steps = TerminalTable("from", "to", "further", f"gain an event, {unit}", box=None)
    steps.add_column(f"{unit} for 1,000 further outcomes")
    steps.add_column("luck aside")
    for step in curve.steps:
        steps.add_row(
            f"{step.before:.0%}",
            f"{step.after:.0%}",
            f"{step.further:,}",
            number(step.gain.mean),
            number(step.per_1000),
            report_texts.between(step.lower, step.upper, "").strip(),
        )
    data.print(steps)
