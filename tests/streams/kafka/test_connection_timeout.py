"""Connections that owe an answer (streams/kafka/connection_timeout.py)."""

from __future__ import annotations

import pytest

from streams.kafka.connection_timeout import Silence


class Connection:
    """Can be closed."""

    host, port = "127.0.0.1", 9092

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        """It was."""
        self.closed = True


def test_what_owes_an_answer_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the connection whose oldest request stays the same: others are merely busy, or idle for
    hours and asked just now.
    """
    now = [1_000.0]
    monkeypatch.setattr("streams.kafka.connection_timeout.monotonic", lambda: now[0])
    silence, dead, busy, idle = Silence(5.0), Connection(), Connection(), Connection()
    for second in range(6):
        now[0] += 1.0
        silence.hang_up([(dead, 7), (busy, second)])
        assert not dead.closed
    now[0] += 1.0
    silence.hang_up([(dead, 7), (busy, 99), (idle, 3)])
    assert (dead.closed, busy.closed, idle.closed) == (True, False, False)
