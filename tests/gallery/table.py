"""Claim x stream, as text and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, get_args

from tests.gallery.claims.claim import Claim, Result, Size, Status
from tests.gallery.registry import CLAIMS, STREAMS
from tests.gallery.streams.stream import Stream

STATUSES: tuple[Status, ...] = get_args(Status)


class Cell(NamedTuple):
    """A claim on a stream, with its result."""

    claim: Claim
    stream: Stream[Any]
    result: Result


def measured(
    size: Size,
    claims: Sequence[Claim] = CLAIMS,
    streams: Sequence[Stream[Any]] = STREAMS,
    jobs: int = 1,
) -> Iterator[Cell]:
    """Measure each claim on each stream that it is about, in the order of both lists."""
    pairs = [(c, s) for c in claims for s in streams if c.applies(s)]
    if jobs == 1:
        yield from (Cell(c, s, c.check(s, size)) for c, s in pairs)
        return
    names = [(c.name, s.name, size) for c, s in pairs]
    with ProcessPoolExecutor(jobs) as pool:
        for (claim, stream), result in zip(pairs, pool.map(_by_name, names), strict=True):
            yield Cell(claim, stream, result)


def _by_name(names: tuple[str, str, Size]) -> Result:
    claim, stream, size = names
    chosen = next(c for c in CLAIMS if c.name == claim)
    return chosen.check(next(s for s in STREAMS if s.name == stream), size)


def markdown(cells: Iterable[Cell]) -> str:
    """Return one table for each claim: a row for each stream."""
    lines: list[str] = []
    claim: Claim | None = None
    for cell in cells:
        if cell.claim is not claim:
            claim = cell.claim
            lines += ["", f"**{claim.name}**: {claim.sentence}", ""]
            lines += [
                "| stream | family | result | measured | reason |",
                "| --- | --- | --- | --- | --- |",
            ]
        result = cell.result
        row = (cell.stream.name, cell.stream.family, result.status, result.figure, result.reason)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines[1:]) + "\n"


class Row(NamedTuple):
    """A claim on a stream by name, and how it came out."""

    claim: str
    stream: str
    status: str


def sections(table: str) -> dict[str, str]:
    """Return claim → its part of a table that `markdown` wrote, whatever else is in the text."""
    parts = re.split(r"^(?=\*\*)", table, flags=re.MULTILINE)
    return {part.split("**")[1]: part.strip("\n") for part in parts if part.startswith("**")}


def rows_of(sections: Mapping[str, str]) -> list[Row]:
    """Return the rows of sections."""
    rows = [
        (claim, line.strip("| ").split(" | "))
        for claim, section in sections.items()
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return [Row(claim, cells[0], cells[2]) for claim, cells in rows if cells[2] in STATUSES]


def by_claim(rows: Sequence[Row]) -> str:
    """Return a row for each claim: on how many streams it passes, is not promised, fails."""
    lines = [
        "| claim | streams | pass | not promised | fail |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row.claim for row in rows):
        results = [row.status for row in rows if row.claim == name]
        counts = [len(results), *(results.count(status) for status in STATUSES)]
        lines.append("| " + " | ".join(map(str, [name, *counts])) + " |")
    return "\n".join(lines) + "\n"


def text(cell: Cell) -> str:
    """Return one line for a terminal."""
    status, figure, reason = cell.result
    return (
        f"{cell.claim.name:28s} {cell.stream.name:36s} {status:14s} {figure:28s} {reason}".rstrip()
    )


def summary(cells: Iterable[Cell]) -> str:
    """Return how many claims hold on how many streams."""
    return counted([Row(c.claim.name, c.stream.name, c.result.status) for c in cells])


def counted(rows: Sequence[Row]) -> str:
    """Return the same of rows."""
    streams, claims = len({row.stream for row in rows}), len({row.claim for row in rows})
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{claims} claims on {streams} streams: {parts}"
