"""The snapshot store of a worker: Redis, and behind it an archive, where there is one.

load    newest first, of Redis and archive, until one is whole, signed and fits
offer   when due, and one at a time: pickled at once if it is little, else by a forked child; then
        a thread writes it

Nothing here stops a worker or makes a prediction wait: a store that is slow, down or full is
reported in the status, and tried again. Fencing: a write names the head that it replaces, and
replaces no other. The state at an entry is the same whoever wrote it, so of two writers the one
ahead is right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from models.task.partition_task import PartitionTask
from streams.config.naming import title_of
from streams.snapshots.archive import Archive, ArchivedSnapshot
from streams.snapshots.background_io import awaited, beside
from streams.snapshots.delta import Base, check_fits, expected_bytes, prove, restore, write
from streams.snapshots.fork_writer import Child, Written, fork, write_here
from streams.snapshots.redis_circuit_breaker import FAILURES, RedisCircuitBreaker
from streams.snapshots.redis_store import Outrun, RedisStore
from streams.snapshots.signed_format import Header, Origin, Reader, UnusableSnapshot, opened
from streams.snapshots.snapshot_schedule import AGAIN_S, INTERVAL_S_MIN, LOAD_S, SnapshotSchedule
from streams.unpickling.safe_unpickler import Allowed

log = logging.getLogger("riverrun.snapshots")

FOLD_S = 3e-4
"""The approximate time to fold a record: loading and folding lead to the same state."""

AT_ONCE_BYTES = 1 << 19
"""About 10 ms of pickling, no longer than a fork holds the loop up."""
TRIES = 5
AT_HAND_S = 0.05  # until trainers are asked again for the models that they have


class Loaded(NamedTuple):
    """The snapshot that recovery starts from; `head` is what Redis holds, usable or not."""

    task: PartitionTask
    head: bytes | None
    header: Header | None
    source: str
    problems: list[str]


class WriteResult(NamedTuple):
    """The result of one snapshot: what is stored now, or why it is not."""

    head: bytes | None
    header: Header | None
    cpu_s: float
    error: str | None
    archived: bool = False
    archive_error: str | None = None
    soon: bool = False


class Snapshots:
    """The snapshots of all partitions of a worker. `make` gives a fresh task of a partition."""

    def __init__(
        self,
        client: Any,
        group: str,
        make: Callable[[int], PartitionTask],
        *,
        key: bytes,
        allowed: Allowed,
        origin: Callable[[], Origin] | None = None,
        archive: Archive | None = None,
        interval_s: float = INTERVAL_S_MIN,
    ) -> None:
        self._client = client
        self._group = group
        self._make = make
        self._key = key
        self._allowed = allowed
        self._origin = origin or (lambda: Origin(group))
        self._here: Origin | None = None
        self._archive = archive
        self._keepers: defaultdict[int, SnapshotSchedule] = defaultdict(
            lambda: SnapshotSchedule(interval_s)
        )
        self._idle = asyncio.Event()
        self._idle.set()
        self._tried: dict[int, set[str]] = {}
        self._definitions: dict[int, str] = {}
        self._breaker = RedisCircuitBreaker()

    # Recovery.

    async def load(self, partition: int, at_hand: PartitionTask | None = None) -> PartitionTask:
        """Return the newest usable state; a fresh task if there is none; or what is at hand, if
        that is as good.
        """
        self._tried[partition] = set()
        if at_hand is None:
            return await self._begin(partition)
        if not await awaited(partial(self._is_far_ahead, partition, at_hand)):
            return at_hand
        task = await self._begin(partition)
        return task if task.seq > at_hand.seq else at_hand

    def _is_far_ahead(self, partition: int, at_hand: PartitionTask) -> bool:
        head = self._head(partition, [])
        try:
            header = None if head is None else opened(head, self._key)
        except UnusableSnapshot:
            return False
        if header is None or header.definition != at_hand.definition:
            return False
        if header.origin != self._origin():
            return False
        return (header.step - at_hand.step) * FOLD_S > header.size * LOAD_S

    async def fresh(self, partition: int, because: str) -> PartitionTask:
        """Return the next older state that was not tried, or a task at the beginning."""
        return await self._begin(partition, because)

    async def _begin(self, partition: int, because: str | None = None) -> PartitionTask:
        loaded = await awaited(partial(self._load, partition, because is not None))
        keeper = self._keepers[partition]
        self._definitions[partition] = loaded.task.definition
        keeper.begin(loaded.task, loaded.head, loaded.header)
        problems = [because, *loaded.problems] if because else loaded.problems
        keeper.source = "; ".join([loaded.source, *problems])
        for problem in problems:
            log.warning("%s: %s; going on from %s", title_of(partition), problem, loaded.source)
        log.info("%s: recovering from %s", title_of(partition), loaded.source)
        return loaded.task

    def _load(self, partition: int, again: bool) -> Loaded:
        problems: list[str] = []
        self._here = self._origin()
        head = self._head(partition, problems)
        archived = self._archived(partition, problems)
        loaded = None if again else self._from_redis(partition, head, archived, problems)
        if loaded is None:
            loaded = self._from_archive(partition, head, archived, problems)
        return loaded or Loaded(self._make(partition), head, None, "the log", problems)

    def _head(self, partition: int, problems: list[str]) -> bytes | None:
        head, away = self._breaker.read(self._hash(partition).head)
        if away is not None:
            problems.append(f"Redis does not answer ({away})")
        return head

    def _archived(self, partition: int, problems: list[str]) -> list[ArchivedSnapshot]:
        if self._archive is None:
            return []
        try:
            archived = self._archive.of(partition, problems)
        except Exception as error:  # whatever a file system raises
            problems.append(f"the archive cannot be read ({error})")
            return []
        tried = self._tried[partition]
        return [snapshot for snapshot in archived if snapshot.path not in tried][:TRIES]

    def _from_redis(
        self,
        partition: int,
        head: bytes | None,
        archived: list[ArchivedSnapshot],
        problems: list[str],
    ) -> Loaded | None:
        stored = self._hash(partition)
        for _ in range(TRIES):
            if head is None:
                return None
            task = self._make(partition)
            try:
                header = opened(head, self._key)
                check_fits(header, task, self._origin())
                if archived and archived[0].seq > header.seq:
                    return None
                restore(header, partial(stored.part, header), task, self._allowed)
                return Loaded(task, head, header, f"Redis, entry {header.seq}", problems)
            except UnusableSnapshot as error:
                before, head = head, self._head(partition, problems)
                if head == before:
                    problems.append(f"the snapshot in Redis is not used: {error}")
                    return None
            except FAILURES as error:
                self._breaker.away(error)
                problems.append(f"the snapshot in Redis cannot be read: {error}")
                return None
        return None

    def _from_archive(
        self,
        partition: int,
        head: bytes | None,
        archived: list[ArchivedSnapshot],
        problems: list[str],
    ) -> Loaded | None:
        assert self._archive is not None or not archived
        for snapshot in archived:
            self._tried[partition].add(snapshot.path)
            task = self._make(partition)
            try:
                assert self._archive is not None
                self._archive.restore(snapshot, task, self._allowed)
            except UnusableSnapshot as error:
                problems.append(f"the snapshot {snapshot.path} is not used: {error}")
                continue
            except Exception as error:  # whatever a file system raises
                problems.append(f"the snapshot {snapshot.path} cannot be read: {error}")
                continue
            return Loaded(task, head, None, f"the archive, entry {snapshot.seq}", problems)
        return None

    def _hash(self, partition: int) -> RedisStore:
        return RedisStore(self._client, self._group, partition)

    # Writing.

    def offer(self, partition: int, task: Any) -> None:
        """Take a snapshot now if one is due and none is under way, else as soon as that is so and
        the task still stands where it does now. None of an earlier definition, amid a fold.
        """
        if task.definition != self._definitions.get(partition, task.definition):
            return
        self._keepers[partition].offered(task)
        self._look(partition)

    def _look(self, partition: int) -> None:
        keeper = self._keepers[partition]
        task = keeper.standing()
        if task is None or not self._idle.is_set():
            return
        wait_s = keeper.wait_s()
        if wait_s <= 0 and [slot for slot in task.router.slots() if not slot.is_at_hand()]:
            wait_s = AT_HAND_S
        if wait_s <= 0:
            self._take(partition, keeper, task)
        elif not keeper.looked_for:
            keeper.looked_for = True
            asyncio.get_running_loop().call_later(wait_s, self._look_again, partition)

    def _look_again(self, partition: int) -> None:
        self._keepers[partition].looked_for = False
        self._look(partition)

    def _take(self, partition: int, keeper: SnapshotSchedule, task: PartitionTask) -> None:
        if not keeper.keeps(task):
            keeper.begin(task, keeper.head, None)
        archives = self._archive is not None and self._archive.due(partition)
        base = None if archives else keeper.base(task)
        little = base is not None and expected_bytes(task, base) <= AT_ONCE_BYTES
        # A child must ask nobody where it is.
        origin = self._here or self._origin()
        work = partial(self._write, task, base, keeper.seq is None, origin)
        try:
            child = write_here(work) if little else fork(work)
        except OSError as error:
            self._fail(partition, f"no process for it: {error}")
            return
        keeper.taken(task)
        keeper.forked_s_max = max(keeper.forked_s_max, child.forked_s)
        self._idle.clear()
        header = None if base is None else base.header
        storing = partial(self._store, partition, child, keeper.head, header, archives)
        beside(storing, partial(self._done, partition, keeper, child.forked_s))

    def _write(
        self, task: PartitionTask, base: Base | None, first: bool, origin: Origin, file: BinaryIO
    ) -> None:
        """Write it, in the child or at once."""
        write(task, file, base, self._key, time.time(), origin)
        if first:
            prove(file, self._key, self._allowed)

    def _store(
        self,
        partition: int,
        child: Child | Written,
        over: bytes | None,
        base: Header | None,
        archives: bool,
    ) -> WriteResult:
        """Wait for the child and store what it wrote, in a thread. Never raises."""
        cpu_s, began, soon = 0.0, time.thread_time(), False
        head: bytes | None = None
        whole: tuple[Header, Any] | None = None
        archived: tuple[bool, str | None] = (False, None)
        try:
            with child.file:
                cpu_s = child.wait()
                data = child.data()
            reader = Reader(data)
            head, header = reader.signed, opened(reader.signed, self._key)
            whole = header, data
            blobs = {name: reader.blob(header, name) for name in reader.places}
            self._put(partition, head, header, blobs, over=over, base=base)
            error = None
        except Outrun as outrun:
            head, error = self._outrun(outrun.head, over, header)
            header, soon = None, head is not over
        except Exception as failure:  # no failure of a snapshot may stop a worker
            head, header, error = over, None, f"{type(failure).__name__}: {failure}"
        if archives and whole is not None and self._archive is not None:
            archived = self._archive.tried(*whole)
        cpu_s += time.thread_time() - began
        return WriteResult(head, header, cpu_s, error, *archived, soon)

    def _put(
        self,
        partition: int,
        head: bytes,
        header: Header,
        blobs: Mapping[str, memoryview],
        *,
        over: bytes | None,
        base: Header | None,
    ) -> None:
        # A whole one goes over whatever is stored, unless that is ahead; a delta over its base.
        for _ in range(TRIES):
            try:
                return self._hash(partition).write(head, header, blobs, over=over, base=base)
            except Outrun as outrun:
                if base is not None or self._seq(outrun.head) > header.seq:
                    raise
                over = outrun.head
        raise Outrun(over)

    def _seq(self, head: bytes | None) -> int:
        try:
            header = None if head is None else opened(head, self._key)
        except UnusableSnapshot:
            return -1
        # Another environment's is never ahead.
        return header.seq if header is not None and header.origin == self._origin() else -1

    def _outrun(
        self, stored_head: bytes | None, over: bytes | None, own: Header
    ) -> tuple[bytes | None, str]:
        """Return (the head to go over next time, why it was not written)."""
        if stored_head is None:
            return None, "Redis has lost the snapshot; the next one is whole"
        seq = self._seq(stored_head)
        if seq > own.seq:
            return over, "another worker's snapshot is ahead"
        why = "another snapshot is stored than this was to build on; the next one is whole"
        return stored_head, why

    def _done(
        self, partition: int, keeper: SnapshotSchedule, forked_s: float, outcome: WriteResult
    ) -> None:
        self._idle.set()
        keeper.cost_s = forked_s + outcome.cpu_s
        keeper.paced(keeper.cost_s, sum(k.cost_s for k in self._keepers.values()))
        if self._archive is not None:
            keeper.tried(partition, outcome.archived, outcome.archive_error, self._archive)
        if outcome.header is not None and outcome.head is not None:
            if keeper.error:
                log.warning("%s: snapshots are written again", title_of(partition))
            keeper.written(outcome.head, outcome.header)
        else:
            keeper.head = outcome.head
            self._fail(partition, outcome.error or "unknown", soon=outcome.soon)
        for other in sorted(self._keepers, key=lambda n: self._keepers[n].due_s):
            self._look(other)

    def release(self, partition: int) -> None:
        """Stop writing snapshots of that partition: another worker has it."""
        if partition in self._keepers:
            self._keepers[partition].release()

    def _fail(self, partition: int, error: str, *, soon: bool = False) -> None:
        keeper = self._keepers[partition]
        if keeper.error != error:
            log.warning("%s: no snapshot: %s", title_of(partition), error)
        keeper.failed(error, 0.0 if soon else AGAIN_S)

    async def written(self) -> None:
        """Wait for the one under way."""
        await self._idle.wait()

    async def close(self) -> None:
        """Take the last snapshot of every task that is at its last commit; for a clean stop."""
        await self._idle.wait()
        for partition, keeper in list(self._keepers.items()):
            task = keeper.standing()
            if task is not None:
                self._take(partition, keeper, task)
                await self._idle.wait()

    def status(self, partition: int) -> Mapping[str, Any]:
        """Return the newest snapshot's age, size and cost, recovery's source, the last error."""
        return self._keepers[partition].status()
