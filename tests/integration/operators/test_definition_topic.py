"""Definitions that nobody signed, that collide, or that are none: not run, and nothing ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.errors import Incompatible
from schemas.records.definitions import Definition
from schemas.topics import BY_KIND
from streams.config.use_case_loader import LoadedUseCase, definition_of, load, text_of
from streams.embedded import Endpoints
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.definition_topic import SIGNATURE, publish, record_of, signature
from streams.topics import topic_admin
from tests.support.loop import SOURCE, Loop


def test_only_a_line_end_of_pythons_ends_a_line() -> None:
    """What follows U+2028 in a comment is comment; the hash tells it from a line of its own."""
    for mark in ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"):
        assert definition_of(f"# a{mark}b = 1\n", "") != definition_of("# a\nb = 1\n", "")
        assert text_of(f"a = 1{mark}") != text_of("a = 1")
    assert definition_of("a = 1  \t\r\n\n", "") == definition_of("a = 1", "")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/etc/passwd", "../up.py", "a/b.py", "x.txt", "a\n.py"]
)
def test_a_file_name_that_is_none_proves_nothing_and_writes_nothing(name: str) -> None:
    """It was joined to a path, and ended `verify`."""
    record = Definition(
        use_case="parcels",
        definition="d" * 12,
        file=name,
        source=SOURCE,
        python="3",
        river="0",
        riverrun="0",
        runtime="r",
        lock="",
        files=[],
    )
    with pytest.raises(Unprovable, match="file"):
        DefinitionHistory({"d" * 12: record}).loaded("d" * 12)


def test_the_topic_is_not_compacted() -> None:
    """A record of the same key, by whoever, deletes none."""
    assert BY_KIND["definitions"].cleanup == "delete"


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """A use case whose topics are there, without a worker."""
    loop = Loop(stack, tmp_path)
    asyncio.run(topic_admin.ensure(loop.loaded.use_case, loop.settings))
    yield loop
    loop.close()


async def put(loop: Loop, body: bytes | dict[str, Any], *, signed: bool = False) -> None:
    """Write a record under the definition's key."""
    value = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = [(SIGNATURE, signature(value, loop.settings.snapshot_key()))] if signed else []
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        key = loop.loaded.definition.encode()
        await producer.send_and_wait(loop.names["definitions"], value, key=key, headers=headers)


async def read(loop: Loop, *trusted: str) -> DefinitionHistory:
    """All that is there."""
    return await DefinitionHistory.read(loop.names["definitions"], loop.settings, trusted=trusted)


@pytest.mark.integration
async def test_it_is_written_at_each_start(loop: Loop) -> None:
    """And the broker's date of that record tells how far this machine's clock is off."""
    for _ in range(2):
        skew_s = await publish(loop.loaded, loop.settings)
        assert skew_s is not None
        assert abs(skew_s) < 60
    changed = loop.folder / "parcels.py"
    changed.write_text(SOURCE + "# more\n")
    other = LoadedUseCase(loop.loaded.use_case, changed, changed.read_text(), "ab" * 6)
    await publish(other, loop.settings)
    await publish(loop.loaded, loop.settings)
    assert [row["definition"] for row in await loop.values("definitions")] == [
        loop.loaded.definition,
        loop.loaded.definition,
        "ab" * 6,
        loop.loaded.definition,
    ]


@pytest.mark.integration
async def test_a_lookup_file_is_written_once(loop: Loop) -> None:
    """However often workers start; later records, of other definitions too, name its hash."""
    (loop.folder / "rates.txt").write_text("10")
    reads = "from pathlib import Path\nRATES = Path(__file__).with_name('rates.txt').read_text()\n"
    loop.file.write_text(reads + SOURCE)
    first = load(str(loop.file))
    loop.file.write_text(reads + SOURCE + "# more\n")
    second = load(str(loop.file))
    for each in (first, first, second):
        await publish(each, loop.settings)
    files = [file for row in await loop.values("definitions") for file in row["files"]]
    assert [file["content"] is not None for file in files] == [True, False, False]
    (loop.folder / "rates.txt").unlink()
    definitions = await read(loop)
    for each in (first, second):
        assert definitions.loaded(each.definition).files[0].sha256 == files[0]["sha256"]


@pytest.mark.integration
async def test_junk_and_forgeries_under_its_key_leave_the_signed_one(loop: Loop) -> None:
    """Before and after it."""
    hostile = record_of(loop.loaded).model_dump() | {"source": "raise SystemExit", "file": ".."}
    for body in (b"junk", hostile):
        await put(loop, body)
    await publish(loop.loaded, loop.settings)
    for body in (b"junk", b"[]", hostile):
        await put(loop, body)
    definitions = await read(loop)
    assert definitions.loaded(loop.loaded.definition).source == SOURCE


@pytest.mark.integration
async def test_an_unsigned_text_is_run_only_if_it_is_the_operators_to_the_letter(
    loop: Loop,
) -> None:
    """A hash that collides, or blanks that do not count, make no text another's."""
    almost = SOURCE.replace('"""A parcel leaves."""', '"""A parcel leaves."""  ')
    assert definition_of(almost) == loop.loaded.definition
    await put(loop, record_of(loop.loaded).model_dump() | {"source": almost})
    with pytest.raises(Unprovable, match="not signed"):
        (await read(loop, SOURCE)).loaded(loop.loaded.definition)
    await put(loop, record_of(loop.loaded).model_dump())
    assert (await read(loop, SOURCE)).loaded(loop.loaded.definition).source == SOURCE


@pytest.mark.integration
async def test_two_signed_texts_of_one_name_are_refused(loop: Loop) -> None:
    """At the second one's start; and where both are there, which ran cannot be told."""
    await publish(loop.loaded, loop.settings)
    changed = loop.folder / "parcels.py"
    changed.write_text(SOURCE + "# more\n")
    source = changed.read_text()
    collides = LoadedUseCase(loop.loaded.use_case, changed, source, loop.loaded.definition)
    with pytest.raises(Incompatible, match="Change a comment"):
        await publish(collides, loop.settings)
    await put(loop, record_of(collides).model_dump(), signed=True)
    with pytest.raises(Unprovable, match="two different sources"):
        (await read(loop)).loaded(loop.loaded.definition)
