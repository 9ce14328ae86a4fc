"""Recorded events and outcomes, wherever they are: files, topics, or the use case's own.

A file has one record a line (`.jsonl`, `.ndjson`, `.csv`) or is one JSON array (`.json`), plain or
as `.gz` or `.zip`. A record that has `outcome_time`, or whose `kind` is "outcome", is an outcome;
one that has `event_time` as well is both: an event, and its outcome when that was known. A source
that is not a file is a topic.

Records come in the order in which a partition task takes them: by time, outcomes first on equal
times, and never out of their own source's order. Every recording can be read again.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import BaseModel, ValidationError

from models.moments import moment
from models.usecase import UseCase
from schemas.errors import Misdeclared

Fields = Mapping[str, Any]
Row = tuple[str, Fields]
"""("event" | "outcome", fields)."""

FORMATS = (".jsonl", ".ndjson", ".json", ".csv")
PACKED = (".gz", ".zip")
EMPTY = ("", "NA", "NaN", "nan", "null", "None")
"""What a CSV file writes where there is nothing."""

TopicReader = Callable[[str], list[Fields]]


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded rows that can be read any number of times, and what they are called."""

    name: str
    opened: Callable[[], Iterator[Row]]

    def __iter__(self) -> Iterator[Row]:
        return self.opened()


def is_file(source: str) -> bool:
    """True for a file, False for a topic; `Misdeclared` for a file that is not there.

    >>> is_file("departures")
    False
    """
    path = Path(source)
    if path.is_file():
        return True
    if "/" in source or set(path.suffixes) & {*FORMATS, *PACKED}:
        raise Misdeclared(f"There is no file {source}.", mend="A name without a suffix is a topic.")
    return False


def recording_of(
    use_case: UseCase,
    source: str | None,
    outcomes: str | None,
    read_topic: TopicReader,
    limit: int | None = None,
) -> Recording:
    """The use case's own recording, or those of `source` and `outcomes` (files or topics)."""
    if source is None:
        if use_case.recorded is None:
            raise Misdeclared(
                f"{use_case.name} has no `recorded`.", mend="Name its data: --source FILE or TOPIC."
            )
        own = use_case.recorded
        return Recording("its own recording", lambda: itertools.islice(own(), limit))
    events = _reader(source, use_case.event, read_topic)
    if outcomes is not None:
        labels = _reader(outcomes, use_case.outcome, read_topic)
        return Recording(
            f"{source} and {outcomes}",
            lambda: itertools.islice(
                merged((("event", f) for f in events()), (("outcome", f) for f in labels())), limit
            ),
        )
    raw = _reader(source, None, read_topic)
    return Recording(source, lambda: itertools.islice(_mixed(raw, use_case), limit))


def merged(*streams: Iterable[Row]) -> Iterator[Row]:
    """Several streams as one: always the head of smallest time, outcomes first on equal times."""
    return heapq.merge(*streams, key=_place)


def _place(row: Row) -> tuple[float, int]:
    kind, fields = row
    time = moment(fields.get("outcome_time" if kind == "outcome" else "event_time"))
    return float("-inf") if time is None else time, 0 if kind == "outcome" else 1


def kind_of(fields: Fields) -> str:
    """Whether a row is an `event`, an `outcome` or `both`."""
    if fields.get("kind") in ("event", "outcome"):
        return str(fields["kind"])
    if not fields.get("outcome_time"):
        return "event"
    return "both" if fields.get("event_time") else "outcome"


def _mixed(read: Callable[[], Iterator[Fields]], use_case: UseCase) -> Iterator[Row]:
    """One source that holds events and outcomes, each as rows of their own or in one row."""

    def rows(kind: str) -> Iterator[Row]:
        model = use_case.event if kind == "event" else use_case.outcome
        return ((kind, typed(f, model)) for f in read() if kind_of(f) == kind)

    both = (f for f in read() if kind_of(f) == "both")
    return merged(rows("event"), rows("outcome"), _split(both, use_case))


def _split(rows: Iterator[Fields], use_case: UseCase) -> Iterator[Row]:
    waiting: list[tuple[tuple[float, int], int, Row]] = []
    for number, fields in enumerate(rows):
        event = ("event", typed(fields, use_case.event))
        while waiting and waiting[0][0] <= _place(event):
            yield heapq.heappop(waiting)[2]
        yield event
        outcome = ("outcome", typed(fields, use_case.outcome))
        heapq.heappush(waiting, (_place(outcome), number, outcome))
    while waiting:
        yield heapq.heappop(waiting)[2]


def typed(fields: Fields, model: type[BaseModel]) -> Fields:
    """A row as the model declares it, where it is text only (CSV); else as it is.

    What does not fit stays as it is, so that it is refused in words when it is used.
    """
    if not isinstance(fields, _Texts):
        return fields
    given = {name: value for name, value in fields.items() if value not in EMPTY}
    try:
        return model.model_validate_strings(given, strict=False).model_dump(exclude_unset=True)
    except ValidationError:
        return given


class _Texts(dict[str, Any]):
    """A row of a CSV file: every value is text."""


def _reader(
    source: str, model: type[BaseModel] | None, read_topic: TopicReader
) -> Callable[[], Iterator[Fields]]:
    if is_file(source):
        path = Path(source)
        if model is None:
            return lambda: rows_of(path)
        return lambda: (typed(fields, model) for fields in rows_of(path))
    kept = read_topic(source)
    return lambda: iter(kept)


def rows_of(path: Path) -> Iterator[Fields]:
    """The rows of a file, as it has them; `Misdeclared` names the line that cannot be read."""
    with _opened(path) as (text, suffix):
        if suffix == ".csv":
            for row in csv.DictReader(text):
                yield _Texts(row)
        elif suffix == ".json":
            found = _parsed(text.read(), path, 1)
            yield from (_fields(f, path, n) for n, f in enumerate(_listed(found), 1))
        else:
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield _fields(_parsed(line, path, number), path, number)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[str], str]]:
    """The text in a file and the suffix that tells its format, packed or not."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".zip"]:
        with zipfile.ZipFile(path) as packed:
            name = next((n for n in packed.namelist() if Path(n).suffix.lower() in FORMATS), None)
            if name is None:
                raise Misdeclared(
                    f"{path} holds no file that ends in {', '.join(FORMATS)}.", mend="Repack it."
                )
            with packed.open(name) as inner, io.TextIOWrapper(inner, "utf-8") as text:
                yield text, Path(name).suffix.lower()
        return
    suffix = next((s for s in reversed(suffixes) if s not in PACKED), "")
    if suffix not in FORMATS:
        raise Misdeclared(
            f"{path} is of no format that is known here.",
            mend=f"Name it by what it is: {', '.join(FORMATS)}, also .gz or .zip.",
        )
    if suffixes[-1] == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as text:
            yield text, suffix
    else:
        with path.open(encoding="utf-8", newline="") as text:
            yield text, suffix


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Misdeclared(
            f"{path}, line {number} is not JSON: {error}.",
            mend="Write one JSON object a line, or name the file .json if it is one document.",
        ) from None


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _fields(found: Any, path: Path, number: int) -> Fields:
    if not isinstance(found, dict):
        raise Misdeclared(
            f"{path}, record {number} is a {type(found).__name__}.", mend="Write JSON objects."
        )
    return found
