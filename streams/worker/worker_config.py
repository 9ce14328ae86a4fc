"""The configuration of a worker, and the wiring of its partitions that follows from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from models.inputs.decoder import MODELS
from models.training.learner_inputs import learner_inputs
from schemas.topics import INPUTS
from streams.config.naming import transactional_id
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.partition.pace import Pace
from streams.partition.wiring import FreshStore, RunnableTask, SnapshotStore, Wiring
from streams.replay.journal_fold import rolled
from streams.replay.kafka_log import KafkaLog
from streams.sources.relay_plan import RelayPlan
from streams.trainers.trainer_pool import TrainerPool
from streams.worker.feature_store_writer import FeatureStoreWriter
from streams.worker.shared_learning import Plan

Metrics = Callable[..., bytes]
"""Renders `/metrics` (streams/telemetry/prometheus.py)."""


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """One worker of one use case.

    Attributes:
        factory: Makes a partition's fresh task; of `LEARNER` the learner, where models are shared.
        client: aiokafka's connection and security arguments.
        topics: Kind to name; inputs among them only as far as they exist.
        group_id: The consumer group; it also names the transactions.
        store: Where snapshots are; None: nowhere, a start folds the whole journal.
        instance: The static member id; None: the lowest free one of this host.
        claimed: A member id that the caller holds.
        redis_url: Where the status is published; None: nowhere.
        health_port: None: no health server; 0: any port.
        metrics: Renders `/metrics`.
        on_stopped: Awaited at the end.
        serving: Fills the feature store.
        beside: Runs while this worker owns partition 0.
        lead_s: By how much event time a partition may run ahead of the others where one model
            learns from all; None: each learns by itself.
        trainers: Makes the processes that train shared models; None: the learner trains them.
        learner: The learner's inputs; None: commands and examples.
        flaw: Says why a version of a shared model cannot be used; None where it can.
        relay: Of the use case's sources.
        encoders: Kind → what makes of an output the one that is written.

    The other fields are those of `streams.partition.wiring.Wiring`.
    """

    factory: Callable[[int], RunnableTask]
    client: Mapping[str, Any]
    topics: Mapping[str, str]
    group_id: str
    store: SnapshotStore | None = None
    pace: Pace = field(default_factory=Pace)
    compression: str | None = None
    instance: str | None = None
    claimed: str | None = None
    redis_url: str | None = None
    health_host: str = "127.0.0.1"
    health_port: int | None = 0
    metrics: Metrics | None = None
    shorten: Callable[[Any, int], Any | None] = lambda output, limit_bytes: None
    roll: Callable[..., Awaitable[Any]] = rolled
    on_stopped: Callable[[], Awaitable[None]] | None = None
    serving: FeatureStoreWriter | None = None
    beside: Callable[[], Coroutine[Any, Any, Any]] | None = None
    skip_after: int = 0
    shown_name: str = "USECASE"
    partitions: int | None = None
    lead_s: float | None = None
    learner: Sequence[tuple[str, int]] | None = None
    trainers: Callable[[], TrainerPool] | None = None
    prepare: Callable[[Any, bool], None] = lambda task, live: None
    flaw: Callable[[Any], str | None] | None = None
    relay: RelayPlan | None = None
    unseen_s: float = float("inf")
    encoders: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def wiring(self) -> Wiring:
        """Return what each partition's runner is given."""
        inputs = tuple(self.topics.get(kind) for kind in INPUTS)
        read = inputs if self.lead_s is None else (*inputs, TP(self.topics["models"], 0))
        limits, flaw = Limits(), self.flaw
        return Wiring(
            inputs=inputs,
            store=self.store or FreshStore(self.factory),
            open_log=lambda n: KafkaLog(
                self.client, journal=self.topics["journal"], inputs=read, partition=n
            ),
            open_writer=lambda n: TransactionalWriter(
                self.client,
                transactional_id=transactional_id(self.group_id, n),
                partition=n,
                topics=self.topics,
                limits=limits,
                compression=self.compression,
                encoders=self.encoders,
            ),
            pace=self.pace,
            shorten=self.shorten,
            roll=self.roll,
            skip_after=self.skip_after,
            shown_name=self.shown_name,
            partitions=self.partitions,
            prepare=self.prepare,
            unseen_s=self.unseen_s,
            flaw=None if flaw is None else lambda i, record: flaw(record) if i == MODELS else None,
        )

    def plan(self, wiring: Wiring) -> Plan | None:
        """Return how models are shared; None where each partition learns by itself."""
        if self.lead_s is None:
            return None
        assert self.partitions is not None
        sources = self.learner or learner_inputs(self.partitions, features=False)
        return Plan.of(
            wiring,
            self.client,
            self.topics,
            self.group_id,
            self.partitions,
            self.lead_s,
            sources,
            self.trainers,
        )
