"""`riverrun export`: a model that predicts on its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import Incompatible
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.scoring import AsOf
from streams.cli.terminal import as_json, data, talk
from streams.loading import check_has, load
from streams.processes import reexec_if_unsafe
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of, partitions_of


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(export)


def export(
    usecase: UseCaseName,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Only this one. Default: who answers the stream."),
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A folder that is not there yet.")] = ...,  # type: ignore[assignment]
    as_of: AsOf = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Write a folder that predicts without Kafka, Redis and Faust: state, code, model card.

    It is loaded once, in a process of its own, before it gets its name. Example:
    `riverrun export flight_eta adagrad --to edge/flight_eta`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.exporting import Export
    from streams.model_card import card, markdown
    from streams.places import Historian, places_of
    from streams.registry import gather
    from streams.starting import starts_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    if model is not None:
        check_has(case, model)

    async def work() -> tuple[Export, str]:
        made = Export(loaded, model, await partitions_of(case, settings))
        places = await places_of(as_of, names["journal"], settings)
        starts = starts_of(loaded, settings)
        historian = Historian(loaded, settings, names, made.partitions, starts)
        for partition, step in sorted(places.items()):
            await historian.visit(partition, step, made.take)
        registry = await gather(loaded, settings, names)
        return made, markdown(card(registry, model or case.champion))

    made, text = asyncio.run(work())
    if not made.states:
        raise Incompatible(f"{case.name} has learnt nothing at that place: there is no state.")
    digest = made.finish(to, text)
    if json:
        as_json({"folder": str(to), "manifest_sha256": digest, "places": made.places})
        return
    data.print(f"{to}  manifest SHA-256 {digest}", markup=False)
    talk.print(f"python {to}/predict.py --expect {digest} events.jsonl", markup=False)
