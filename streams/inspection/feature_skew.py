"""Stored features against the same ones computed again from the log: skew, which should be none.

There is one path only, so what can differ is the store (written by somebody else, or wrongly), or a
feature's function that is not a function of its arguments.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
from redis.exceptions import RedisError

from schemas.errors import Unavailable
from schemas.feature_keys import Served, place_key, served
from streams.config.settings import Settings
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.derivation import Derivation, Redefine, StartingStates
from streams.replay.journal_fold import Diverged
from streams.replay.verified import differing


@dataclass(slots=True)
class Skew:
    """What was found. `different`: entity → (feature, stored, computed again)."""

    stored: int = 0
    checked: int = 0
    different: dict[str, tuple[str, Any, Any]] = field(default_factory=dict)
    unproven: list[str] = field(default_factory=list)


def stored_sample(
    settings: Settings, use_case: str, count: int, seed: int
) -> tuple[int, list[Served]]:
    """Return how many entities are stored, and a sample of them, drawn evenly."""
    assert settings.redis_url is not None
    client: Any = redis.Redis.from_url(settings.redis_address(), socket_timeout=5)
    prefix = place_key(use_case, settings.riverrun_topic_prefix)
    try:
        keys = sorted(client.scan_iter(f"{prefix}:*", count=1_000))
        chosen = random.Random(seed).sample(keys, min(count, len(keys)))
        entries = []
        for key in chosen:
            partition, value = client.hmget(key, "p", "v")
            if value is not None:
                entries.append(served(key.decode().removeprefix(f"{prefix}:"), partition, value))
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.public_redis_address()} does not answer. See `riverrun doctor`."
        ) from error
    return len(keys), entries


async def compared(
    wanted: Iterable[Served],
    settings: Settings,
    names: Mapping[str, str],
    partitions: int,
    *,
    starts: StartingStates | None = None,
    redefine: Redefine | None = None,
    trusted: Collection[str] = (),
) -> Skew:
    """Compute each of them again from the log, and compare to the last bit.

    `trusted`: sources of definitions that may be run although they are not signed.
    """
    definitions = await DefinitionHistory.read(names["definitions"], settings, trusted=trusted)
    skew, by_partition = Skew(), dict[int, list[Served]]()
    for one in wanted:
        by_partition.setdefault(one.partition, []).append(one)
    for number, each in sorted(by_partition.items()):
        derivation = Derivation(
            settings,
            names,
            definitions,
            partition=number,
            partitions=partitions,
            starts=starts,
            redefine=redefine,
        )
        try:
            await derivation.open()
            await _partition(derivation, sorted(each, key=lambda one: one.step), skew)
        except (Unprovable, Diverged) as error:
            skew.unproven.append(f"partition {number}: {error}")
        finally:
            await derivation.close()
    return skew


async def _partition(derivation: Derivation, wanted: Sequence[Served], skew: Skew) -> None:
    by_step = {one.step: one for one in wanted}

    def compare(outputs: Sequence[Any]) -> None:
        for output in outputs:
            if output.kind != "features":
                continue
            again = orjson.loads(output.value)
            one = by_step.get(again["step"])
            if one is not None:
                skew.checked += 1
                first = next(differing(one.features, again["features"]), None)
                if first is not None:
                    skew.different[one.entity] = first

    for one in wanted:
        at = derivation.task
        if at is not None and at.step >= one.step:
            continue  # it was in an entry with one before it
        goal = await derivation.entry_of(one.step)
        await derivation.to(goal.seq + 1, compare)
