"""The independent verifier: plain aiokafka and orjson, nothing of riverrun.

It reads inputs and read_committed outputs from their beginning and recomputes:

    counts   every event id has one prediction, one features record, and one example if it has an
             outcome; nobody else has any
    joins    a prediction stands on its event's partition under its key; features hold the event's
             own fields; an example holds its outcome's label
    sums     `nth` of the k-th event of a depot is k - 1; `told` never falls within a depot and
             never passes the outcomes there are; labels of examples add up to the outcomes'
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition


@dataclass
class Found:
    """What the verifier found wrong, and when each partition answered."""

    events: int = 0
    outcomes: int = 0
    duplicates: int = 0
    lost: int = 0
    wrong: int = 0
    examples_of_wrong: list[str] = field(default_factory=list)
    answered_ms: dict[int, list[int]] = field(default_factory=dict)
    digests: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)

    def say_wrong(self, what: str) -> None:
        """Count it; keep the first few."""
        self.wrong += 1
        if len(self.examples_of_wrong) < 10:
            self.examples_of_wrong.append(what)

    def silences(self) -> list[tuple[float, float, int]]:
        """(when it began, seconds, partition) of all gaps between answers above a second."""
        return [
            (before / 1000, (after - before) / 1000, partition)
            for partition, times in self.answered_ms.items()
            for before, after in pairwise(sorted(times))
            if after - before > 1_000
        ]


async def records(
    client: Mapping[str, Any], topic: str, since: dict[Any, int] | None = None
) -> AsyncIterator[Any]:
    """Every committed record of a topic up to its present end; `since`: from where it was left, and
    where it is left now.
    """
    places = {} if since is None else since
    consumer = AIOKafkaConsumer(
        **client,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        check_crcs=False,
    )
    await consumer.start()
    try:
        metadata = await consumer._client.fetch_all_metadata()
        tps = [TopicPartition(topic, n) for n in sorted(metadata.partitions_for_topic(topic))]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            if tp in places:
                consumer.seek(tp, places[tp])
            while await consumer.position(tp) < ends[tp]:
                for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
                    for record in batch:
                        yield record
            places[tp] = await consumer.position(tp)
    finally:
        await consumer.stop()


def digest(key: bytes | None, value: bytes) -> bytes:
    """Eight bytes that stand for a record."""
    return hashlib.blake2b(value, key=(key or b"")[:64], digest_size=8).digest()


async def verify(client: Mapping[str, Any], topics: Mapping[str, str]) -> Found:
    """Read everything and recompute."""
    tally = Found()
    nth: dict[str, tuple[int, int, bytes, float, int]] = {}
    seen: Counter[bytes] = Counter()
    async for record in records(client, topics["events"]):
        event = orjson.loads(record.value)
        if event["event_id"] not in nth:
            describe = (
                record.partition,
                seen[record.key],
                record.key,
                event["weight"],
                event["miles"],
            )
            nth[event["event_id"]] = describe
            seen[record.key] += 1
    labels: dict[str, float] = {}
    per_depot: Counter[bytes] = Counter()
    async for record in records(client, topics["outcomes"]):
        outcome = orjson.loads(record.value)
        if outcome["event_id"] not in labels:
            per_depot[record.key] += 1
        labels[outcome["event_id"]] = outcome["hours"]
    tally.events, tally.outcomes = len(nth), len(labels)
    await _check_features(client, topics["features"], nth, per_depot, tally)
    await _check_predictions(client, topics["predictions"], nth, tally)
    await _check_examples(client, topics["examples"], nth, labels, tally)
    async for record in records(client, topics["dead-letter"]):
        tally.say_wrong(f"dead letter: {orjson.loads(record.value)['error'][:200]}")
    return tally


def _note(tally: Found, kind: str, record: Any) -> None:
    digests = tally.digests.setdefault((kind, record.partition), [])
    digests.append(digest(record.key, record.value))


def _count(tally: Found, counts: Mapping[str, int], expected: Any, kind: str) -> None:
    tally.duplicates += sum(count - 1 for count in counts.values())
    missing = expected - counts.keys()
    tally.lost += len(missing)
    for name in list(counts.keys() - expected)[:5]:
        tally.say_wrong(f"{kind} of {name}, which nobody sent")


async def _check_features(
    client: Mapping[str, Any],
    topic: str,
    nth: Mapping[str, tuple[int, int, bytes, float, int]],
    per_depot: Mapping[bytes, int],
    tally: Found,
) -> None:
    counts: Counter[str] = Counter()
    told: defaultdict[bytes, float] = defaultdict(float)
    async for record in records(client, topic):
        _note(tally, "features", record)
        value = orjson.loads(record.value)
        name, x = value["event_id"], value["features"]
        counts[name] += 1
        expected = nth.get(name)
        if expected is None:
            continue
        values = (record.partition, int(x["nth"]), record.key, x["weight"], x["miles"])
        if values != expected:
            tally.say_wrong(f"features of {name}: {values}, not {expected}")
        if not told[record.key] <= x["told"] <= per_depot[record.key]:
            tally.say_wrong(f"features of {name}: told {x['told']} after {told[record.key]}")
        told[record.key] = x["told"]
    _count(tally, counts, nth.keys(), "features")


async def _check_predictions(
    client: Mapping[str, Any],
    topic: str,
    nth: Mapping[str, tuple[int, int, bytes, float, int]],
    tally: Found,
) -> None:
    counts: Counter[str] = Counter()
    async for record in records(client, topic):
        _note(tally, "predictions", record)
        tally.answered_ms.setdefault(record.partition, []).append(record.timestamp)
        value = orjson.loads(record.value)
        name = value["event_id"]
        counts[name] += 1
        expected = nth.get(name)
        if expected is not None and (record.partition, record.key) != (expected[0], expected[2]):
            tally.say_wrong(f"prediction of {name} on partition {record.partition}")
        if not isinstance(value["value"], float | int):
            tally.say_wrong(f"prediction of {name} is {value['value']}")
    _count(tally, counts, nth.keys(), "prediction")


async def _check_examples(
    client: Mapping[str, Any],
    topic: str,
    nth: Mapping[str, tuple[int, int, bytes, float, int]],
    labels: Mapping[str, float],
    tally: Found,
) -> None:
    counts: Counter[str] = Counter()
    total = 0.0
    async for record in records(client, topic):
        _note(tally, "examples", record)
        value = orjson.loads(record.value)
        name = value["event_id"]
        counts[name] += 1
        total += value["label"]
        expected = (labels.get(name), nth[name][1] if name in nth else None)
        if (value["label"], int(value["features"]["nth"])) != expected:
            tally.say_wrong(f"example of {name}: label {value['label']}, not {expected}")
    _count(tally, counts, labels.keys() & nth.keys(), "example")
    due = sum(labels[name] for name in labels.keys() & nth.keys())
    if abs(total - due) > 1e-6 * max(1.0, due):
        tally.say_wrong(f"labels add up to {total}, not {due}")
