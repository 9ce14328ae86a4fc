"""The interfaces and connections of a partition's runner, so that a simulation can replace them.

Kafka's side of each is named in its docstring; tests/support/memory.py has all of them in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from faust.types import TP

from models.inputs.merge_order import ALIGNED, choose
from models.inputs.skipped_records import Skip
from schemas.headers import Headers
from schemas.topics import INPUTS
from streams.config.naming import title_of
from streams.kafka.input_partitions import Input
from streams.kafka.transactional_writer import Limits
from streams.partition.intake import Ends
from streams.partition.pace import Pace
from streams.partition.watermark_alignment import Pacing
from streams.replay.journal_fold import Log, Task, rolled


class RunnableTask(Task, Protocol):
    """The pure state machine (models/task/partition_task.py)."""

    sealed: str

    def report(self) -> Sequence[Any]: ...  # noqa: D102 - models/task/partition_task.py says it
    def rule_may_skip(self) -> bool: ...  # noqa: D102
    def halted(self, index: int, record: Any, failure: Skip) -> Sequence[Any]: ...  # noqa: D102


class InputSource(Ends, Protocol):
    """The group's member (faust_transport.Consumer), as a runner sees it."""

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None: ...  # noqa: D102
    async def open(self, partitions: Collection[TP]) -> None: ...  # noqa: D102
    def shut(self, partitions: Collection[TP]) -> None: ...  # noqa: D102
    def fetch_position(self, tp: TP) -> int | None: ...  # noqa: D102
    async def still_member(self, generation: int) -> bool: ...  # noqa: D102


class TransactionWriter(Protocol):
    """One partition's transactions (transactional_writer.TransactionalWriter)."""

    limits: Limits

    async def start(self) -> None: ...  # noqa: D102 - TransactionalWriter says it
    async def commit(  # noqa: D102
        self, outputs: Sequence[Any], entry: bytes | None, headers: Headers = ()
    ) -> None: ...
    async def close(self) -> None: ...  # noqa: D102


class PartitionLog(Log, Protocol):
    """A log with its connections and bounds (kafka_log.KafkaLog)."""

    async def start(self) -> None: ...  # noqa: D102 - KafkaLog says it
    async def close(self) -> None: ...  # noqa: D102
    async def beginnings(self) -> list[int]: ...  # noqa: D102
    async def ends(self) -> list[int]: ...  # noqa: D102
    async def at(self, input: int, offset: int) -> Any | None: ...  # noqa: D102
    async def unread(self, input: int, first: int) -> Sequence[Any]: ...  # noqa: D102


class SnapshotStore(Protocol):
    """Where states are kept; a cache of the log."""

    async def load(self, partition: int, at_hand: Any = None) -> RunnableTask:
        """Return the newest usable state of a partition; a fresh task if there is none; `at_hand`
        itself unless what is stored is so far ahead of it that loading it takes less than the fold.
        """

    async def fresh(self, partition: int, because: str) -> RunnableTask:
        """Return a task at the beginning: what was loaded does not fit the log, and why."""

    def release(self, partition: int) -> None:
        """Release that partition: another worker has it."""

    def offer(self, partition: int, task: RunnableTask) -> None:
        """Take each commit, and each entry of a fold. Returns within milliseconds."""

    def status(self, partition: int) -> Mapping[str, Any]:
        """Return what operators should know: age and size of the newest snapshot; plain values."""


class FreshStore:
    """Keeps nothing: every start folds the whole log."""

    def __init__(self, factory: Callable[[int], RunnableTask]) -> None:
        self.factory = factory

    async def load(self, partition: int, at_hand: RunnableTask | None = None) -> RunnableTask:
        """Return what is at hand, or a fresh task."""
        return at_hand or self.factory(partition)

    async def fresh(self, partition: int, because: str) -> RunnableTask:
        """Return a fresh task."""
        return self.factory(partition)

    def offer(self, partition: int, task: RunnableTask) -> None:
        """Do nothing."""

    def release(self, partition: int) -> None:
        """Do nothing."""

    def status(self, partition: int) -> Mapping[str, Any]:
        """Do nothing."""
        return {}


async def _settled(task: Any) -> None:
    """Wait for nobody: the task does all by itself."""


@dataclass(frozen=True)
class Wiring:
    """What all partitions of one use case in one worker share."""

    inputs: tuple[Input, ...]  # in the journal's numbering
    store: SnapshotStore
    open_log: Callable[[int], PartitionLog]
    open_writer: Callable[[int], TransactionWriter]
    choose: Callable[[list[float | None]], int | None] = choose  # where a task has no rule
    aligned: Collection[int] = ALIGNED  # inputs that are waited for while they are empty
    pace: Pace = field(default_factory=Pace)
    # Failures after which a record is set aside (0: never), and what the use case is called in
    # commands that people are told.
    skip_after: int = 0
    partitions: int | None = None  # of each topic; None: not known
    kinds: tuple[str, ...] = INPUTS  # of the inputs, as people are told
    obeys_skips: bool = True  # commands name records of these inputs
    # Of a task that waits for others: the learner, and partitions that learn from each other.
    pacing: Callable[[int], Pacing] | None = None
    # Why a record of an input cannot be applied, as only this process can tell: it is set aside.
    flaw: Callable[[int, Any], str | None] | None = None
    # By how much event time a record may lead an input that was not fetched since it came.
    unseen_s: float = float("inf")
    settled_s: float = 0.0  # and for how long it is waited for besides, since it came
    # Told with a task before it is folded (False) and before it goes live (True).
    prepare: Callable[[Any, bool], None] = lambda task, live: None
    # Awaited before each commit: what other processes do for the task; raises `StateLost`. And
    # whether they have so much to do that the batch is to end.
    settle: Callable[[Any], Awaitable[None]] = _settled
    is_busy: Callable[[], bool] = lambda: False
    shown_name: str = "USECASE"
    title: Callable[[int], str] = title_of  # of a task, as people are told
    # A record that no broker takes is left out, or what this makes of it takes its place.
    # From a state and its log to the state at the log's end; through changes of definition, too.
    # What it is told with the task after each entry, it may be broken off at.
    roll: Callable[[Any, PartitionLog, Callable[[Any], None]], Awaitable[Any]] = rolled
    shorten: Callable[[Any, int], Any | None] = lambda output, limit_bytes: None
