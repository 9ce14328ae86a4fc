from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr

from schemas.errors import Incompatible
from streams.embedded import Endpoints
from streams.topics import topic_admin
from streams.topics.retention_check import fault, refuse_gap
from tests.support.loop import Loop

DAY_MS = str(86_400_000)


@pytest.mark.parametrize(
    ("kind", "config", "archived", "says"),
    [
        ("events", {}, False, None),
        ("events", {"retention.ms": "-1", "retention.bytes": "-1"}, False, None),
        ("events", {"retention.ms": DAY_MS}, False, "RIVERRUN_ARCHIVE"),
        ("events", {"retention.ms": DAY_MS}, True, None),
        ("events", {"retention.ms": "3600000"}, True, "needs 4 hours"),
        ("events", {"retention.ms": DAY_MS, "retention.bytes": "1000"}, True, "bytes"),
        ("events", {"retention.ms": "-1", "retention.bytes": "1000"}, False, "bytes"),
        ("events", {"cleanup.policy": "compact"}, True, "compacted"),
        ("journal", {"retention.ms": DAY_MS}, True, "retention.ms=-1"),
    ],
)
def test_each_fault_says_its_mend(
    kind: str, config: dict[str, str], archived: bool, says: str | None
) -> None:
    """What would open a gap between log and archive is named; what would not, is not."""
    problem = fault(kind, "t", config, 3_600.0 if archived else None)
    assert problem is None if says is None else says in (problem or "")


@pytest.mark.integration
async def test_a_retention_that_opens_a_gap_is_refused(stack: Endpoints, tmp_path: Path) -> None:
    """On a real Kafka: 7 days on an input, with and without an archive."""
    loop = Loop(stack, tmp_path)
    await topic_admin.ensure(loop.loaded.use_case, loop.settings)
    await refuse_gap(loop.names, loop.settings)
    admin = AIOKafkaAdminClient(**loop.settings.kafka_client())
    await admin.start()
    change = {"retention.ms": str(7 * 86_400_000)}
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, loop.names["outcomes"], configs=change)]
    )
    await admin.close()
    with pytest.raises(Incompatible, match="outcomes keeps its records for 7 days"):
        await _until_known(loop)
    loop.start()
    assert loop.workers[-1].wait(60) == 4
    archive = SecretStr(f"file://{tmp_path}/archive")
    await refuse_gap(loop.names, loop.settings.model_copy(update={"riverrun_archive": archive}))


async def _until_known(loop: Loop) -> None:
    for _ in range(100):  # the broker knows a little later what it was told
        await refuse_gap(loop.names, loop.settings)
        await asyncio.sleep(0.1)
