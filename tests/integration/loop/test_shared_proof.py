"""The proof of a use case whose partitions share models: each version is read once for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from streams.embedded import Endpoints
from streams.replay.verify import Verifier
from streams.unpickling.safe_unpickler import unpickle
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

TREES = (
    SOURCE.replace(
        '    partitions=2,\n    learning="partition",\n',
        '    partitions=4,\n    learning="shared",\n    freshness=Freshness(event_time=7200),\n',
    )
    .replace("from river import linear_model", "from river import tree, linear_model")
    .replace("from riverrun import Event", "from riverrun import Freshness, Event")
    .replace('"linear": linear,', '"linear": lambda: tree.HoeffdingTreeRegressor(max_depth=9),')
)


async def test_a_proof_reads_each_version_once_for_all_partitions(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four partitions answer by the same trees; what is derived again to the byte is not rehearsed,
    and another answer on the topic would be found.
    """
    loop, rows = Loop(stack, tmp_path, TREES), parcels(300)
    asked = [str(fields["event_id"]) for kind, fields in rows if kind == "event"]
    try:
        await loop.publish(rows)
        loop.start()
        await loop.wait_for("examples", asked)
        loop.stop()
        read: Counter[bytes] = Counter()
        rehearsed: list[bool] = []

        def noted(data: Any, allowed: Any, **options: bool) -> Any:
            read[blake2b(b"".join(data)).digest()] += 1
            rehearsed.append(not options["rehearsed"])
            return unpickle(data, allowed, **options)

        monkeypatch.setattr("streams.snapshots.version_transfer.unpickle", noted)
        proof = await Verifier(loop.settings, loop.names).every()
        assert (proof.checked, proof.different, proof.proved) == (len(asked), 0, True), proof.first
        assert proof.versions_checked == len(await loop.values("models"))
        partitions = {p["partition"] for p in await loop.values("predictions")}
        assert len(partitions) > 2
        assert len(read) > 10
        assert set(read.values()) == {1}
        assert not any(rehearsed)
    finally:
        await asyncio.to_thread(loop.close)
