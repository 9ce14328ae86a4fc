"""`--watch`: the same query repeatedly, on a screen that is cleared in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep
from typing import TypeVar

from streams.cli.shared.terminal import data

T = TypeVar("T")
EVERY_S = 2.0


def again(query: Callable[[], T], watch: bool) -> Iterator[T]:
    """Yield the result of `query`: once, or with `watch` every two seconds for ever."""
    while True:
        result = query()
        if watch and data.is_terminal:
            data.clear()
        yield result
        if not watch:
            return
        sleep(EVERY_S)
