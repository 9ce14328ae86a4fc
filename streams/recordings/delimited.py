"""CSV in any dialect, row by row with its line in the file.

Python's csv module, strict: a quote that is closed amid a cell, or never, costs the record that it
is in and nothing after it. The dialect is seen from the first lines: the delimiter is the one that
gives the columns that the use case knows, else the most columns most evenly.

    lines ─▶ title, comments, `sep=` ─▶ header ─▶ records
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from schemas.errors import ConfigError
from streams.recordings.report import Report, Unusable

DELIMITERS = (",", ";", "\t", "|")
NAMED = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " ",
    "colon": ":", "caret": "^",
}  # fmt: skip
WORDS = {"\t": "tab", " ": "space"}
SAMPLE_LINES = 200
HEADER_WITHIN = 20
"""Lines among which the header is looked for."""

Cells = tuple[int, list[str] | Unusable]
"""A line's number, and the cells of the record that begins there."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written. `names` are the columns, the first `skipped` lines come before them.

    A column without a name, or whose name came before, is None: nothing is read from it.
    """

    delimiter: str
    quote: str
    escape: str | None
    spaced: bool
    names: tuple[str | None, ...]
    skipped: int

    def __str__(self) -> str:
        delimiter = WORDS.get(self.delimiter, f"'{self.delimiter}'")
        quote = "" if self.quote == '"' else f", quoted by {self.quote}"
        spaced = ", spaces after it left out" if self.spaced else ""
        return f"CSV, delimiter {delimiter}{spaced}{quote}"

    def reader(self, lines: Iterator[str]) -> Any:
        """Return a reader of the csv module."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=self.escape is None,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
            strict=True,
        )


def delimiter_named(text: str | None) -> str | None:
    """Return the delimiter that an option names; raises `ConfigError`."""
    if text is None:
        return None
    delimiter = NAMED.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(
            f"{text!r} cannot be a delimiter.", hint=f"Give one character, or {', '.join(NAMED)}."
        )
    return delimiter


def dialect_of(
    name: str, text: TextIO, delimiter: str | None, known: frozenset[str], report: Report
) -> Dialect | None:
    """Return how a file is written, None if it is empty. `known`: names of possible columns."""
    sample = list(itertools.islice(text, SAMPLE_LINES))
    if not any(line.strip() for line in sample):
        return None
    if sample[0].lower().startswith("sep=") and len(sample[0].strip()) <= 5:
        delimiter = delimiter or sample[0].strip("\r\n")[4:5] or None
    quote, escape = _quoting(sample)
    spaced = False
    candidates = [delimiter] if delimiter is not None else list(DELIMITERS)
    best: tuple[tuple[int, float, int], Dialect] | None = None
    for each in candidates:
        assert each is not None
        spaced = _is_spaced(sample, each)
        trial = Dialect(each, quote, escape, spaced, (), 0)
        rows = [(at, cells) for at, cells in _records(trial, iter(sample)) if type(cells) is list]
        if not rows:
            continue
        at, header = _header(rows, known)
        score = (len(known & {cell.strip() for cell in header}), *_evenness(rows))
        if best is None or score > best[0]:
            best = score, Dialect(each, quote, escape, spaced, tuple(header), at)
    if best is None:
        raise ConfigError(f"{name} cannot be read as CSV.", hint="Say --delimiter or --encoding.")
    return _named(name, best[1], known, sample, report)


def _quoting(sample: Sequence[str]) -> tuple[str, str | None]:
    text = "".join(sample)
    if (
        '"' not in text
        and len(re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|\r\n])", text, re.M)) > 2
    ):
        return "'", None
    return '"', "\\" if '\\"' in text and '""' not in text else None


def _is_spaced(sample: Sequence[str], delimiter: str) -> bool:
    """Return True if a space follows every delimiter on the lines without quotes."""
    plain = [line for line in sample if '"' not in line and delimiter in line]
    if not plain:
        return any(f'{delimiter} "' in line for line in sample) and delimiter != " "
    return delimiter != " " and all(
        line.count(delimiter) == line.count(f"{delimiter} ") for line in plain
    )


def _evenness(rows: Sequence[tuple[int, list[str]]]) -> tuple[float, int]:
    """Return the share of rows with the most common number of cells, and that number."""
    counts = Counter(len(cells) for _, cells in rows if any(cells))
    if not counts:
        return 0.0, 0
    cells, times = counts.most_common(1)[0]
    return (times / counts.total() if cells > 1 else 0.0), cells


