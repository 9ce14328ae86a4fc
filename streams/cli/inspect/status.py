"""`riverrun status`: a use case and its partitions at a glance."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import typer

from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Watch
from streams.cli.shared.terminal import as_json, data
from streams.cli.shared.watch_option import again
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of


def status(
    usecase: UseCaseName, watch: Watch = False, prefix: Prefix = None, json: AsJson = False
) -> None:
    """Show a use case at a glance, and each partition: owner, state, lag, freshness, last error.

    Where one model learns from all partitions, the learner, too. Exit code 1 if one of them has no
    owner or is not live. Example:
    `riverrun status flight_eta --watch`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    with contextlib.suppress(KeyboardInterrupt):
        for report in again(lambda: asyncio.run(_report(loaded, settings)), watch):
            _show(report, json)
            states = {row["state"] for row in report["partitions"]}
            states |= {learner.state for learner in [report["learner"]] if learner is not None}
            if not watch and states != {"live"}:
                raise typer.Exit(1)


async def _report(loaded: LoadedUseCase, settings: Settings) -> dict[str, Any]:
    from streams.monitor.store import queries, worker_queries
    from streams.monitor.store.board import board_of
    from streams.replay import input_check
    from streams.telemetry import partition_table

    async with board_of(loaded, settings) as board:
        overview = await queries.overview(board)
        rows = await worker_queries.partitions(board.source, board.count)
        shared = board.use_case.is_shared(board.count)
        learner = await worker_queries.learner(board.source, shared=shared)
        workers = await board.source.workers()
        partitions = partition_table.partitions(deepcopy(workers), board.count)
    faults = [text for worker in workers for text in worker.get("warnings", ())]
    relays = [relay for worker in workers if (relay := worker.get("relay"))]
    faults += [f"relay: {relay['error']}" for relay in relays if relay["error"]]
    if any(row.state != "live" for row in rows):  # else the workers have looked
        name, names = shlex.quote(loaded.argument), names_of(loaded.use_case, settings)
        faults += await input_check.faults(name, names, settings)
    return {
        "overview": overview,
        "workers": workers,
        "rows": rows,
        "learner": learner,
        "partitions": partitions,
        "faults": list(dict.fromkeys(faults)),
    }


def _training(workers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each process that trains shared models, and for each model in place."""
    for worker in workers:
        training = (worker.get("learner") or {}).get("training") or {}
        for trainer in training.get("trainers", ()):
            yield (
                f"trainer {trainer['trainer']} ({worker['worker']}, process {trainer['pid']}): "
                f"{', '.join(trainer['models']) or 'no model'}; {trainer['cpu_s']:.0f} s of CPU, "
                f"{trainer['waiting']} to learn"
            )
        for model, why in training.get("in_place", {}).items():
            yield f"{model} is trained by {worker['worker']} itself: {why}"
        if training.get("error"):
            yield f"{worker['worker']} trains all models itself: {training['error']}"


def _show(report: dict[str, Any], json: bool) -> None:
    if json:
        rows = [asdict(row) for row in report["rows"]]
        learner = None if report["learner"] is None else asdict(report["learner"])
        overview = asdict(report["overview"])
        as_json(report | {"overview": overview, "rows": rows, "learner": learner})
        return
    from streams.cli.shared import text_tables

    data.print(text_tables.overview(report["overview"]))
    data.print()
    data.print(text_tables.partitions(report["rows"]))
    if report["learner"] is not None:
        data.print()
        data.print(text_tables.learner(report["learner"]))
    for text in [*_training(report["workers"])]:
        data.print(text, soft_wrap=True)
    for text in report["faults"]:
        data.print(f"\n{text}", style="red", soft_wrap=True)
    for row in report["rows"]:
        if row.state == "halted":  # whole lines, with a command to copy
            data.print(f"\npartition {row.partition} {row.error}", soft_wrap=True)
