"""Blocking work beside the loop, in threads that never keep the process from ending."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")


def beside(work: Callable[[], Found], then: Callable[[Found], None]) -> None:
    """Run `work` in a thread, and `then` with its result on this loop. `work` must not raise."""
    loop = asyncio.get_running_loop()

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(then, result)

    threading.Thread(target=run, name="snapshot", daemon=True).start()


async def awaited(work: Callable[[], Found]) -> Found:
    """Run `work` in a thread; return its result, or raise its error."""
    future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    def outcome() -> tuple[Any, BaseException | None]:
        try:
            return work(), None
        except BaseException as error:
            return None, error

    def then(result: tuple[Any, BaseException | None]) -> None:
        if future.cancelled():
            return
        value, error = result
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    beside(outcome, then)
    return await future
