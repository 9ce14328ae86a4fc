"""A clock that is wrong is told of in words, and no worker ends by it without any."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import InvalidTimestampError

from schemas.errors import Unavailable
from streams.kafka.clock_check import SKEW_S_MAX, ClockWatch, skewed
from streams.kafka.transactional_writer import Limits, TransactionalWriter


@pytest.mark.parametrize(
    ("skew_s", "says"),
    [
        (None, ""),
        (0.2, ""),
        (-SKEW_S_MAX, ""),
        (7_200.0, "7,200 s ahead of"),
        (-60.0, "60 s behind"),
    ],
)
def test_a_clock_is_compared_with_the_brokers(skew_s: float | None, says: str) -> None:
    """Seconds do no harm; hours do, and the way on is NTP."""
    text = skewed(skew_s) or ""
    assert says in text
    assert bool(text) == bool(says)
    assert not text or "NTP" in text


def test_a_clock_that_is_set_under_a_running_worker_is_noticed() -> None:
    """Two hours ahead: told, until it is set back. A machine that slept is not one."""
    wall, boot = [1_000.0], [10.0]
    watch = ClockWatch(lambda: wall[0], lambda: boot[0])
    wall[0], boot[0] = 90_000.0, 89_010.0
    watch.look()
    assert watch.warnings == []
    wall[0] += 7_200
    watch.look()
    assert "was set ahead while the worker ran" in watch.warnings[0]
    wall[0] -= 7_200
    watch.look()
    assert watch.warnings == []


async def test_a_refused_timestamp_says_that_the_clock_is_ahead() -> None:
    """And not the broker's bare error; the partition waits, and goes on once the clock is right."""
    writer: Any = TransactionalWriter.__new__(TransactionalWriter)
    writer.limits, writer.timeout_s, writer._silence = Limits(), 5.0, SimpleNamespace()
    writer._look_for_answers = lambda bound: setattr(
        writer, "_looking", SimpleNamespace(cancel=lambda: None)
    )
    with pytest.raises(Unavailable, match=r"clock is further ahead .*riverrun doctor"):
        async with writer._failures():
            raise InvalidTimestampError
