"""The bound on how far ahead of a broker's clock a producer may set an input's Kafka timestamp.

A partition believes a time that is at most `max_jump` later than its record's Kafka timestamp
(`models.inputs.watermark`). A producer may set that timestamp itself (`CreateTime`), so the broker
has to bound it: `message.timestamp.after.max.ms` (KIP-937, Kafka 3.6; an hour by default from 4.0
on). The topics that riverrun creates have the bound; others are looked at when a worker starts and
by `riverrun doctor`. `LogAppendTime` needs no bound, but an input then cannot be replayed with its
old timestamps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from models.spec.use_case import UseCase
from models.values.durations import spoken
from streams.config.settings import Settings

BOUND = "message.timestamp.after.max.ms"
TYPE = "message.timestamp.type"
AHEAD_MS_MAX = 3_600_000
AHEAD_MS_MIN = 60_000
"""Clocks of producers and brokers may differ by this, however short the horizon is."""
DATED = ("events", "outcomes", "history")
"""The inputs whose records move time."""


def ahead_ms(use_case: UseCase) -> int:
    """Return the bound for the topics of a use case: `max_jump`, but a minute to an hour."""
    return int(max(AHEAD_MS_MIN, min(AHEAD_MS_MAX, use_case.max_jump_s * 1_000)))


def unbounded(topic: str, config: Mapping[str, str]) -> str | None:
    """Return what is wrong with one topic's bound, and how to mend it.

    >>> unbounded("events", {TYPE: "CreateTime", BOUND: "3600000"})
    >>> unbounded("events", {TYPE: "LogAppendTime", BOUND: "9223372036854775807"})
    >>> "Set message.timestamp.after.max.ms=3600000" in unbounded("events", {BOUND: str(2**62)})
    True
    """
    if config.get(TYPE, "CreateTime") == "LogAppendTime":
        return None
    bound = config.get(BOUND)
    if bound is not None and int(bound) <= AHEAD_MS_MAX:
        return None
    far = "as far ahead as they like"
    if bound is not None and int(bound) < 10**15:
        far = f"{spoken(int(bound) / 1_000)} ahead"
    hint = f"Set {BOUND}={AHEAD_MS_MAX} on it."
    if bound is None:
        hint = f"Its broker is older than 3.6: set {TYPE}=LogAppendTime on it."
    return (
        f"producers may date records on {topic} {far}, and so move its time forward for good. "
        f"{hint}"
    )


async def configs_of(topics: list[str], settings: Settings) -> dict[str, dict[str, str]]:
    """Return what is set of topics, by their names."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in dict.fromkeys(topics)]
        configs: dict[str, dict[str, str]] = {}
        for response in await admin.describe_configs(asked):
            for _, _, _, name, entries in response.resources:
                configs[name] = {entry[0]: entry[1] for entry in entries}
        return configs
    finally:
        await admin.close()


async def unbounded_of(topics: list[str], settings: Settings) -> Iterator[str]:
    """Return what is wrong with the bound of each of these topics."""
    configs = await configs_of(topics, settings)
    findings = (unbounded(topic, config) for topic, config in sorted(configs.items()))
    return (finding for finding in findings if finding is not None)


async def unbounded_here(settings: Settings) -> list[str]:
    """Return the faults of all use cases whose topics have riverrun's names (a journal)."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        names = set(await admin.list_topics())
    finally:
        await admin.close()
    stems = [name.removesuffix("journal") for name in names if name.endswith(".journal")]
    topics = [stem + kind for stem in stems for kind in DATED if stem + kind in names]
    return list(await unbounded_of(topics, settings)) if topics else []
