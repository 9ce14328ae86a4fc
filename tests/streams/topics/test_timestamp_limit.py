"""Producers cannot date records far ahead on the topics that riverrun makes; others are told of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from models.values.durations import days, minutes
from streams.embedded import Endpoints
from streams.topics import topic_admin
from streams.topics.timestamp_limit import (
    BOUND,
    TYPE,
    ahead_ms,
    configs_of,
    unbounded,
    unbounded_here,
)
from tests.support.loop import Loop
from tests.support.one_partition import use_case


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({TYPE: "CreateTime", BOUND: "3600000"}, None),
        ({TYPE: "CreateTime", BOUND: "60000"}, None),
        ({TYPE: "LogAppendTime", BOUND: str(2**63 - 1)}, None),
        ({TYPE: "LogAppendTime"}, None),
        ({TYPE: "CreateTime", BOUND: str(2**63 - 1)}, "as far ahead as they like"),
        ({TYPE: "CreateTime", BOUND: str(30 * 86_400_000)}, "30 days ahead"),
        ({TYPE: "CreateTime"}, "LogAppendTime"),
    ],
)
def test_what_is_not_bounded_is_told_with_its_mend(config: dict[str, str], says: str | None):
    """Each way in which a producer may move time."""
    problem = unbounded("t", config)
    assert problem is None if says is None else says in (problem or "")


def test_the_bound_follows_the_horizon_within_reason():
    """A minute at least, since clocks differ; an hour at most."""
    assert [ahead_ms(use_case(horizon=h)) for h in (1.0, minutes(20), days(30))] == [
        60_000, 600_000, 3_600_000,
    ]  # fmt: skip


@pytest.mark.integration
async def test_on_a_real_kafka_the_topics_have_the_bound(stack: Endpoints, tmp_path: Path) -> None:
    """A record of tomorrow is refused by the broker; a topic without the bound is told of."""
    loop = Loop(stack, tmp_path)
    await topic_admin.ensure(loop.loaded.use_case, loop.settings)
    inputs = [loop.names[kind] for kind in ("events", "outcomes", "history")]
    configs = await configs_of(inputs, loop.settings)
    assert {config[BOUND] for config in configs.values()} == {"3600000"}
    assert not [problem for problem in await unbounded_here(loop.settings) if inputs[0] in problem]
    producer = AIOKafkaProducer(**loop.settings.kafka_client())
    await producer.start()
    tomorrow = int((time() + 86_400) * 1_000)
    with pytest.raises(KafkaError):
        await producer.send_and_wait(inputs[0], b"{}", key=b"a", timestamp_ms=tomorrow)
    await producer.stop()
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    change = {BOUND: str(2**63 - 1)}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, inputs[0], configs=change)])
    await admin.close()
    for _ in range(100):  # the broker knows a little later what it was told
        if any(inputs[0] in problem for problem in await unbounded_here(loop.settings)):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("it is not told")
