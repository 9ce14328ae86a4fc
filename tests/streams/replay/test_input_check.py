"""Topics that are not the ones any more that were read: noticed at start, and while running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from models.inputs.decoder import PlainRecord
from models.inputs.journal import mark_of
from schemas.errors import Incompatible
from schemas.topics import CATALOGUE, topic_names
from streams.embedded import Endpoints
from streams.replay.input_check import changes, refuse_beyond, refuse_count, refuse_others
from streams.replay.journal_fold import Entry
from streams.topics.topic_identity import TopicIdentity, Topics
from tests.support.loop import Loop, parcels

NAMES = topic_names("parcels")


def record(offset: int, value: bytes = b"{}", timestamp: int = 5) -> PlainRecord:
    """One on a topic of two partitions."""
    return PlainRecord("parcels.events", 1, offset, timestamp, b"k", value)


class Held:
    """What the inputs hold now."""

    def __init__(self, *records: PlainRecord) -> None:
        self.records = {one.offset: one for one in records}

    async def at(self, input: int, offset: int) -> Any | None:
        """As log.KafkaLog."""
        return self.records.get(offset)


async def judged(mark: int, held: Held, bounds: tuple[int, int] = (0, 9)) -> str:
    """What is said of an events topic from which offsets 0 to 4 were taken; "" if nothing is."""
    try:
        await refuse_others([TopicPartition("parcels.events", 1)], [5], [mark], [bounds], held)
    except Incompatible as error:
        return str(error)
    return ""


async def test_a_topic_is_known_by_the_record_before_the_position() -> None:
    """Another value, another timestamp, or nothing at that offset: it is another topic. What was
    deleted by retention since, or never taken, says nothing.
    """
    mark = mark_of(record(4))
    assert not await judged(mark, Held(record(4)))
    for held in (Held(record(4, b"[]")), Held(record(4, timestamp=6)), Held(record(3))):
        assert "offset 4 that was taken there: the topic was deleted and created again" in (
            await judged(mark, held)
        )
    assert not await judged(mark, Held(), bounds=(5, 9))
    assert not await judged(-1, Held(record(4, b"[]")))


@pytest.mark.parametrize(
    ("bounds", "says"), [((0, 3), "ends at offset 3"), ((7, 9), "begins with offset 7")]
)
def test_a_position_that_is_not_there_is_refused(bounds: tuple[int, int], says: str) -> None:
    """Fewer records than were taken, or the next one is deleted: with the ways on."""
    with pytest.raises(Incompatible, match=f"{says}.*--prefix"):
        refuse_beyond([TopicPartition("parcels.events", 0)], [5], [bounds])
    refuse_beyond([TopicPartition("parcels.events", 0)], [5], [(5, 5)])


def test_another_number_of_partitions_is_refused() -> None:
    """All topics raised together fit each other, and not the journal."""
    last = Entry(3, 9, [], [1], "d", partitions=2)
    refuse_count("parcels", last, 2)
    refuse_count("parcels", None, 4)
    with pytest.raises(Incompatible, match=r"have 4 .* with 2.*riverrun repartition parcels N"):
        refuse_count("parcels", last, 4)


def identities(**changed: TopicIdentity | None) -> dict[str, TopicIdentity]:
    """All topics of a use case of two partitions, and what is different."""
    positions = {
        topic.kind: TopicIdentity(topic.kind.encode(), 2 if topic.partitioned else 1)
        for topic in CATALOGUE
    }
    there = {kind.replace("_", "-"): one for kind, one in changed.items()}
    return {NAMES[kind]: one for kind, one in {**positions, **there}.items() if one is not None}


def told(now: Mapping[str, TopicIdentity]) -> tuple[list[str], list[str]]:
    """(what ends a worker, what it warns of)."""
    return changes("parcels", NAMES, identities(), now, 2)


@pytest.mark.parametrize("kind", ["events", "outcomes", "commands", "history", "journal"])
def test_what_state_is_folded_from_may_not_be_made_anew(kind: str) -> None:
    """Any of them, by its id; the same with fewer or more partitions."""
    ending, warning = told(identities(**{kind: TopicIdentity(b"another", 2)}))
    assert "was deleted and created again while this worker ran" in ending[0]
    assert not warning
    assert len(told(identities(**{kind: TopicIdentity(b"another", 1)}))[0]) == 2
    assert (
        "riverrun repartition parcels N"
        in told(identities(**{kind: TopicIdentity(kind.encode(), 3)}))[0][0]
    )


def test_what_a_worker_only_writes_is_warned_of() -> None:
    """Nothing is answered wrongly; what was there is gone. A topic that is away for a moment, and
    brokers that give no ids, say nothing.
    """
    ending, warning = told(identities(predictions=TopicIdentity(b"another", 2)))
    assert not ending
    assert "parcels.predictions was deleted and created again" in warning[0]
    assert told(identities(events=None)) == ([], [])
    bare = {name: TopicIdentity(None, one.partitions) for name, one in identities().items()}
    assert changes("parcels", NAMES, bare, bare, 2) == ([], [])


# On a real Kafka.


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """Parcels under a prefix of their own."""
    one = Loop(stack, tmp_path)
    yield one
    one.close()


async def administer(loop: Loop, act: Any) -> None:
    """Do something to topics, and wait until the brokers agree."""
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    try:
        await act(admin)
    finally:
        await admin.close()


async def until_there_are(loop: Loop, names: list[str], count: int) -> None:
    """Wait until the brokers have so many of those topics."""
    async with Topics(loop.settings.kafka_client()) as topics, asyncio.timeout(30):
        while len(await topics.identities(names)) != count:  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.1)


async def made_anew(loop: Loop, *kinds: str, partitions: int = 2) -> None:
    """Delete topics and make them again, as one does to clean up."""
    names = [loop.names[kind] for kind in kinds]

    async def act(admin: Any) -> None:
        await admin.delete_topics(names)
        await until_there_are(loop, names, 0)
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        await until_there_are(loop, names, len(names))

    await administer(loop, act)


async def raised(loop: Loop, kinds: list[str], to: int) -> None:
    """More partitions."""

    async def act(admin: Any) -> None:
        await admin.create_partitions({loop.names[kind]: NewPartitions(to) for kind in kinds})

    await administer(loop, act)


async def ended(loop: Loop, within_s: float = 15.0) -> tuple[int, str]:
    """(exit code, what it said) of the newest worker, which ends by itself."""
    code = await asyncio.to_thread(loop.workers[-1].wait, within_s)
    return code, (loop.folder / f"worker{len(loop.workers) - 1}.log").read_text()


@pytest.mark.integration
async def test_topics_made_anew_while_nobody_looked_are_refused(loop: Loop) -> None:
    """With as many records as before and more: neither worker nor status nor doctor is silent."""
    rows = parcels(12)
    loop.start()
    await loop.publish(rows)
    await loop.wait_for("predictions", [f"p{n}" for n in range(12)])
    loop.stop()
    await made_anew(loop, "events", "outcomes")
    fresh = [(kind, {**fields, "event_id": f"new-{fields['event_id']}"}) for kind, fields in rows]
    await loop.publish([*fresh, *rows])
    loop.start()
    code, log = await ended(loop, 60)
    assert code == 4, log
    assert "created again" in log
    for command in ("status", "doctor"):
        began, result = monotonic(), loop.attempt(command, str(loop.file))
        while result.returncode == 0 and monotonic() - began < 60:  # a killed worker's last report
            result = loop.attempt(command, str(loop.file))
        assert result.returncode == 1
        assert "created again" in " ".join(result.stdout.split()), result.stdout
    await made_anew(loop, "journal")
    loop.start()
    code, log = await ended(loop, 60)
    assert code == 4, log
    assert "the journal was deleted or created again" in log


@pytest.mark.integration
async def test_partitions_raised_under_a_running_worker_end_it_at_once(loop: Loop) -> None:
    """Of events only, then, at the start, of all topics alike."""
    loop.start()
    await loop.publish(parcels(8))
    await loop.wait_for("predictions", [f"p{n}" for n in range(8)])
    began = monotonic()
    await raised(loop, ["events"], 4)
    code, log = await ended(loop)
    assert code == 78, log
    assert "riverrun repartition" in log
    assert monotonic() - began < 12
    await raised(loop, [t.kind for t in CATALOGUE if t.partitioned and t.kind != "events"], 4)
    loop.start()
    code, log = await ended(loop, 60)
    assert code == 4, log
    assert "the topics have 4 partitions, and the journal was written with 2" in log


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["outcomes", "journal"])
async def test_a_topic_made_anew_under_a_running_worker_ends_it(loop: Loop, kind: str) -> None:
    """Within seconds, with what happened and the ways on."""
    loop.start()
    await loop.publish(parcels(8))
    await loop.wait_for("predictions", [f"p{n}" for n in range(8)])
    await made_anew(loop, kind)
    code, log = await ended(loop, 30)
    assert code == 78, log
    assert "created again" in log
