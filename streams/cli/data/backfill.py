"""`riverrun backfill`: learn from recorded data before going live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.command_line import command_line
from schemas.errors import Unavailable
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.recording_options import (
    FormatOptions,
    Limit,
    Outcomes,
    open_recording,
    print_unmatched,
)
from streams.cli.shared.terminal import as_json, data, talk
from streams.config.process_env import only_one
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.topics import topic_admin

if TYPE_CHECKING:
    from streams.offline.backfill import Backfilled
    from streams.recordings import Recording

WAIT_S = 0.5
STALLED_S_MAX = 120.0
"""With --wait: if nothing has progressed for this long, no worker seems to be running."""


@spread_options
def backfill(
    usecase: UseCaseName,
    options: FormatOptions,
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|TOPIC]...",
            help="What to read. Default: the use case's own recorded data.",
        ),
    ] = None,
    outcomes: Outcomes = None,
    limit: Limit = None,
    append: Annotated[
        bool, typer.Option("--append", help="Append to an earlier backfill of other data.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return only when workers have learnt all of it.")
    ] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Let a use case learn from recorded events and outcomes before it goes live.

    They are written to its history topic in the order of time; workers learn and journal all of
    them, and answer none. Repeating the command continues where it stopped; nothing is written
    twice. Exit code 1 if records had to be left out. Example: `riverrun backfill flight_eta --limit
    20000 --wait`
    """
    from streams.offline.backfill import Backfill

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    topics = f"{settings.riverrun_topic_prefix}{use_case.name}"
    with only_one("backfill", topics, settings.kafka_bootstrap_servers):
        recording = open_recording(
            use_case, source, outcomes, limit, options.format, settings, sort_topics=True
        )
        partitions = asyncio.run(topic_admin.ensure(use_case, settings))
        names = topic_admin.names_of(use_case, settings)
        progress, began = ProgressLine("written"), monotonic()

        def on_progress(count: int, time: datetime) -> None:
            progress(count, more=f"{time:%Y-%m-%d %H:%M}")

        work = Backfill(use_case, settings, names, partitions, on_progress)
        done = asyncio.run(work.run(recording, append=append))
    progress.done()
    print_unmatched(recording)
    learnt, total = asyncio.run(_applied(settings, names, partitions, wait=wait))
    result = _result(recording, names["history"], done, monotonic() - began)
    result |= {"applied": learnt, "history": total}
    if json:
        as_json(result)
    else:
        _print(result, usecase)
    report = recording.report
    if done.skipped or report.refused or report.labels_refused:
        raise typer.Exit(1)


async def _applied(
    settings: Settings, names: Mapping[str, str], partitions: int, *, wait: bool
) -> tuple[int, int]:
    from streams.offline.backfill import applied

    progress = ProgressLine("learnt by the workers")
    before, moved = -1, monotonic()
    while True:
        done, total = await applied(settings, names, partitions)
        if done >= total or not wait:
            progress.done()
            return done, total
        progress(done, total)
        now = monotonic()
        if done > before:
            before, moved = done, now
        if now - moved > STALLED_S_MAX:
            raise Unavailable(
                f"{done} of {total} records are learnt and nothing has moved for "
                f"{STALLED_S_MAX:.0f} s. Is a worker running? See `riverrun status`."
            )
        await asyncio.sleep(WAIT_S)


def _result(recording: Recording, topic: str, done: Backfilled, seconds: float) -> dict[str, Any]:
    return {
        "source": recording.name,
        "read": recording.report.as_json(),
        "topic": topic,
        "recording": done.recording,
        "events": done.events,
        "outcomes": done.outcomes,
        "already": done.already,
        "skipped": done.skipped,
        "reasons": done.reasons,
        "first_time": done.first_time,
        "last_time": done.last_time,
        "seconds": round(seconds, 1),
    }


def _print(result: Mapping[str, Any], usecase: str) -> None:
    data.print(
        f"{result['events']:,} events and {result['outcomes']:,} outcomes written to "
        f"{result['topic']}, {result['first_time']} to {result['last_time']}",
    )
    if result["already"]:
        data.print(f"{result['already']:,} were there already")
    if result["skipped"]:
        data.print(f"{result['skipped']:,} were left out:", style="red")
        for reason in result["reasons"]:
            data.print(f"  {reason}")
    data.print(f"{result['applied']:,} of {result['history']:,} are learnt by now")
    if result["applied"] < result["history"]:
        talk.print(f"A worker learns them: {command_line('worker', usecase)}")
