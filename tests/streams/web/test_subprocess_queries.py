"""Questions that take a while, and figures made from what was read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from streams.config.settings import Settings
from streams.web.charts.histogram import _binned
from streams.web.state.request_limits import Busy, Visitor
from streams.web.state.subprocess_queries import (
    ANSWERED_MAX,
    EACH_MAX,
    FINAL_S,
    TOGETHER_MAX,
    SubprocessQueries,
    SubprocessQuery,
)

READERS = [Visitor(f"reader {n}") for n in range(40)]
OPERATOR = Visitor("operator", signed_in=True)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of each command: it notes its last word in a file and takes a moment."""
    program, noted = tmp_path / "program", tmp_path / "noted"
    program.write_text(
        f'#!/bin/sh\nfor w; do :; done\necho "$w" >> {noted}\nsleep 0.3\necho "{{}}"\n'
    )
    program.chmod(0o755)
    noted.touch()
    monkeypatch.setattr("streams.web.state.subprocess_queries.sys.executable", str(program))
    return noted


async def until_done(inquiry: SubprocessQuery) -> None:
    """Wait until it is answered, and its place is free again."""
    async with asyncio.timeout(30):
        while not inquiry.done:  # noqa: ASYNC110 - a process' end tells nobody
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.02)


async def test_what_changes_no_more_is_not_asked_again_and_again() -> None:
    """A proof is made once, what may change again."""
    inquiries, words = SubprocessQueries(), ("topics",)
    done = SubprocessQuery(words, answer={"proved": True}, done=True, ended_at=monotonic() - 60)
    inquiries._queries[words] = done
    assert inquiries.ask(Settings(), OPERATOR, *words, fresh_s=FINAL_S) is done
    again = inquiries.ask(Settings(), OPERATOR, *words)
    assert again is not done
    assert inquiries.ask(Settings(), OPERATOR, *words) is again, "it is under way"
    await inquiries.close()


async def test_one_visitor_has_no_more_questions_at_once_than_a_bound(commands: Path) -> None:
    """The next is told to wait, by its own limit; a question that is under way is no new one."""
    inquiries = SubprocessQueries()
    for n in range(EACH_MAX):
        inquiries.ask(Settings(), READERS[0], "explain", str(n))
    inquiries.ask(Settings(), READERS[0], "explain", "0")
    with pytest.raises(Busy) as busy:
        inquiries.ask(Settings(), READERS[0], "explain", "one more")
    assert busy.value.status == 429
    await inquiries.close()


async def test_whoever_is_signed_in_waits_for_no_reader(commands: Path) -> None:
    """Readers fill their line; an operator's question is asked at once all the same."""
    inquiries = SubprocessQueries()
    asked = [
        inquiries.ask(Settings(), reader, "explain", reader.name)
        for reader in READERS[:TOGETHER_MAX]
    ]
    with pytest.raises(Busy) as busy:
        inquiries.ask(Settings(), READERS[-1], "explain", "one more")
    assert busy.value.status == 503
    query = inquiries.ask(Settings(), OPERATOR, "explain", "mine")
    await until_done(query)
    assert query.answer == {}
    assert sum(inquiry.done for inquiry in asked) <= 2
    assert "mine" in (await asyncio.to_thread(commands.read_text)).split("\n")[:3]
    await inquiries.close()


async def test_what_was_answered_makes_room_for_the_next(commands: Path) -> None:
    """A visitor's places come back; what is known is bounded."""
    inquiries = SubprocessQueries()
    for n in range(EACH_MAX + 2):
        inquiry = inquiries.ask(Settings(), OPERATOR, "explain", str(n))
        await until_done(inquiry)
    for n in range(3 * ANSWERED_MAX):
        words = "explain", f"old {n}"
        inquiries._queries[words] = SubprocessQuery(
            words, answer={}, done=True, ended_at=monotonic()
        )
    inquiries.ask(Settings(), OPERATOR, "explain", "new")
    assert len(inquiries._queries) <= ANSWERED_MAX
    await inquiries.close()


def test_whole_numbers_have_a_bar_each() -> None:
    """Bars that no value can fall into would look like gaps in the data."""
    edges, then, now = _binned([0, 1, 2, 3] * 10, [0, 3, 3, 3] * 10)
    assert edges == ["0", "1", "2", "3"]
    assert (then, now) == ([0.25] * 4, [0.25, 0.0, 0.0, 0.75])
