"""Junk on every topic, and text that looks like markup: every command goes on, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.partitioner import partition_of
from schemas.topics import CATALOGUE
from streams.embedded import Endpoints
from streams.operations.command_sender import new_command, send_command
from tests.support.loop import Loop, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(60)
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]
EXACT = ("journal", "definitions")
"""Where a record that is none is an error, or is told by whoever derives."""
JUNK = (b"junk [/x]", b"\xff", b"null", b"[]", b"{}", b'{"partition": 99, "event_id": "p1"}')
MARKED = "m[/x]"


async def spoil(loop: Loop) -> None:
    """Write junk to every partition of every topic, and an event whose field has a NaN."""
    producer = AIOKafkaProducer(bootstrap_servers=loop.settings.kafka_bootstrap_servers)
    await producer.start()
    try:
        for topic in CATALOGUE:
            if topic.kind in EXACT:
                continue
            for number in range(2 if topic.partitioned else 1):
                for value in JUNK:
                    await producer.send_and_wait(
                        loop.names[topic.kind], value, key=b"[/k]", partition=number
                    )
        depot = "north"
        event = {
            "event_id": MARKED,
            "event_time": (datetime(2024, 5, 1, tzinfo=UTC) + timedelta(days=1)).isoformat(),
            "depot": depot,
            "weight": 1.0,
            "miles": 10,
        }
        odd = orjson.dumps(event)[:-1] + b', "colour": "[/x]", "also": [NaN, Infinity]}'
        where = partition_of(depot.encode(), 2)
        await producer.send_and_wait(loop.names["events"], odd, key=b"north", partition=where)
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case that has run, on whose topics somebody else has written since."""
    loop = Loop(stack, tmp_path_factory.mktemp("junk"))
    try:
        asyncio.run(loop.publish(ROWS))
        loop.start()
        asyncio.run(loop.wait_for("examples", IDS))
        asyncio.run(spoil(loop))
        asyncio.run(loop.wait_for("predictions", [MARKED]))
        wish = new_command("promote", who="eve [/x]", why="[/why]", model="brisk")
        told = asyncio.run(send_command(wish, loop.settings, loop.names, timeout_s=20))
        assert told.summary == "applied in 2 of 2"
        yield loop
    finally:
        loop.close()


COMMANDS = {
    "history": ("history", "FILE"),
    "models list": ("models", "list", "FILE"),
    "models show": ("models", "show", "FILE"),
    "models history": ("models", "history", "FILE"),
    "explain": ("explain", "FILE", "p1"),
    "verify": ("verify", "FILE", "--all"),
    "verify a sample": ("verify", "FILE", "--sample", "1000"),
    "verify one": ("verify", "FILE", "p1"),
    "dead-letters": ("dead-letters", "list", "FILE"),
    "metrics": ("metrics", "FILE"),
    "drift": ("drift", "FILE"),
    "alerts": ("alerts", "FILE"),
    "worth": ("worth", "FILE"),
    "status": ("status", "FILE"),
    "capture": ("capture", "FILE", "examples", "commands", "--to", "FOLDER/captured"),
    "export": ("export", "FILE", "--to", "FOLDER/exported"),
}
SILENT = ("status", "capture", "export")
"""They say nothing of it: they read no topic's records, or keep them as they came."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_goes_on_and_says_what_it_left_out(loop: Loop, name: str, tmp_path: Path) -> None:
    """Neither a traceback nor silence; in a terminal's tables and as JSON."""
    words = [word.replace("FOLDER", str(tmp_path)) for word in COMMANDS[name]]
    words = [str(loop.file) if word == "FILE" else word for word in words]
    for json in ((), ("--json",)) if name not in ("capture", "export") else ((),):
        done = loop.attempt(*words, *json)
        assert done.returncode in (0, 1), f"{words}: {done.stderr}\n{done.stdout}"
        assert "Traceback" not in done.stderr
        if name not in SILENT:
            assert "could not be read, the first at " in done.stderr
        if json:
            orjson.loads(done.stdout)


def test_what_was_written_is_shown_as_it_is(loop: Loop) -> None:
    """Brackets are text, and so is a number that JSON has not."""
    assert "eve [/x]" in loop.attempt("history", str(loop.file)).stdout
    life = loop.attempt("explain", str(loop.file), MARKED).stdout
    assert "[/x]" in life
    for words in (("tail", "parcels.events"), ("tail", "parcels.commands")):
        done = loop.attempt(
            *words, "--from-beginning", "--to-end", "--json", "--usecase", str(loop.file)
        )
        assert done.returncode == 0, done.stderr
        assert "junk [/x]" in done.stdout
    explained = loop.run("explain", str(loop.file), MARKED, "--json")
    assert explained["event"]["value"]["also"] == ["nan", "inf"]
    assert explained["proved"] is True


def test_a_journal_with_junk_is_an_error_that_says_where_and_what_to_do(loop: Loop) -> None:
    """What was taken in which order cannot be told past it."""

    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=loop.settings.kafka_bootstrap_servers)
        await producer.start()
        await producer.send_and_wait(loop.names["journal"], b"junk", partition=0)
        await producer.stop()

    loop.stop()
    asyncio.run(write())
    done = loop.attempt("verify", str(loop.file), "--all")
    assert done.returncode == 4, done.stderr
    assert "is no journal entry" in done.stderr
    assert "--prefix" in done.stderr
