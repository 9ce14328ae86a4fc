"""Recordings: events and outcomes in files and topics, read in one way by all commands.

Nothing is dropped or changed in silence: what was detected, refused or understood in one of two
ways is in the `Report`. One bad record never ends a run; a recording of which nothing can be used
does. The format is in docs/reference/RECORDINGS.md.

    files          files, folders, archives, compression    encodings    bytes → text
    delimited      CSV         documents  JSON              tables       Parquet, Arrow
    cells          a cell → a JSON value, by its field      row_mapping  a row → event, outcome
    recorded_file  one file                                 recording    all of them, by time
"""

from streams.recordings.recorded_file import FileFormat
from streams.recordings.recording import (
    Recording,
    Refusal,
    Row,
    events_of,
    recording_of,
)
from streams.recordings.report import Report
from streams.recordings.topic_values import TopicReader

__all__ = [
    "FileFormat",
    "Recording",
    "Refusal",
    "Report",
    "Row",
    "TopicReader",
    "events_of",
    "recording_of",
]
