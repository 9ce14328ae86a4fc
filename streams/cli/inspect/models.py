"""`riverrun models`: the models and their histories."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import TerminalTable, as_json, as_text, data, talk
from streams.config.naming import number_of, position_of
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of

if TYPE_CHECKING:
    from streams.inspection.model_registry import Registry, RegistryEntry

models = typer.Typer(
    name="models", no_args_is_help=True, help="Every model of a use case, and its history."
)

ModelName = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Default: the declared champion.")
]
Segment = Annotated[str | None, typer.Option("--segment", help="The segment's own model.")]


@models.command("list")
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
    table = TerminalTable("model", "segment", "partition", "state", "learnt", box=None)
    table.add_column("since", no_wrap=True)
    table.add_column("why")
    for group in _groups(registry.entries, each):
        first = group[0]
        states = sorted({entry.state for entry in group})
        where = ",".join(number_of(entry.partition) for entry in group)
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
        talk.print("There is no model yet: no worker has read a record.")


def _groups(entries: Iterable[RegistryEntry], each: bool) -> list[list[RegistryEntry]]:
    groups: dict[Any, list[RegistryEntry]] = {}
    for entry in entries:
        key = (entry.segment, entry.model, entry.partition if each else None)
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


@models.command()
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
    from streams.inspection.model_card import card, markdown

    registry = _gathered(usecase, prefix)
    model_card = card(registry, model or registry.use_case.champion, segment)
    if json:
        as_json(model_card)
    elif as_card:
        as_text(markdown(model_card))
    else:
        _print(model_card)


def _print(card: Mapping[str, Any]) -> None:
    table = TerminalTable("partition", "state", "since", "version", box=None)
    for row in card["states"]:
        where = number_of(row["partition"])
        table.add_row(where, *(str(row[c]) for c in ("state", "since", "version")))
    data.print(table)
    for name, row in card["metrics"]["scores"].items():
        if row is not None:
            metric = card["metrics"]["metric"]
            data.print(f"{name}: {metric} {row['metric']}, {row['n']:,} scored")
    for name, value in card["lineage"].items():
        if name != "changes":
            data.print(f"{name}: {value}")
    _print_changes(card["lineage"]["changes"])


@models.command("history")
def model_history(
    usecase: UseCaseName,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: all.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print every change of state of a model, or of all: when, who, why.

    Example: `riverrun models history flight_eta trees`
    """
    from streams.inspection.model_registry import changes, together

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    topic = names_of(load(usecase).use_case, settings)["lifecycle"]
    history = [
        change
        for change in together(asyncio.run(changes(settings, topic)))
        if model in (None, change["model"])
    ]
    if json:
        as_json(history)
    else:
        _print_changes(history)


def _print_changes(changes: Iterable[Mapping[str, Any]]) -> None:
    table = TerminalTable(box=None)
    table.add_column("when", no_wrap=True)
    for name in ("model", "segment", "change", "position", "cause", "who", "why"):
        table.add_column(name)
    for change in changes:
        before = f"{change['from_state']} → " if change["from_state"] else ""
        positions = change.get("positions", [position_of(change["partition"], change["step"])])
        table.add_row(
            _minute(change["time"]),
            change["model"],
            change["segment"] or "",
            before + change["to_state"],
            " ".join(positions),
            change["cause"],
            change["who"],
            change["why"],
        )
    data.print(table)


def _minute(text: str) -> str:
    return text[:16].replace("T", " ")


def _gathered(usecase: str, prefix: str | None) -> Registry:
    from streams.inspection.model_registry import gather

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = ProgressLine("examples read")
    registry = asyncio.run(gather(loaded, settings, names_of(loaded.use_case, settings), progress))
    progress.done()
    return registry
