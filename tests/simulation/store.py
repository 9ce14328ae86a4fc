"""Snapshots on a server in memory that may lose its last second, or everything.

As the real store: written after a commit, in the background, compare-and-set on seq.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.task.checkpoint import parts_of, take_parts
from models.task.partition_task import PartitionTask

if TYPE_CHECKING:
    from tests.simulation.process import Process

INTERVAL_S = 0.4


@dataclass
class Vault:
    """The server: partition → (when, seq, bytes) of all that was ever written and not lost."""

    snapshots: dict[int, list[tuple[float, int, bytes]]] = field(default_factory=dict)

    def put(self, partition: int, now: float, seq: int, saved: bytes) -> None:
        """Compare and set: only a later state replaces one."""
        snapshots = self.snapshots.setdefault(partition, [])
        if not snapshots or seq > snapshots[-1][1]:
            snapshots.append((now, seq, saved))

    def newest(self, partition: int) -> bytes | None:
        """What is there."""
        snapshots = self.snapshots.get(partition)
        return snapshots[-1][2] if snapshots else None

    def seq(self, partition: int) -> int:
        """Of what is there; -1 if nothing is."""
        snapshots = self.snapshots.get(partition)
        return snapshots[-1][1] if snapshots else -1

    def lose_since(self, moment: float) -> None:
        """A failover to a replica that was behind."""
        for partition, snapshots in self.snapshots.items():
            self.snapshots[partition] = [saved for saved in snapshots if saved[0] <= moment]


class Store:
    """wiring.SnapshotStore of one process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self._written_at: dict[int, float] = {}

    async def load(self, partition: int, at_hand: Any = None) -> PartitionTask:
        """The newest state, or a fresh task, or what is at hand if nothing is ahead of it."""
        await self.process.io("3 load", fails=False)
        if at_hand is not None and self.world.vault.seq(partition) <= at_hand.seq:
            restored: PartitionTask = at_hand
            return restored
        task = self.process.fresh(partition)
        saved = self.world.vault.newest(partition)
        if saved is not None and not self.world.fate.strikes("snapshot cannot be read"):
            restore(task, saved)
            self.world.loads += 1
        return task

    async def fresh(self, partition: int, because: str) -> PartitionTask:
        """What was loaded does not fit the log: never without a bug."""
        self.world.fail(f"partition {partition}: a snapshot did not fit the log: {because}")
        self.world.vault.snapshots.pop(partition, None)
        return self.process.fresh(partition)

    def release(self, partition: int) -> None:
        """Nothing: a write compares and sets."""

    def offer(self, partition: int, task: Any) -> None:
        """Save the state now, write it later."""
        self.process.reach("9.6 snapshot offered")
        now = asyncio.get_running_loop().time()
        if now - self._written_at.get(partition, -INTERVAL_S) >= INTERVAL_S:
            self._written_at[partition] = now
            writing = self._write(partition, task.seq, self.save(task))
            asyncio.create_task(writing)  # noqa: RUF006 - its process keeps it

    def save(self, task: PartitionTask) -> bytes:
        """The state as bytes."""
        return pickle.dumps((parts_of(task), dict(task.ledger.entries)))

    async def _write(self, partition: int, seq: int, saved: bytes) -> None:
        await self.process.io("9.7 snapshot being written", fails=False)
        if not self.world.fate.strikes("snapshot is not written"):
            now = asyncio.get_running_loop().time()
            self.world.vault.put(partition, now, seq, saved)
            self.process.reach("9.8 snapshot written")

    def status(self, partition: int) -> Mapping[str, Any]:
        """Nothing."""
        return {}


def restore(task: PartitionTask, saved: bytes) -> None:
    """Put a saved state into a fresh task."""
    take_parts(task, *pickle.loads(saved))
