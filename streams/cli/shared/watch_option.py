"""The same answer again and again (`--watch`), on a screen that is cleared in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep
from typing import TypeVar

from streams.cli.terminal import data

T = TypeVar("T")
EVERY_S = 2.0


def again(look: Callable[[], T], watch: bool) -> Iterator[T]:
    """What `look` gives: once, or with `watch` every two seconds for ever."""
    while True:
        found = look()
        if watch and data.is_terminal:
            data.clear()
        yield found
        if not watch:
            return
        sleep(EVERY_S)
