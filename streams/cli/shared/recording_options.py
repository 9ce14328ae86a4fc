"""Options of the commands that read recordings, and the report of what was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from models.formats.payload import Schemas
from models.spec.use_case import UseCase
from streams.cli.shared.option_groups import OptionGroup
from streams.cli.shared.terminal import talk
from streams.config.settings import Settings
from streams.recordings import FileFormat, Recording, Report, TopicReader, recording_of

Outcomes = Annotated[
    list[str] | None,
    typer.Option(
        "--outcomes", metavar="TOPIC|FILE", help="Where the source has only events; as --source."
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Take the first N records, by time.")
]


@dataclass(frozen=True)
class FormatOptions(OptionGroup):
    """The format of files, where it is not detected."""

    encoding: Annotated[
        str | None,
        typer.Option("--encoding", help="Of text files, such as latin-1. Default: detected."),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option("--delimiter", help="Of CSV: a character, or tab. Default: detected."),
    ] = None
    decimal: Annotated[
        str | None, typer.Option("--decimal", help="Of CSV: . or , Default: detected.")
    ] = None
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="Of times without one, such as UTC or Europe/Berlin."),
    ] = None
    time_format: Annotated[
        str | None,
        typer.Option(
            "--time-format", help="Of times that are not ISO 8601, such as '%d.%m.%Y %H:%M'."
        ),
    ] = None

    @property
    def format(self) -> FileFormat:
        """Return the format for readers; raise `ConfigError` on an unknown decimal sign."""
        return FileFormat(self.encoding, self.delimiter, self.decimal, self.zone, self.time_format)


@dataclass(frozen=True)
class SourceOptions(OptionGroup):
    """Which recording is read."""

    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="TOPIC|FILE",
            help="Instead of its own recorded data: a topic, file, folder or pattern; may be "
            "repeated.",
        ),
    ] = None
    outcomes: Outcomes = None


@dataclass(frozen=True)
class RecordingOptions(FormatOptions, SourceOptions):
    """Which recording is read, and how."""

    def open(self, use_case: UseCase, limit: int | None = None) -> Recording:
        """Open the recording that the options name, else the use case's own, and report what was
        read.
        """
        return open_recording(use_case, self.source, self.outcomes, limit, self.format)


def topic_reader(limit: int | None = None, settings: Settings | None = None) -> TopicReader:
    """Return a reader of topics that reads at most `limit` records."""
    from streams.embedded.server_discovery import running
    from streams.offline.topic_recording import read_topic

    return lambda topic: read_topic(topic, settings or running(Settings.load()), limit)


def open_recording(
    use_case: UseCase,
    sources: Sequence[str] | None,
    outcomes: Sequence[str] | None,
    limit: int | None = None,
    format: FileFormat | None = None,
    settings: Settings | None = None,
    *,
    sort_topics: bool = False,
) -> Recording:
    """Open the named sources, else the use case's own, and report what was read and left out."""

    def read_schemas(values: Iterable[bytes]) -> Schemas:
        from streams.registry.known_schemas import schemas_of

        return schemas_of(values, settings or Settings.load())

    recording = recording_of(
        use_case,
        sources or (),
        outcomes or (),
        topic_reader(limit, settings),
        limit,
        format,
        sort_topics=sort_topics,
        read_schemas=read_schemas,
    )
    print_report(recording.report)
    return recording


def print_report(report: Report) -> None:
    """Report on stderr what was read, how, and what was left out."""
    style = "yellow" if report.refused or report.labels_refused else None
    for line in report.lines():
        talk.print(line, style=style if line.startswith(("Left out", "  ")) else None)


def print_unmatched(recording: Recording) -> None:
    """Report after a run how many outcomes belong to no event."""
    if count := recording.report.unmatched:
        outcomes = "1 outcome belongs" if count == 1 else f"{count:,} outcomes belong"
        talk.print(
            f"{outcomes} to no event of the recording: unmatched, not learnt.", style="yellow"
        )
