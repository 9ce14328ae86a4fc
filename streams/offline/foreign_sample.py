"""The first values of a foreign topic, from the topic itself or from a file of its values."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from models.validation.foreign_topic_profile import SourceProfile, profile_of
from schemas.errors import ConfigError
from streams.recordings.files import is_stored, stored_in
from streams.recordings.foreign_records import SchemaReader
from streams.recordings.topic_values import TopicReader

SAMPLE = 10_000


def foreign_profile(
    argument: str, read_topic: TopicReader, read_schemas: SchemaReader
) -> tuple[str, SourceProfile]:
    """Return a topic's name and its profile, of `TOPIC`, `FILE` or `TOPIC=FILE`.

    A file has one value a line; without a topic's name before it, it is named as the topic.
    """
    topic, is_file, where = argument.partition("=")
    if is_file or is_stored(argument):
        values = _lines(where or argument)
        topic = topic if is_file else Path(argument).name.split(".json")[0]
    else:
        values = [each.value for each in islice(read_topic(argument), SAMPLE)]
    if not values:
        raise ConfigError(f"{argument} holds no records.", hint="Name another TOPIC or FILE.")
    return topic, profile_of(values, read_schemas(values))


def _lines(file: str) -> list[bytes]:
    values: list[bytes] = []
    for stored in stored_in(file, lambda reason: None):
        with stored.open() as stream:
            values += [line for line in islice(stream, SAMPLE) if line.strip()]
    return values[:SAMPLE]
