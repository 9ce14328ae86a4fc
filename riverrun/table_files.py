"""Rows of a reference table from a file, for backtests."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError


def rows_of(path: str | Path) -> Callable[[], Iterator[dict[str, Any]]]:
    """Return what reads the rows of a CSV or Parquet file, for `Table(recorded=...)`.

    In CSV a number, true and false are what they say, an empty cell is None, all else is text. The
    file is read when a backtest begins. Raises `ConfigError` for a file of another kind.
    """
    file = Path(path)
    if file.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"{file.name} is neither CSV nor Parquet.", hint="Give a file named .csv or .parquet."
        )
    return lambda: _csv(file) if file.suffix == ".csv" else _parquet(file)


def _csv(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        for row in csv.DictReader(lines):
            yield {str(name): _cell(text) for name, text in row.items()}


def _cell(text: str | None) -> Any:
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    plain = isinstance(value, bool | int | float)
    # 007 and 1e5 keep their form where a number would not give it back.
    return value if plain and (isinstance(value, bool) or str(value) == text) else _number(text)


def _number(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if "." in text and text[:1] in "-0123456789" else text


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{file.name} needs pyarrow.", hint="pip install 'riverrun[data]'"
        ) from error
    with parquet.ParquetFile(file) as source:
        for batch in source.iter_batches():
            yield from batch.to_pylist()
