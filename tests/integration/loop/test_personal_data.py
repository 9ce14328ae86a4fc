"""Personal data on the real servers: masked by every command, shown for a reason on record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.partitioner import partition_of
from streams.embedded import Endpoints
from tests.support.commands import Command
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

MARKED = (
    SOURCE.replace("from river import", "from typing import Annotated\n\nfrom river import", 1)
    .replace("    miles: int\n", '    miles: int\n    sender: Annotated[str, Personal] = ""\n')
    .replace("from riverrun import", "from riverrun import Personal,")
    .replace('fields("weight", "miles")', 'fields("weight", "miles", "sender")')
)  # fmt: skip
ROWS = [
    (kind, {**fields, "sender": f"Ann Miller {fields['event_id']}"} if kind == "event" else fields)
    for kind, fields in parcels(60)
]
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case about persons, one of whose records was refused."""
    loop = Loop(stack, tmp_path_factory.mktemp("persons"), MARKED)
    try:
        asyncio.run(loop.publish(ROWS))
        asyncio.run(bad(loop))
        loop.start()
        asyncio.run(loop.wait_for("examples", IDS))
        yield loop
    finally:
        loop.close()


async def bad(loop: Loop) -> None:
    """An event whose personal field is of a wrong type."""
    event = {"event_id": "bad", "event_time": "2024-05-01T00:00:00Z", "depot": "north"}
    event |= {"weight": 1.0, "miles": 1, "sender": ["Ann Miller"]}
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        partition = partition_of(b"north", 2)
        value = orjson.dumps(event)
        await producer.send_and_wait(loop.names["events"], value, key=b"north", partition=partition)


@pytest.fixture
def printed(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """All that a command says, on both channels; `explain` in a process of its own."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    riverrun = Command(monkeypatch, capsys, loop.folder)

    def run(*arguments: str) -> str:
        if arguments[0] == "explain":
            done = loop.attempt(*arguments)
            return done.stdout + done.stderr
        result = riverrun(*arguments)
        return result.out + result.err

    return run


def test_no_command_shows_it_and_with_a_reason_each_does(
    loop: Loop, printed: Callable[..., str]
) -> None:
    """Tail, explain and dead letters; then the audit trail has who, why and what."""
    file = str(loop.file)
    to_end = ("--from-beginning", "--to-end", "--usecase", file)
    commands = [
        ("tail", "parcels.events", *to_end),
        ("tail", "parcels.features", *to_end, "--json"),
        ("tail", "parcels.examples", *to_end),
        ("explain", file, "p7"),
    ]
    for command in commands:
        text = printed(*command)
        assert "***" in text, command
        assert "Miller" not in text, command
        assert "Ann Miller p7" in printed(*command, "--reveal", f"case {command[1]}")
    for command in (
        ("dead-letters", "list", file),
        ("dead-letters", "list", file, "--json"),
        ("tail", "parcels.dead-letter", *to_end, "--json"),
    ):
        text = printed(*command)
        assert "malformed" in text
        assert "Miller" not in text, command
    listed = orjson.loads(printed("dead-letters", "list", file, "--json"))
    assert [(one["count"], one["class"]) for one in listed["causes"]] == [(1, "malformed")]
    assert len(listed["letters"]) == 1
    none = ("--where", "error contains Miller or value contains Miller", "--json")
    assert orjson.loads(printed("dead-letters", "list", file, *none))["letters"] == []
    some = ("--where", "error contains sender and attempt < 1", "--json")
    assert len(orjson.loads(printed("dead-letters", "list", file, *some))["letters"]) == 1
    again = orjson.loads(printed("dead-letters", "redrive", file, "--all", *none))
    assert again == {"sent": [], "left": {}}
    trail = orjson.loads(printed("history", file, "--acts", "--json"))
    acts = [act for act in trail if act["what"] == "personal data: masked → revealed"]
    assert len(acts) == len(commands)
    assert acts[0]["why"] == "case parcels.events"
    assert acts[0]["evidence"]["fields"] == ["sender", "features.sender"]
    assert acts[0]["who"]


def test_nobody_finds_it_by_asking_for_it(loop: Loop, printed: Callable[..., str]) -> None:
    """A filter sees what is shown; a topic of nobody is not shown at all; nor without a reason."""
    end, usecase = ("--from-beginning", "--to-end"), ("--usecase", str(loop.file))
    where = ("--where", "sender='Ann Miller p7'", *end)
    assert "p7" not in printed("tail", "parcels.events", *where, *usecase)
    assert "p7" in printed("tail", "parcels.events", *where, *usecase, "--reveal", "case 8")
    assert "--usecase" in printed("tail", "parcels.events", *end)
    assert "Miller" not in printed("tail", "parcels.events", *end, *usecase, "--reveal", " ")
