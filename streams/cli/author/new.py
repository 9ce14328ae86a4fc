"""`riverrun new`: write a use case to begin with."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from schemas.command_line import command_line
from schemas.errors import ConfigError
from streams.cli.shared.terminal import data, talk
from streams.recordings.files import is_stored

ROWS_MAX = 20_000
"""Rows of a recording that a draft is made from."""


def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case, as in topic names.")],
    to: Annotated[
        Path | None, typer.Option(help="Where to write it. Default: usecases/NAME.py")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Draft it from a recording: its fields, the best baseline.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="With --source: the field to be predicted.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="With --source: the field to be the key.")] = None,
    foreign: Annotated[
        str | None,
        typer.Option("--from", metavar="TOPIC|FILE", help="A topic of others to adopt."),
    ] = None,
    outcomes: Annotated[
        str | None,
        typer.Option(metavar="TOPIC|FILE", help="With --from: where the outcomes are."),
    ] = None,
) -> None:
    """Write a use case to begin with: commented, complete, and passing `riverrun check`.

    With --source, it has that recording's fields, and the best simple rule is its baseline.
    `--from` writes one that adopts a topic of others: TOPIC, a FILE of its values, one a line, or
    TOPIC=FILE. Example: `riverrun new delivery_time`
    """
    from models.validation.check_names import NAME

    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be part of a topic's name.",
            hint="Use lower-case letters, digits and underscores, beginning with a letter.",
        )
    path = to or Path("usecases") / f"{name}.py"
    if path.suffix != ".py":
        raise ConfigError(f"{path} is not a Python file.", hint="End its name in .py.")
    if path.exists():
        raise ConfigError(f"{path} already exists.", hint="Choose another name, or give --to FILE.")
    if (source is None) != (label is None):
        raise ConfigError(
            "A draft needs a recording and the label in it.", hint="Give both --source and --label."
        )
    if foreign is not None and source is not None:
        raise ConfigError(
            "A use case is drafted from one thing.", hint="Give --source (a recording) or --from."
        )
    if foreign is not None:
        text = _adopting(name, foreign, outcomes)
    elif source is not None and label is not None:
        text = _drafted(name, source, label, key)
    else:
        template = files("streams.cli.author").joinpath("use_case_template.py.txt")
        filled = {"@NAME@": name, "@CONSTANT@": name.upper(), "@FILE@": str(path)}
        text = re.sub(r"@[A-Z]+@", lambda match: filled[match[0]], template.read_text("utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text(text, "utf-8")
    except OSError:  # no half-made file is in the way of the next try
        path.unlink(missing_ok=True)
        raise
    data.print(str(path))
    read = [each for each in (source, foreign, outcomes) if each is not None]
    options = tuple(word for each in read for word in ("--source", each))
    talk.print(f"Next: `{command_line('check', str(path), options=options)}`, then adapt it.")


def _drafted(name: str, source: str, label: str, key: str | None) -> str:
    """Return a use case made from the first rows of a recording."""
    from models.validation.data_profile import Profile, seconds_of
    from models.validation.simple_rules import joined, ranked
    from streams.offline.recording_draft import recording_draft
    from streams.recordings import Report
    from streams.recordings.recorded_file import FileFormat
    from streams.recordings.unmapped_rows import rows_of

    if not is_stored(source):
        raise ConfigError(f"There is no file {source}.", hint="Name a file or a folder.")
    profile, rows = Profile(), []
    for row in islice(rows_of([source], lambda _: [], FileFormat(), (), Report()), ROWS_MAX):
        rows.append(row)
        profile.event(row)
        if row.get("outcome_time") not in (None, ""):
            profile.outcome(row)
    rules = ranked(joined(rows, label, profile.time or "event_time", seconds_of), label)
    if not rules:
        raise ConfigError(
            f"No row of {source} has both a time and the label {label!r}.",
            hint="Look at it: `riverrun profile FILE`.",
        )
    report = profile.report()
    return recording_draft(name, report, rules[0], label=label, key=key, source=source).text()


def _adopting(name: str, source: str, outcomes: str | None) -> str:
    from streams.cli.shared.recording_options import topic_reader
    from streams.config.settings import Settings
    from streams.offline.foreign_draft import foreign_draft
    from streams.offline.foreign_sample import SAMPLE, foreign_profile
    from streams.registry.known_schemas import schemas_of

    read_topic = topic_reader(SAMPLE)
    profiles = [
        foreign_profile(each, read_topic, lambda values: schemas_of(values, Settings.load()))
        for each in (source, outcomes)
        if each is not None
    ]
    for topic, seen in profiles:
        talk.print(
            f"{topic}: {seen.format}, {seen.records:,} records; id {seen.id}, time "
            f"{seen.shown_time}, key {seen.key}"
        )
    return foreign_draft(name, *profiles[0], *(profiles[1] if outcomes else ())).text()
