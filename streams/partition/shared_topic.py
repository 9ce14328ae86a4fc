"""One topic partition that every partition of a worker reads: fetched once, given to each.

Each reader has a position of its own, which its task's journal sets. The consumer stands at the
smallest that was asked for since; what lies below a reader's own position is not given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from faust.types import TP

from streams.kafka.faust_transport import Batch


class Fetching(Protocol):
    """What fetches the topic (direct_consumer.DirectConsumer)."""

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None: ...  # noqa: D102
    def stable(self, tp: TP) -> int | None: ...  # noqa: D102
    def fetch_position(self, tp: TP) -> int | None: ...  # noqa: D102


class SharedTopic:
    """The topic, and who reads it. Memory: none but what readers keep; they share the records."""

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.consumer: Fetching | None = None
        # In the order in which they came: a set's would make each run of a simulation another.
        self.readers: dict[SharedReader, None] = {}

    def reader(self, accept: Callable[[Batch], None]) -> SharedReader:
        """Return one more reader; `close` it when its partition is not this worker's any more."""
        reader = SharedReader(self, accept)
        self.readers[reader] = None
        return reader

    def route(self, batch: Batch) -> None:
        """Give a fetched batch to every reader that has not had it."""
        for reader in self.readers:
            reader.give(batch)

    async def rewind(self, offset: int) -> None:
        """Fetch from `offset` on, unless that lies ahead anyhow."""
        assert self.consumer is not None
        position = self.consumer.fetch_position(self.tp)
        if position is None or offset < position:
            await self.consumer.seek_and_open({self.tp: offset})


class SharedReader:
    """One partition's view of the topic (wiring.InputSource, as far as it is about one input)."""

    def __init__(self, topic: SharedTopic, accept: Callable[[Batch], None]) -> None:
        self.position: int | None = None
        self._topic = topic
        self._accept = accept
        self._opened = False

    def close(self) -> None:
        """Read no more."""
        self._topic.readers.pop(self, None)

    def give(self, batch: Batch) -> None:
        """Accept a batch that continues the previous one."""
        if self._opened and self.position is not None and batch.start <= self.position < batch.end:
            self.position = batch.end
            self._accept(batch)

    async def seek_and_open(self, offset: int) -> None:
        """Set the position and let the records come."""
        self.position, self._opened = offset, True
        await self._topic.rewind(offset)

    async def open(self) -> None:
        """Let the records come from where they stopped."""
        assert self.position is not None
        await self.seek_and_open(self.position)

    def shut(self) -> None:
        """Keep the records back."""
        self._opened = False

    def stable(self) -> int | None:
        """Return the last stable offset as of the newest fetch."""
        assert self._topic.consumer is not None
        return self._topic.consumer.stable(self._topic.tp)


class SharedInputs:
    """The inputs of one partition's task: those of the group, and a shared topic
    (wiring.InputSource).
    """

    def __init__(self, group: GroupMember, shared: SharedReader, tp: TP) -> None:
        self._group = group
        self._shared = shared
        self._tp = tp

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """Set positions and let the records come."""
        own = {tp: offset for tp, offset in positions.items() if tp != self._tp}
        if own:
            await self._group.seek_and_open(own)
        if self._tp in positions:
            await self._shared.seek_and_open(positions[self._tp])

    async def open(self, partitions: Collection[TP]) -> None:
        """Let the records of these come."""
        own = [tp for tp in partitions if tp != self._tp]
        if own:
            await self._group.open(own)
        if self._tp in partitions:
            await self._shared.open()

    def shut(self, partitions: Collection[TP]) -> None:
        """Keep the records of these back."""
        self._group.shut([tp for tp in partitions if tp != self._tp])
        if self._tp in partitions:
            self._shared.shut()

    def stable(self, tp: TP) -> int | None:
        """Return the last stable offset as of the newest fetch; None before the first."""
        return self._shared.stable() if tp == self._tp else self._group.stable(tp)

    def answered(self, tp: TP) -> tuple[int, int] | None:
        """Return when the newest answer to a fetch came, and the offset that is written next."""
        return self._group.answered(tp)

    def fetch_position(self, tp: TP) -> int | None:
        """Return the offset that the next batch will start at; None while there is none."""
        return self._shared.position if tp == self._tp else self._group.fetch_position(tp)

    async def still_member(self, generation: int) -> bool:
        """Return whether the group's coordinator confirmed this member in that generation."""
        return await self._group.still_member(generation)


class GroupMember(Fetching, Protocol):
    """The group's member (faust_transport.Consumer)."""

    async def open(self, partitions: Collection[TP]) -> None: ...  # noqa: D102
    def shut(self, partitions: Collection[TP]) -> None: ...  # noqa: D102
    def answered(self, tp: TP) -> tuple[int, int] | None: ...  # noqa: D102
    async def still_member(self, generation: int) -> bool: ...  # noqa: D102
