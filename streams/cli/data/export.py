"""`riverrun export`: a model that predicts on its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import Incompatible
from streams.cli.data.score import AsOf
from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.terminal import as_json, data, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.settings import Settings
from streams.config.use_case_loader import check_has, load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of, partitions_of


def export(
    usecase: UseCaseName,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Only this one. Default: who answers the stream."),
    ] = None,
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder that does not exist yet.")
    ] = ...,  # type: ignore[assignment]
    as_of: AsOf = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Write a folder that predicts without Kafka, Redis and Faust: state, code, model card.

    It is loaded once, in a process of its own, before it gets its name. Example:
    `riverrun export flight_eta adagrad --to edge/flight_eta`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.inspection.model_card import card, markdown
    from streams.inspection.model_registry import gather
    from streams.offline.model_export import Export
    from streams.replay.archived_states import starts_of
    from streams.replay.past_states import Checkpoints, places_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    if model is not None:
        check_has(case, model)

    async def work() -> tuple[Export, str]:
        export_ = Export(loaded, model, await partitions_of(case, settings))
        positions = await places_of(as_of, names["journal"], settings)
        starts = starts_of(loaded, settings)
        checkpoints = Checkpoints(
            loaded, settings, names, export_.partitions, starts, newest=as_of is None
        )
        for partition, step in sorted(positions.items()):
            await checkpoints.visit(partition, step, export_.take)
        registry = await gather(loaded, settings, names)
        return export_, markdown(card(registry, model or case.champion))

    export_, text = asyncio.run(work())
    if not export_.states:
        raise Incompatible(
            f"{case.name} has learnt nothing at that position: there is no state to export. "
            "Start a worker first, or name a later position."
        )
    digest = export_.finish(to, text)
    if json:
        as_json({"folder": str(to), "manifest_sha256": digest, "positions": export_.positions})
        return
    data.print(f"{to}  manifest SHA-256 {digest}")
    talk.print(f"python {to}/predict.py --expect {digest} events.jsonl")
