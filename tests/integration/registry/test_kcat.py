"""kcat as people use it: librdkafka with default settings, so its own partitioner, CRC32."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from streams.embedded import Endpoints
from tests.support.loop import Loop, parcels
from tests.support.servers.foreign_parcels import (
    DELIVERED,
    SENT,
    ForeignProducer,
    adopting,
    make_topics,
)
from tests.support.servers.programs import path_of

pytestmark = pytest.mark.integration

COUNT = 60


async def test_what_kcat_sends_with_default_settings_is_answered(
    stack: Endpoints, tmp_path: Path
) -> None:
    """Keyed by the parcel's id and by nothing, one value a line."""
    kcat = path_of("kcat", package="kcat")
    prefix = f"kcat-{uuid4().hex[:8]}."
    await make_topics(stack.bootstrap_servers, prefix)
    loop = Loop(stack, tmp_path, adopting(prefix))
    lines = ForeignProducer(stack.bootstrap_servers, prefix).lines(parcels(COUNT))
    for topic, key in ((SENT, ("-K", "|")), (DELIVERED, ())):
        command = [kcat, "-P", "-b", stack.bootstrap_servers, "-t", prefix + topic, *key]
        await asyncio.to_thread(
            subprocess.run, command, input=b"\n".join(lines[topic]), check=True, timeout=60
        )
    loop.start()
    ids = [f"p{n}" for n in range(COUNT)]
    try:
        for kind in ("predictions", "examples"):
            await loop.wait_for(kind, ids)
            assert sorted(row["event_id"] for row in await loop.values(kind)) == sorted(ids)
        assert await loop.values("dead-letter") == []
    finally:
        loop.close()
