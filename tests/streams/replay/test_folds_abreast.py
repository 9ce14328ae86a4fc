"""Folds of several partitions side by side: none runs far ahead in the versions, and none locks."""

from __future__ import annotations

import asyncio

import pytest

from models.inputs.decoder import EVENTS, MODELS
from streams.replay.definition_span import APART, Abreast, together


async def test_no_fold_is_far_ahead_and_all_end() -> None:
    """Whatever the pace of each, and also once one of them has ended."""
    lengths = {0: 40, 1: 200, 2: 7}
    abreast, at = Abreast(lengths), dict.fromkeys(lengths, -1)

    async def fold(number: int) -> None:
        pace = abreast.pace(number)
        for offset in range(lengths[number]):
            await pace(EVENTS, 10**9)
            await pace(MODELS, offset)
            at[number] = offset
            others = [at[n] for n, length in lengths.items() if at[n] < length - 1]
            assert offset <= min(others, default=offset) + APART + 1
            for _ in range(number):
                await asyncio.sleep(0)
        abreast.leave(number)

    await together(map(fold, lengths))
    assert at == {number: length - 1 for number, length in lengths.items()}


async def test_a_fold_that_fails_ends_the_others() -> None:
    """Nobody waits for it for ever; its failure is raised."""
    abreast = Abreast((0, 1))

    async def waits() -> None:
        await abreast.pace(0)(MODELS, 100)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with asyncio.timeout(30):
            await together([waits(), fails()])
