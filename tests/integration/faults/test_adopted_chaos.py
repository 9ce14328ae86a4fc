"""Whole workers with sources, outcomes by id and folds, killed at random (tests/chaos/adopted)."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.embedded import Endpoints
from tests.chaos.adopted import Adopted

pytestmark = pytest.mark.integration


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "visits", "kills"),
    [(1, 150, 4), *(pytest.param(n, 600, 12, marks=pytest.mark.soak) for n in range(2, 6))],
)
async def test_nothing_is_lost_doubled_or_different(
    stack: Endpoints, tmp_path: Path, seed: int, visits: int, kills: int
) -> None:
    """Each visit is answered once, each label is in the end what its purchases make, each foreign
    record is relayed once, and all of it is derived again to the same bytes.
    """
    adopted = Adopted(stack, tmp_path, seed)
    try:
        await adopted.survive(visits, kills)
    finally:
        adopted.loop.close()
