"""Checks before a record is set aside: it exists, was not applied, and is known to fail.

A wrong number would cost a good record its answer. So the record that `skip` names is compared with
the log, the journal and what the partition has told on `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import ConfigError, RiverrunError
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader
from streams.replay.journal_fold import Entry


async def evidence_of(
    settings: Settings,
    names: Mapping[str, str],
    *,
    partition: int,
    input: str,
    offset: int,
    untold: bool,
) -> dict[str, Any] | None:
    """Return the failure that the partition reported of that record, for the command.

    Return None with `untold` if there is no such report.

    Raises `RiverrunError` where the record may not be set aside, and says why.
    """
    topic = names[input]
    async with TopicReader([topic, names["journal"], names["lifecycle"]], settings) as reader:
        bounds, topic_partition = await reader.bounds(), TopicPartition(topic, partition)
        if topic_partition not in bounds:
            count = len(reader.of(topic))
            raise ConfigError(
                f"{topic} has no partition {partition}.",
                hint=f"It has 0 to {count - 1}." if count else "See `riverrun topics`.",
            )
        start, end = bounds[topic_partition]
        if not start <= offset < end:
            raise RiverrunError(
                f"{topic}[{partition}] holds offsets {start} to {end - 1}, and not {offset}. "
                "`riverrun status` names the record that a partition stops at."
            )
        journal = await reader.last(TopicPartition(names["journal"], partition))
        following = Entry.decode(journal[-1].value).next[INPUTS.index(input)] if journal else -1
        if offset < following:
            raise RiverrunError(
                f"{topic}[{partition}] offset {offset} is in the journal already, which goes on "
                f"with {following}: what was applied cannot be set aside. To take back what a "
                "model learnt, see `riverrun rollback --as-of`."
            )
        failure = await _reported_failure(
            reader, TopicPartition(names["lifecycle"], partition), input, offset
        )
    if failure is None and not untold:
        raise RiverrunError(
            f"partition {partition} has not told that it fails on offset {offset} of {topic}, and "
            "a record that can be applied must not be lost. `riverrun status` names the record "
            "that a partition stops at. If this one ends the process before it can tell, say "
            "--untold."
        )
    return failure


async def _reported_failure(
    reader: TopicReader, topic_partition: TopicPartition, input: str, offset: int
) -> dict[str, Any] | None:
    failure = None
    async for record in reader.records(topic_partition):
        if b'"halted"' not in record.value:
            continue
        evidence = orjson.loads(record.value)["evidence"] or {}
        if (evidence.get("input"), evidence.get("offset")) == (input, offset):
            failure = {name: evidence.get(name) for name in ("error", "traceback")}
    return failure
