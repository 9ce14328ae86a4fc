"""`riverrun worth`: what the models earn or save, net of what they cost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.author.cost import assessed
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson, Partitions, Prefix, UseCaseName
from streams.cli.shared.recording_options import Limit, RecordingOptions, open_recording
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.use_case_loader import LoadedUseCase, load

if TYPE_CHECKING:
    from models.metrics.windowed_metrics import Group
    from models.worth.breakdown import Answerer
    from models.worth.closed_blocks import ClosedBlocks
    from models.worth.slice_gaps import Slice
    from models.worth.worth import Worth

SAMPLE = 10_000
"""The number of records of the topics on which CPU is measured."""


@spread_options
def worth(
    usecase: UseCaseName,
    options: RecordingOptions,
    recorded: Annotated[
        bool,
        typer.Option("--from-backtest", help="Use a run over recorded data, without Kafka."),
    ] = False,
    partitions: Partitions = None,
    limit: Limit = None,
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    of_slice: Annotated[
        str | None, typer.Option("--slice", metavar="NAME=VALUE", help="Only this slice.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report, as a single HTML file.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Report what the models earned or saved against the baseline, in the KPI's unit, net of cost.

    The answer is "worth it", "not worth it" or "not known yet", and may be looked at every day.
    Exit code 0 whatever it is. Example: `riverrun worth flight_eta --html worth.html`
    """
    from models.worth.worth import worth as worth_of

    loaded = load(usecase)
    if recorded or options.source:
        run = assessed(loaded, options.open(loaded.use_case, limit), partitions)
        closed, cpu_us = run.closed, run.cpu_us
    else:
        closed, cpu_us = _live(loaded, prefix)
    result = worth_of(loaded.use_case, closed, cpu_us, _group(closed, segment, of_slice))
    if html is not None:
        from streams.reports import write
        from streams.reports.worth import page

        write(page(result), html)
        talk.print(f"Written: {html}")
    if json:
        as_json(result.as_json())
    else:
        show(result)


def _group(closed: ClosedBlocks, segment: str | None, of_slice: str | None) -> Group:
    group = segment, of_slice
    if segment is not None and of_slice is not None:
        raise typer.BadParameter("give --segment or --slice")
    if group != (None, None) and group not in closed.groups():
        names = sorted(name for pair in closed.groups() for name in pair if name is not None)
        raise ConfigError(
            f"There is no closed block of {segment or of_slice!r}.",
            hint=f"There are: {', '.join(names) or 'no segments and no slices yet'}.",
        )
    return group


def _live(loaded: LoadedUseCase, prefix: str | None) -> tuple[ClosedBlocks, dict[str, float]]:
    """Return the published evidence and, if CPU has a price, the CPU of a run over its inputs."""
    from streams.config.settings import Settings
    from streams.embedded.server_discovery import running
    from streams.offline.evidence import published
    from streams.topics.topic_admin import names_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(loaded.use_case, settings)
    closed = asyncio.run(published(loaded.use_case, names["evidence"], settings))
    if loaded.use_case.price is None:
        return closed, {}
    sources, outcomes = [names["events"]], [names["outcomes"]]
    recording = open_recording(loaded.use_case, sources, outcomes, SAMPLE, settings=settings)
    return closed, assessed(loaded, recording, None).cpu_us


def show(worth: Worth) -> None:
    """Print the answer: the sentences of the report, then its tables."""
    from streams.reports import report_texts

    unit = worth.unit
    data.print(report_texts.headline(worth), style="bold")
    if not worth.labelled:
        talk.print(report_texts.outlook(worth))
        return
    since, until = report_texts.day(worth.since), report_texts.day((worth.until or 1) - 1)
    data.print(
        f"Settled from {since} to {until}: "
        f"{worth.labelled:,} of {worth.predictions:,} predictions have a label.",
    )
    for line in (
        report_texts.confidence(worth.net, unit, worth.alpha),
        report_texts.worst_case(worth.net, unit),
        report_texts.outlook(worth),
        *worth.notes,
    ):
        data.print(line)
    if worth.cost is not None:
        data.print(report_texts.price(worth))
    data.print(_table("model", worth.models, unit))
    if worth.segments:
        data.print(_table("segment", worth.segments, unit))
    for group in worth.slices:
        _show_slices(group)
    for target in worth.targets:
        data.print(f"target {target}")


def _show_slices(group: Slice) -> None:
    """Print every figure of each slice, and the gap between the best and the worst."""
    from streams.reports.report_texts import number

    if not group.parts:
        return
    figures = list(group.parts[0].figures)
    table = TerminalTable(group.name, "judged", *figures, box=None)
    for part in group.parts:
        values = (number(part.figures[figure]) for figure in figures)
        table.add_row(part.value, f"{part.labelled:,}", *values)
    data.print(table)
    for gap in group.gaps:
        data.print(
            f"  {gap.figure}: {gap.gap:.3g} between {gap.best} (best) and {gap.worst} (worst)",
        )


def _table(title: str, rows: list[Answerer], unit: str) -> TerminalTable:
    from streams.reports.report_texts import between, number, verdict

    table = TerminalTable(title, "verdict", f"gain, {unit}", "luck aside", box=None)
    for name in (f"{unit} an event", "baseline", "judged"):
        table.add_column(name)
    priced = any(row.cost is not None for row in rows)
    if priced:
        table.add_column("CPU, µs an event")
        table.add_column(f"its cost, {unit}")
    for row in rows:
        gain = row.gain
        table.add_row(
            row.name,
            verdict(gain),
            number(gain.total),
            between(gain.total_lower, gain.total_upper, "").strip(),
            number(row.kpi),
            number(row.baseline),
            f"{gain.labelled:,}",
            *((number(row.cpu_us), number(row.cost)) if priced else ()),
        )
    return table
