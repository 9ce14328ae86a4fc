"""A record on which `apply` fails, on real servers: told, set aside, journaled, verified."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from streams.embedded import Endpoints
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

FAILS = SOURCE.replace(
    """class Arrival(Outcome):""",
    """    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name == "event_id" and super().__getattribute__("miles") == 13:
            raise ZeroDivisionError("thirteen miles")
        return value


class Arrival(Outcome):""",
)
"""Parcels, of which one of 13 miles makes `apply` fail."""


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """Parcels under a prefix of their own."""
    one = Loop(stack, tmp_path, FAILS)
    yield one
    one.close()


async def halted(loop: Loop) -> dict[str, Any]:
    """The row of the partition that halts, as soon as `status` has it."""
    began = monotonic()
    while monotonic() - began < 60:
        status = await asyncio.to_thread(loop.attempt, "status", str(loop.file), "--json")
        for row in json.loads(status.stdout)["rows"]:
            if row["state"] == "halted":
                return dict(row)
    raise AssertionError(loop.log())


async def test_one_bad_record_is_told_set_aside_and_proved(loop: Loop) -> None:
    """The worker lives, over a restart too; the command that `status` prints sets the record aside,
    and what is published after is what the log derives.
    """
    rows = parcels(40)
    bad = next(fields for kind, fields in rows if kind == "event" and fields["event_id"] == "p17")
    depot = bad["depot"]
    bad["miles"] = 13  # type: ignore[index]  # the rows are the test's own
    loop.start()
    await loop.publish(rows)
    await loop.wait_for(
        "predictions",
        [f["event_id"] for k, f in rows if k == "event" and f["depot"] != depot and _apart(f, bad)],
    )
    row = await halted(loop)
    assert "ZeroDivisionError: thirteen miles" in row["error"]
    command = shlex.split(row["error"].partition("riverrun ")[2])
    command = command[: command.index("--why")]
    offset = int(command[-1])
    number = row["partition"]
    assert command[:2] == ["skip", str(loop.file)]

    # A wrong number loses nothing.
    for wrong in (offset + 1, 0, 10_000):
        refused = loop.attempt("skip", str(loop.file), str(number), str(wrong), "--why", "a slip")
        assert refused.returncode != 0, refused.stderr
        assert "riverrun status" in refused.stderr or "journal" in refused.stderr

    loop.stop()
    assert loop.workers[-1].poll() == 0
    loop.start()
    assert (await halted(loop))["error"] == row["error"]
    loop.run(*command, "--why", "no such distance")
    await loop.wait_for("predictions", [f"p{n}" for n in range(40) if n != 17])
    letters = [v for v in await loop.values("dead-letter") if v["error_class"] == "skipped"]
    (letter,) = letters
    assert "thirteen miles" in letter["traceback"]
    assert (letter["partition"], letter["offset"]) == (number, offset)
    redriven = loop.run("dead-letters", "redrive", str(loop.file), "--all", "--json", code=1)
    assert redriven["sent"] == []
    assert "--class skipped" in next(iter(redriven["left"].values()))
    report = loop.run("verify", str(loop.file), "--all", "--json")
    assert (report["checked"], report["different"], report["skipped"]) == (39, 0, 1)
    told = loop.attempt("explain", str(loop.file), "p17")
    assert "skipped: set aside by" in told.stdout
    moved = loop.run("repartition", str(loop.file), "3", "--to", f"{loop.prefix}again.", "--json")
    assert (moved["events"], moved["set_aside"]) == (39, 1)
    history = loop.attempt("history", str(loop.file)).stdout
    assert "skip" in history
    assert "halted" in history


def _apart(fields: Any, bad: Any) -> bool:
    from schemas.partitioner import partition_of

    return partition_of(fields["depot"].encode(), 2) != partition_of(bad["depot"].encode(), 2)
