"""`riverrun backfill`: learn from recorded data before going live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import Misdeclared, Unavailable
from streams import topics
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.servers import running
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.backfilling import Backfilled
    from streams.recordings import Recording

WAIT_S = 0.5
STILL_S_MAX = 120.0
"""With --wait: without any progress for so long, no worker seems to be there."""


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(backfill)


def backfill(
    usecase: UseCaseName,
    source: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|TOPIC]", help="Default: the use case's own recorded data."),
    ] = None,
    outcomes: Annotated[
        str | None, typer.Option(metavar="FILE|TOPIC", help="Where the source has only events.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first N records.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add it after an earlier backfill of other data.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return only when workers have learnt all of it.")
    ] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Have a use case learn from recorded events and outcomes before it goes live.

    They are written to its history topic in the order of time; workers learn them, answer none and
    journal all. The same command again goes on where it was stopped and doubles nothing. Exit code
    1 if records had to be left out. Example: `riverrun backfill flight_eta --limit 20000 --wait`
    """
    from streams.backfilling import Backfill
    from streams.recordings import recording_of
    from streams.topic_reading import read_topic

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    if outcomes is not None and source is None:
        raise Misdeclared("--outcomes is given without a source.", mend="Name the events, too.")
    recording = recording_of(
        use_case, source, outcomes, lambda topic: read_topic(topic, settings, limit), limit
    )
    partitions = asyncio.run(topics.ensure(use_case, settings))
    names = topics.names_of(use_case, settings)
    progress, began = Progress("written"), monotonic()

    def show(count: int, time: datetime) -> None:
        progress(count, more=f"{time:%Y-%m-%d %H:%M}")

    work = Backfill(use_case, settings, names, partitions, show)
    done = asyncio.run(work.run(recording, append=append))
    progress.done()
    learnt, total = asyncio.run(_applied(settings, names, partitions, wait=wait))
    result = _result(recording, names["history"], done, monotonic() - began)
    result |= {"applied": learnt, "history": total}
    if json:
        as_json(result)
    else:
        _print(result, usecase)
    if done.skipped:
        raise typer.Exit(1)


async def _applied(
    settings: Settings, names: Mapping[str, str], partitions: int, *, wait: bool
) -> tuple[int, int]:
    from streams.backfilling import applied

    progress = Progress("learnt by the workers")
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
        if now - moved > STILL_S_MAX:
            raise Unavailable(
                f"{done} of {total} records are learnt and nothing has moved for "
                f"{STILL_S_MAX:.0f} s. Is a worker running? See `riverrun status`."
            )
        await asyncio.sleep(WAIT_S)


def _result(recording: Recording, topic: str, done: Backfilled, seconds: float) -> dict[str, Any]:
    return {
        "source": recording.name,
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
        markup=False,
    )
    if result["already"]:
        data.print(f"{result['already']:,} were there already")
    if result["skipped"]:
        data.print(f"{result['skipped']:,} were left out:", style="red")
        for reason in result["reasons"]:
            data.print(f"  {reason}", markup=False)
    data.print(f"{result['applied']:,} of {result['history']:,} are learnt by now")
    if result["applied"] < result["history"]:
        talk.print(f"A worker learns them: riverrun worker {usecase}", markup=False)
