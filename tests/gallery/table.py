"""Claim x stream, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from tests.gallery.claims.claim import Claim, Result, Size
from tests.gallery.registry import CLAIMS, STREAMS
from tests.gallery.streams.stream import Stream


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


def by_claim(cells: Sequence[Cell]) -> str:
    """Return a row for each claim: on how many streams it passes, is not promised, fails."""
    lines = [
        "| claim | streams | pass | not promised | fail |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(cell.claim.name for cell in cells):
        results = [cell.result.status for cell in cells if cell.claim.name == name]
        counts = [results.count("pass"), results.count("not promised"), results.count("fail")]
        lines.append("| " + " | ".join(map(str, [name, len(results), *counts])) + " |")
    return "\n".join(lines) + "\n"


def text(cell: Cell) -> str:
    """Return one line for a terminal."""
    status, figure, reason = cell.result
    return (
        f"{cell.claim.name:28s} {cell.stream.name:36s} {status:14s} {figure:28s} {reason}".rstrip()
    )


def summary(cells: Iterable[Cell]) -> str:
    """Return how many claims hold on how many streams."""
    cells = list(cells)
    counts = {s: sum(c.result.status == s for c in cells) for s in ("pass", "not promised", "fail")}
    streams = len({cell.stream.name for cell in cells})
    claims = len({cell.claim.name for cell in cells})
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{claims} claims on {streams} streams: {parts}"
