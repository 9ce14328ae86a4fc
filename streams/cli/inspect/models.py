"""`riverrun models`: which models there are, and how they came to be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

if TYPE_CHECKING:
    from streams.registry import Entry, Registry

models = typer.Typer(no_args_is_help=True, help="Every model of a use case, and its history.")

ModelName = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Default: the declared champion.")
]
Segment = Annotated[str | None, typer.Option("--segment", help="The segment's own model.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    models.command("list")(list_models)
    models.command()(show)
    models.command("history")(model_history)
    app.add_typer(models, name="models")


def list_models(
    usecase: UseCaseName,
    each: Annotated[bool, typer.Option("--each", help="A row for each partition.")] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """List every model of every segment: state, examples learnt, since when and why.

    Example: `riverrun models list flight_eta`
    """
    registry = _gathered(usecase, prefix)
    if json:
        as_json({"use_case": registry.use_case.name, "models": registry.rows()})
        return
    table = Table("model", "segment", "partition", "state", "learnt", box=None)
    table.add_column("since", no_wrap=True)
    table.add_column("why")
    for group in _groups(registry.entries, each):
        first = group[0]
        states = sorted({entry.state for entry in group})
        where = ",".join(str(entry.partition) for entry in group)
        table.add_row(
            first.model,
            first.segment or "",
            where,
            ", ".join(states) + (", frozen" if first.frozen else ""),
            f"{sum(entry.learnt for entry in group):,}",
            _minute(min(entry.since or "" for entry in group)),
            first.why,
        )
    data.print(table)
    if not registry.entries:
        talk.print("No model has begun yet: no worker has taken a record.")


def _groups(entries: Iterable[Entry], each: bool) -> list[list[Entry]]:
    found: dict[Any, list[Entry]] = {}
    for entry in entries:
        place = (entry.segment, entry.model, entry.partition if each else None)
        found.setdefault(place, []).append(entry)
    return list(found.values())


def show(
    usecase: UseCaseName,
    model: ModelName = None,
    segment: Segment = None,
    as_card: Annotated[
        bool, typer.Option("--card", help="A model card, as Markdown; with --json as JSON.")
    ] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show one model: states, data, metrics, limits, lineage.

    Example: `riverrun models show flight_eta trees --card > trees.md`
    """
    from streams.model_card import card, markdown

    registry = _gathered(usecase, prefix)
    found = card(registry, model or registry.use_case.champion, segment)
    if json:
        as_json(found)
    elif as_card:
        sys.stdout.write(markdown(found))
    else:
        _print(found)


def _print(card: Mapping[str, Any]) -> None:
    table = Table("partition", "state", "since", "version", box=None)
    for row in card["states"]:
        table.add_row(*(str(row[c]) for c in ("partition", "state", "since", "version")))
    data.print(table)
    for name, row in card["metrics"]["scores"].items():
        if row is not None:
            metric = card["metrics"]["metric"]
            data.print(f"{name}: {metric} {row['metric']}, {row['n']:,} scored", markup=False)
    for name, value in card["lineage"].items():
        if name != "changes":
            data.print(f"{name}: {value}", markup=False)
    _print_changes(card["lineage"]["changes"])


def model_history(
    usecase: UseCaseName,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: all.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print what became of a model, or of all: when, who, why.

    Example: `riverrun models history flight_eta trees`
    """
    from streams.registry import changes, together

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    topic = names_of(load(usecase).use_case, settings)["lifecycle"]
    found = [
        change
        for change in together(asyncio.run(changes(settings, topic)))
        if model in (None, change["model"])
    ]
    if json:
        as_json(found)
    else:
        _print_changes(found)


def _print_changes(changes: Iterable[Mapping[str, Any]]) -> None:
    table = Table(box=None)
    table.add_column("when", no_wrap=True)
    for name in ("model", "segment", "change", "place", "cause", "who", "why"):
        table.add_column(name)
    for change in changes:
        before = f"{change['from_state']} → " if change["from_state"] else ""
        places = change.get("places", [f"{change['partition']}/{change['step']}"])
        table.add_row(
            _minute(change["time"]),
            change["model"],
            change["segment"] or "",
            before + change["to_state"],
            " ".join(places),
            change["cause"],
            change["who"],
            change["why"],
        )
    data.print(table)


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")


def _gathered(usecase: str, prefix: str | None) -> Registry:
    from streams.registry import gather

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = Progress("examples read")
    registry = asyncio.run(gather(loaded, settings, names_of(loaded.use_case, settings), progress))
    progress.done()
    return registry
