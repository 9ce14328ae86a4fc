"""`riverrun capture`: topics as Parquet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError
from schemas.topics import BY_KIND
from streams.cli.shared.options import AsJson, Prefix, Reveal, UseCaseName
from streams.cli.shared.terminal import as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of

if TYPE_CHECKING:
    from streams.offline.parquet_capture import Capture, Captured

ROWS = 100_000


def capture(
    usecase: UseCaseName,
    kinds: Annotated[
        list[str], typer.Argument(metavar="KIND...", help="Such as examples, predictions.")
    ],
    to: Annotated[str, typer.Option(metavar="DIR|URL", help="Where: a folder or any fsspec URL.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows of one file at most.")] = ROWS,
    follow: Annotated[
        bool, typer.Option("--follow", help="Continue with new records, until stopped.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="With --follow: seconds between.")] = 60,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Write topics as partitioned Parquet, each committed record in exactly one file.

    If it is killed, the same command continues where it stopped. Example:
    `riverrun capture flight_eta examples predictions --to captured`
    """
    from streams.offline.parquet_capture import Capture, Folder
    from streams.operations.reveal import masking_for
    from streams.recordings.arrow_columns import arrow

    arrow("Parquet")
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    names = names_of(use_case, settings)
    if unknown := [kind for kind in kinds if kind not in BY_KIND]:
        raise ConfigError(
            f"There is no kind of topic {unknown[0]!r}.", hint=f"Known: {', '.join(BY_KIND)}."
        )
    subject = f"capture of {', '.join(kinds)} to {to}"
    masking = masking_for(use_case, settings, why=reveal, subject=subject)
    folder = Folder(to)

    def on_file(path: str, count: int) -> None:
        talk.print(f"{count:,} rows  {path}")

    work = Capture(use_case, settings, folder, masking, rows_max=rows, on_file=on_file)
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
        as_json([asdict(topic) for topic in done])
        return
    for topic in done:
        data.print(f"{topic.topic}: {topic.rows:,} rows in {len(topic.files):,} files")
