"""`riverrun worth` and `riverrun cost`: what the models bring, and what it takes to run them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import Loaded, load
from streams.recordings import Recording, recording_of

if TYPE_CHECKING:
    from models.accounts import Answerer
    from models.settled import Settled
    from models.slices import Slice
    from models.tally import Group
    from models.worth import Worth
    from streams.assessing import Assessed

SAMPLE = 10_000
"""Records of the topics that CPU is measured on."""

Source = Annotated[
    str | None, typer.Option(metavar="TOPIC|FILE", help="Instead of its own recorded data.")
]
Outcomes = Annotated[
    str | None, typer.Option(metavar="TOPIC|FILE", help="Where the source has only events.")
]
Partitions = Annotated[
    int | None, typer.Option(min=1, help="Number of partitions. Default: its own.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read so many records.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("worth")(worth_command)
    app.command()(cost)


def worth_command(
    usecase: UseCaseName,
    recorded: Annotated[
        bool,
        typer.Option("--from-backtest", help="Of a run over recorded data, without Kafka."),
    ] = False,
    source: Source = None,
    outcomes: Outcomes = None,
    partitions: Partitions = None,
    limit: Limit = None,
    segment: Annotated[str | None, typer.Option(help="Of this segment alone.")] = None,
    of_slice: Annotated[
        str | None, typer.Option("--slice", metavar="NAME=VALUE", help="Of this slice alone.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report to hand on, one file.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Say what the models earned or saved against the baseline, in the KPI's unit, net of cost.

    The answer is "worth it", "not worth it" or "not known yet", and may be looked at every day.
    Exit code 0 whatever it is. Example: `riverrun worth flight_eta --html worth.html`
    """
    from models.worth import worth

    loaded = load(usecase)
    if recorded or source is not None:
        run = assessed(loaded, recording_for(loaded, source, outcomes, limit), partitions)
        settled, cpu_us = run.settled, run.cpu_us
    else:
        settled, cpu_us = _live(loaded, prefix)
    found = worth(loaded.use_case, settled, cpu_us, _group(settled, segment, of_slice))
    if html is not None:
        from streams.reports import write
        from streams.reports.worth import page

        write(page(found), html)
        talk.print(f"Written: {html}", markup=False)
    if json:
        as_json(found.as_json())
    else:
        show(found)


def _group(settled: Settled, segment: str | None, of_slice: str | None) -> Group:
    group = segment, of_slice
    if segment is not None and of_slice is not None:
        raise typer.BadParameter("give --segment or --slice")
    if group != (None, None) and group not in settled.groups():
        names = sorted(name for pair in settled.groups() for name in pair if name is not None)
        raise Misdeclared(
            f"Nothing has settled of {segment or of_slice!r}.",
            mend=f"There are: {', '.join(names) or 'no segments and no slices yet'}.",
        )
    return group


def cost(
    usecase: UseCaseName,
    source: Source = None,
    outcomes: Outcomes = None,
    partitions: Partitions = None,
    limit: Limit = None,
    json: AsJson = False,
) -> None:
    """Measure the CPU of each model, of explanations and of riverrun itself, by sampling.

    Kafka's client and the servers come on top. Example: `riverrun cost flight_eta --limit 20000`
    """
    loaded = load(usecase)
    run = assessed(loaded, recording_for(loaded, source, outcomes, limit), partitions)
    if json:
        as_json(
            {
                "use_case": loaded.use_case.name,
                "events": run.events,
                "samples": run.samples,
                "cpu_us": run.cpu_us,
            }
        )
        return
    table = Table("", "µs an event", "share", box=None)
    total = sum(run.cpu_us.values())
    for name, cpu_us in sorted(run.cpu_us.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{cpu_us:,.0f}", f"{cpu_us / total:.0%}")
    data.print(table)
    talk.print(f"{run.events:,} events, {run.samples:,} samples of the stack.")


def assessed(loaded: Loaded, recording: Recording, partitions: int | None) -> Assessed:
    """A run over recorded data, with its progress shown."""
    from streams.assessing import assess

    progress = Progress("records run")
    try:
        return assess(loaded, recording, partitions or loaded.use_case.partitions, progress)
    finally:
        progress.done()


def recording_for(
    loaded: Loaded, source: str | None, outcomes: str | None, limit: int | None
) -> Recording:
    """What `--source` and `--outcomes` name, or the use case's own recorded data."""
    from streams.cli.backtesting import topic_reader

    if outcomes is not None and source is None:
        raise Misdeclared("--outcomes is given without --source.", mend="Name both.")
    return recording_of(loaded.use_case, source, outcomes, topic_reader(limit), limit)


def _live(loaded: Loaded, prefix: str | None) -> tuple[Settled, dict[str, float]]:
    """Evidence from its topic; CPU, where it has a price, from a run over the topics' beginning."""
    from streams.assessing import published
    from streams.servers import running
    from streams.settings import Settings
    from streams.topic_reading import read_topic
    from streams.topics import names_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    names = names_of(loaded.use_case, settings)
    settled = asyncio.run(published(loaded.use_case, names["evidence"], settings))
    if loaded.use_case.price is None:
        return settled, {}
    recording = recording_of(
        loaded.use_case,
        names["events"],
        names["outcomes"],
        lambda topic: read_topic(topic, settings, SAMPLE),
        SAMPLE,
    )
    return settled, assessed(loaded, recording, None).cpu_us


def show(found: Worth) -> None:
    """The answer as text: the sentences of the report, then its tables."""
    from streams.reports import wording

    unit = found.unit
    data.print(wording.headline(found), markup=False, style="bold")
    if not found.labelled:
        talk.print(wording.outlook(found), markup=False)
        return
    data.print(
        f"Settled from {wording.day(found.since)} to {wording.day((found.until or 1) - 1)}: "
        f"{found.labelled:,} of {found.predictions:,} predictions have their outcome.",
        markup=False,
    )
    for line in (
        wording.certainty(found.net, unit, found.alpha),
        wording.worst_case(found.net, unit),
        wording.outlook(found),
        *found.notes,
    ):
        data.print(line, markup=False)
    if found.cost is not None:
        data.print(wording.price(found), markup=False)
    data.print(_table("model", found.models, unit))
    if found.segments:
        data.print(_table("segment", found.segments, unit))
    for group in found.slices:
        _show_slices(group)
    for held in found.targets:
        data.print(f"target {held}", markup=False)


def _show_slices(group: Slice) -> None:
    """Every figure of each slice, and how far the best and the worst are apart."""
    from streams.reports.wording import number

    if not group.parts:
        return
    figures = list(group.parts[0].figures)
    table = Table(group.name, "judged", *figures, box=None)
    for part in group.parts:
        values = (number(part.figures[figure]) for figure in figures)
        table.add_row(part.value, f"{part.labelled:,}", *values)
    data.print(table)
    for gap in group.gaps:
        data.print(
            f"  {gap.figure}: {gap.gap:.3g} between {gap.best} (best) and {gap.worst} (worst)",
            markup=False,
        )


def _table(what: str, rows: list[Answerer], unit: str) -> Table:
    from streams.reports.wording import between, number

    table = Table(what, "verdict", f"gain, {unit}", "luck aside", box=None)
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
            gain.verdict,
            number(gain.total),
            between(gain.total_lower, gain.total_upper, "").strip(),
            number(row.kpi),
            number(row.baseline),
            f"{gain.labelled:,}",
            *((number(row.cpu_us), number(row.cost)) if priced else ()),
        )
    return table
