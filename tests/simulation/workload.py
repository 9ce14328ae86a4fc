"""What goes in: parcels and deliveries, delayed, doubled, early, late, contradictory, nonsense."""

from __future__ import annotations

import random
from typing import NamedTuple

import orjson

from models.inputs.decoder import KIND_HEADER
from schemas.partitioner import partition_of
from tests.simulation.broker import Message
from tests.support.one_partition import START, command, delivery, order

PACE = 240.0  # seconds of event time in one of virtual time


class Sending(NamedTuple):
    """One record, and when it is sent."""

    at: float
    kind: str
    partition: int
    message: Message


def shops(partitions: int) -> list[str]:
    """Two keys for each partition."""
    keys: dict[int, list[str]] = {n: [] for n in range(partitions)}
    number = 0
    while any(len(names) < 2 for names in keys.values()):
        name = f"shop{number}"
        names = keys[partition_of(name.encode(), partitions)]
        if len(names) < 2:
            names.append(name)
        number += 1
    return [name for names in keys.values() for name in names]


def workload(rng: random.Random, partitions: int, events: int, seconds: float) -> list[Sending]:
    """All that is sent in one run, in the order of sending."""
    sent: list[Sending] = []
    names = shops(partitions)
    for n in range(events):
        _parcel(rng, sent, f"e{n}", rng.choice(names), rng.uniform(0, seconds), partitions)
    for n, verb in enumerate(rng.sample(("freeze", "unfreeze", "rollback", "promote"), 2)):
        model = {"model": "tree"} if verb == "promote" else {}
        told = Message(b"c%d" % n, orjson.dumps(command(f"c{n}", verb, **model)))
        for partition in range(partitions):
            moments = [rng.uniform(0, seconds) for _ in range(rng.choice((1, 1, 2)))]
            sent += [Sending(moment, "commands", partition, told) for moment in moments]
    # What takes long is sent at the end: delayed no further than the run.
    last = 2 * seconds
    sent = [sending._replace(at=min(sending.at, last)) for sending in sent]
    sent.sort(key=lambda sending: sending.at)
    return sent


def _parcel(
    rng: random.Random,
    sent: list[Sending],
    name: str,
    shop: str,
    at: float,
    partitions: int,
) -> None:
    key = shop.encode()
    partition = partition_of(key, partitions)

    def send(when: float, kind: str, value: dict[str, object] | bytes, **rest: object) -> None:
        body = value if isinstance(value, bytes) else orjson.dumps(value)
        stamp = int((START.timestamp() + when * PACE) * 1000)
        headers = rest.get("headers", ())
        message = Message(key, body, headers, stamp)  # type: ignore[arg-type]
        sent.append(Sending(when, kind, partition, message))

    second = at * PACE
    fields = {"shop": shop, "weight": round(rng.uniform(0.1, 9), 2), "items": rng.randint(1, 4)}
    event = order(name, second, colour=rng.choice(("red", "blue", None)), **fields)
    took = round(rng.uniform(1, 20), 1)
    after = rng.choice((20.0, 200.0, 600.0, 5_000.0)) * rng.random()
    outcome = delivery(name, second + after, took)
    when = at + rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 3)))
    later = at + after / PACE + rng.choice((0.0, 0.0, 0.5))
    if rng.random() < 0.08:
        for kind, value in (("event", event), ("outcome", outcome)):
            send(when, "history", value, headers=((KIND_HEADER, kind.encode()),))
        return
    send(when, "events", event)
    if rng.random() < 0.85:
        send(later, "outcomes", outcome)
    if rng.random() < 0.12:
        send(when + rng.uniform(0, 3), "events", event)
    if rng.random() < 0.12:
        send(later + rng.uniform(0, 3), "outcomes", outcome)
    if rng.random() < 0.05:
        send(later + rng.uniform(0, 3), "outcomes", delivery(name, second + after, took + 1))
    if rng.random() < 0.05:
        send(when + rng.uniform(0, 3), "events", event | {"weight": 99.0})
    if rng.random() < 0.05:
        send(when, rng.choice(("events", "outcomes", "commands", "history")), b"{nonsense")
    if rng.random() < 0.03:
        send(when, "outcomes", delivery(f"{name}-unknown", second, took))
