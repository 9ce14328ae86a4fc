"""`riverrun capture`: topics as Parquet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import Misdeclared
from schemas.topics import BY_KIND
from streams.cli.options import AsJson, Prefix, Reveal, UseCaseName
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

if TYPE_CHECKING:
    from streams.capturing import Capture, Captured

ROWS = 100_000


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(capture)


def capture(
    usecase: UseCaseName,
    kinds: Annotated[
        list[str], typer.Argument(metavar="KIND...", help="Such as examples, predictions.")
    ],
    to: Annotated[str, typer.Option(metavar="DIR|URL", help="Where: a folder or any fsspec URL.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows of one file at most.")] = ROWS,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what comes, until stopped.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="With --follow: seconds between.")] = 60,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Write topics as partitioned Parquet, each committed record in exactly one file.

    Killed anywhere, the same command goes on where it was. Example:
    `riverrun capture flight_eta examples predictions --to captured`
    """
    from streams.capturing import Capture, Folder
    from streams.columns import arrow
    from streams.revealing import masking_for

    arrow()
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    names = names_of(use_case, settings)
    if unknown := [kind for kind in kinds if kind not in BY_KIND]:
        raise Misdeclared(f"There is no kind {unknown[0]!r}.", mend=f"Known: {', '.join(BY_KIND)}.")
    what = f"capture of {', '.join(kinds)} to {to}"
    masking = masking_for(use_case, settings, why=reveal, what=what)
    folder = Folder(to)

    def say(path: str, count: int) -> None:
        talk.print(f"{count:,} rows  {path}", markup=False)

    work = Capture(use_case, settings, folder, masking, rows_max=rows, on_file=say)
    with folder.locked(), contextlib.suppress(KeyboardInterrupt):
        while True:
            done = asyncio.run(_all(work, kinds, names))
            _report(done, json)
            if not follow:
                break
            sleep(every)


async def _all(work: Capture, kinds: Sequence[str], names: Mapping[str, str]) -> list[Captured]:
    return [await work.run(kind, names[kind]) for kind in kinds]


def _report(done: list[Captured], json: bool) -> None:
    if json:
        as_json([asdict(one) for one in done])
        return
    for one in done:
        data.print(f"{one.topic}: {one.rows:,} rows in {len(one.files):,} files", markup=False)