def _header(rows: Sequence[tuple[int, list[str]]], known: frozenset[str]) -> tuple[int, list[str]]:
    """Return the header and its line: the row with most known names, else the first full one."""
    first = [(at, cells) for at, cells in rows if any(c.strip() for c in cells)][:HEADER_WITHIN]
    if not first:
        return rows[0]
    best = max(first, key=lambda row: len(known & _names_in(row[1])))
    if known & _names_in(best[1]):
        return best
    width = Counter(len(cells) for _, cells in rows).most_common(1)[0][0]
    return next(
        ((at, c) for at, c in first if len(c) >= width and not c[0].startswith(("#", "sep="))),
        first[0],
    )


def _names_in(cells: Sequence[str]) -> set[str]:
    return {cell.strip().lstrip("#").strip() for cell in cells}


def _named(
    name: str, dialect: Dialect, known: frozenset[str], sample: Sequence[str], report: Report
) -> Dialect:
    """Return the dialect with the names of its columns as they are read."""
    names: list[str | None] = []
    for number, cell in enumerate(dialect.names):
        column = (cell or "").strip()
        if number == 0 and column not in known and column.lstrip("# ") in known:
            column = column.lstrip("# ")
        if not column:
            names.append(None)
            if number < len(dialect.names) - 1:
                report.note(f"{name}: column {number + 1} has no name and is left out")
        elif column in names:
            if column in known:
                raise ConfigError(
                    f"{name} has two columns named {column!r}.", hint="Give each its own name."
                )
            report.note(f"{name}: the second column named {column!r} is left out")
            names.append(None)
        else:
            names.append(column)
    before = [line.strip() for line in sample[: dialect.skipped - 1]]
    if titles := [line for line in before if line and not line.startswith(("#", "sep="))]:
        report.note(f"{name}: what comes before the header was passed over: {titles[0][:60]!r}")
    return Dialect(
        dialect.delimiter,
        dialect.quote,
        dialect.escape,
        dialect.spaced,
        tuple(names),
        dialect.skipped,
    )


def records_of(text: TextIO, dialect: Dialect, name: str, report: Report) -> Iterator[Cells]:
    """Yield the records below the header, each with as many cells as there are columns."""
    width = len(dialect.names)
    for line, cells in _records(dialect, iter(text)):
        if line <= dialect.skipped:
            continue
        if isinstance(cells, Unusable):
            yield line, cells
            continue
        count = len(cells)
        if count != width:
            if not cells or (count == 1 and not cells[0].strip()):
                continue
            if cells[0].startswith("#"):
                report.note(f"{name}: lines that begin with # were taken for comments")
                continue
            if count < width or any(cells[width:]):
                yield line, _ragged(count, width, dialect)
                continue
            del cells[width:]
        if not any(cells):
            report.note(f"{name}: rows without any value were passed over")
            continue
        yield line, cells


def _ragged(count: int, width: int, dialect: Dialect) -> Unusable:
    cells = f"{count} cell" if count == 1 else f"{count} cells"
    return Unusable(
        f"the row has {cells} and the header {width}",
        f"Write each row with {width} cells; quote a cell that has a "
        f"{WORDS.get(dialect.delimiter, dialect.delimiter)} in it.",
    )


class _Lines:
    """Lines that can be taken back to the beginning of a record."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: list[str] = []
        self.current: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.current.append(line)
        self.number += 1
        return line

    def give_back(self) -> None:
        """Take back all lines of this record but its first."""
        back = self.current[1:]
        self._again.extend(reversed(back))
        self.number -= len(back)


def _records(dialect: Dialect, lines: Iterable[str]) -> Iterator[Cells]:
    """Yield records with the line that each begins on; for a broken one, the reason."""
    source = _Lines(iter(lines))
    reader = dialect.reader(source)
    lines_read = source.current
    while True:
        lines_read.clear()
        before = source.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not lines_read:
                return
            source.give_back()
            reader = dialect.reader(source)
            yield before, _broken(str(error), dialect)
            continue
        yield before, cells


def _broken(error: str, dialect: Dialect) -> Unusable:
    if "unexpected end" in error or "field larger" in error:
        why = f"a quote ({dialect.quote}) is opened and not closed, or a cell is too long"
    elif "expected after" in error:
        why = f"a quote ({dialect.quote}) is closed amid a cell"
    else:
        why = f"the line cannot be read: {error}"
    return Unusable(why, f"Write a quote within a quoted cell twice: {dialect.quote * 2}.")
