"""One file of a recording: its format is detected, its rows are read with their places."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from schemas.personal_data import personal_paths
from schemas.timestamps import moment
from streams.recordings import columnar_files, delimited, documents
from streams.recordings.cells import ABSENT, COMMA_NUMBER, NUMBER
from streams.recordings.encodings import encoding_of, is_binary, is_readable, text_of
from streams.recordings.files import NotARecording, StoredFile, reading
from streams.recordings.report import Report, Unusable
from streams.recordings.row_mapping import Field, is_plain

SAMPLE = 1_000
"""Rows that the decimal sign is seen from."""

Row = Mapping[str, Any] | Unusable
NUMBERS = ("float", "number", "decimal")


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How files are to be read where that is not left to detection."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    zone: str | None = None
    time_format: str | None = None

    def __post_init__(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise ConfigError(f"{self.decimal!r} is no decimal sign.", hint="Say . or ,")


class Columns:
    """The names of columns that a use case, or a profile, knows."""

    def __init__(self, use_case: UseCase | None, names: tuple[str, ...] = ()) -> None:
        self.known: frozenset[str] = frozenset((*names, "event_id", "event_time", "outcome_time"))
        self.numbers: frozenset[str] | None = None
        if use_case is None:
            return
        fields = [
            Field(name, info, personal=False)
            for model in (use_case.event, use_case.outcome)
            for name, info in model.model_fields.items()
        ]
        self.known |= {name for field in fields for name in field.names}
        self.numbers = frozenset(n for f in fields if f.kind in NUMBERS for n in f.names)


class RecordedFile:
    """One file. `read` names the method of `RowMapping` for its rows; `places` count its `unit`."""

    def __init__(
        self, stored: StoredFile, format: FileFormat, columns: Columns, report: Report
    ) -> None:
        self.name = stored.name
        self.decimal = format.decimal or "."
        self.names: tuple[str, ...] | None = None
        self.captured: str | None = None
        self.first_line = ""
        self._hides = False
        self._stored = stored
        self._dialect: delimited.Dialect | None = None
        head = stored.head()
        binary = columnar_files.format_of(head)
        packing = "".join(f", {name}" for name in stored.packing)
        self.unit = "line"
        if binary is not None:
            self.read, self.unit = "of_values", "row"
            self._table = columnar_files.ColumnarFile(stored, binary)
            self.names, self.captured = tuple(self._table.names), self._table.captured
            self.format = binary + packing
            if self._table.masked:
                report.note(f"{self.name}: captured with masked fields: {self._table.masked}")
            return
        self._codec, encoding = encoding_of(stored, format.encoding)
        with text_of(stored, self._codec) as text:
            start = reading(self.name, lambda: text.read(16_384))
        if is_binary(start):
            raise NotARecording(
                f"{self.name} is no text: it holds control characters.",
                hint="Save it as CSV, JSON lines, Parquet or Arrow.",
            )
        if start.lstrip().startswith(("{", "[")):
            self.read, self._document = "of_json", documents.is_document(start)
            self.format = f"{'JSON' if self._document else 'JSON lines'}, {encoding}{packing}"
            return
        self.read = "of_texts"
        self.format = f"empty{packing}"
        with text_of(stored, self._codec) as text:
            dialect = delimited.dialect_of(
                self.name,
                text,
                delimited.delimiter_named(format.delimiter),
                columns.known,
                report,
            )
        self._dialect = dialect
        if dialect is None:
            return
        self.names = tuple(name for name in dialect.names if name is not None)
        self.first_line = start.lstrip().partition("\n")[0].strip()
        if format.decimal is None:
            self.decimal = self._decimal(columns)
        comma = ", decimal comma" if self.decimal == "," else ""
        self.format = f"{dialect}{comma}, {encoding}{packing}"

    def _decimal(self, columns: Columns) -> str:
        """Return a comma if more numbers of the first rows have one than have a point."""
        assert self._dialect is not None
        if self._dialect.delimiter == ",":
            return "."
        texts: dict[str, list[str]] = {}
        for _, row in itertools.islice(self.rows(Report()), SAMPLE):
            if not isinstance(row, Unusable):
                for name, cell in row.items():
                    if cell and cell not in ABSENT:
                        texts.setdefault(name, []).append(cell.strip())
        commas = points = 0
        for name, cells in texts.items():
            if columns.numbers is not None:
                if name not in columns.numbers:
                    continue
            elif not all(COMMA_NUMBER.fullmatch(cell) for cell in cells):
                continue
            points += sum("." in cell and NUMBER.fullmatch(cell) is not None for cell in cells)
            commas += sum(
                "," in cell and COMMA_NUMBER.fullmatch(cell) is not None for cell in cells
            )
        return "," if commas > points else "."

    @property
    def lacks_header(self) -> bool:
        """Return whether the first line of a CSV file looks like data, with a number or a time."""
        return self._dialect is not None and any(
            NUMBER.fullmatch(name) or moment(name) is not None for name in self.names or ()
        )

    def rows(self, report: Report) -> Iterator[tuple[int, Row]]:
        """Yield every row with its location, and `Unusable` for each that cannot be read."""
        if self.unit == "row":
            yield from self._table.rows()
            return
        with text_of(self._stored, self._codec) as text:
            rows: Iterator[tuple[int, Row]]
            if self.read == "of_json":
                rows = (
                    documents.document_of(text)
                    if self._document
                    else documents.lines_of(text, report)
                )
            elif self._dialect is None:
                return
            else:
                rows = self._texts(
                    delimited.records_of(text, self._dialect, self.name, report), self._dialect
                )
            yield from self._until_damaged(rows)

    def _until_damaged(self, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """Yield all rows; a packed file that ends too early ends in a refusal."""
        line = 0
        while True:
            try:
                step = reading(self.name, lambda: next(rows, None))
            except ConfigError as error:
                yield (
                    line + 1,
                    Unusable(f"all that follows cannot be read: {error.reason}", error.hint),
                )
                return
            if step is None:
                return
            line = step[0]
            yield step

    def _texts(
        self, records: Iterator[delimited.Cells], dialect: delimited.Dialect
    ) -> Iterator[tuple[int, Row]]:
        names = dialect.names
        whole = None not in names
        for line, cells in records:
            if isinstance(cells, Unusable):
                yield line, cells
                continue
            if not all(map(str.isascii, cells)) and not all(map(is_readable, cells)):
                column = next(n for n, c in zip(names, cells, strict=True) if not is_readable(c))
                yield (
                    line,
                    Unusable(
                        "it has bytes that are not of this encoding",
                        "Say which: --encoding.",
                        column,
                    ),
                )
                continue
            row = dict(zip(names, cells, strict=True))
            if not whole:
                row.pop(None, None)
            yield line, row  # type: ignore[misc]

    def check(self, use_case: UseCase, role: str | None) -> None:
        """Raise `NotARecording` if it has other columns, `ConfigError` if it lacks some of them."""
        if not self.names or self.captured:
            return
        present = set(self.names)
        self._hides = bool(personal_paths(use_case.event) or personal_paths(use_case.outcome))
        models = {"event": use_case.event, "outcome": use_case.outcome}
        sides = {kind: model for kind, model in models.items() if role in (None, kind)}
        if not all(map(is_plain, sides.values())):
            return
        timed = False
        for kind, model in sides.items():
            fields = [Field(n, i, personal=False) for n, i in model.model_fields.items()]
            if not any(f.name == f"{kind}_time" and f.names & present for f in fields):
                continue
            timed = True
            known = {name for field in fields for name in field.names}
            for field in fields:
                if field.required and not field.names & present:
                    raise ConfigError(
                        f"{self.name} has no column {field.column!r}, which {model.__name__} "
                        f"needs. {self._columns(field.column, known)}"
                    )
        if not timed:
            times = " or ".join(f"{kind}_time" for kind in sides)
            raise NotARecording(f"{self.name} has no column {times}. {self._columns()}")

    def _columns(self, wanted: str = "", known: Collection[str] = ()) -> str:
        assert self.names is not None
        if self.lacks_header:
            shown = "" if self._hides else f": {self.first_line[:80]!r}"
            return f"Its first line is no header{shown}; write one above it."
        others = {_plain(name): name for name in self.names if name not in known}
        close = difflib.get_close_matches(_plain(wanted), others, 1, 0.75) if wanted else []
        hint = (
            f" Is {others[close[0]]!r} meant? Rename it, or give the field that alias."
            if close
            else ""
        )
        names = ", ".join(self.names[:20])
        return f"It has: {''.join(c if c.isprintable() else '?' for c in names[:400])}.{hint}"


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")
