"""Real workers on a real Kafka, and what they leave behind, for the tests of what flows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.replay.journal_fold import Entry, fold
from streams.replay.kafka_log import KafkaLog
from tests.support.ledger.ledger import Ledger
from tests.support.ledger.ledger_learner import Answering
from tests.support.servers.forked import Forked

INPUTS = ("events", "outcomes", "commands", "history")
OUTPUTS = ("features", "predictions", "examples", "drift", "metrics", "lifecycle", "journal")
KINDS = (*INPUTS, *OUTPUTS)
SHARED = ("models", "learning")


class Flow:
    """One run: its topics, its workers, and readers of what is committed."""

    def __init__(self, servers: str, partitions: int, *, shared: bool = False) -> None:
        self.client = {"bootstrap_servers": servers}
        self.partitions = partitions
        self.group = f"test-{uuid.uuid4().hex[:8]}"
        self.shared = SHARED if shared else ()
        self.topics = {kind: f"{self.group}.{kind}" for kind in (*KINDS, *self.shared)}
        self.workers: list[Forked] = []
        self.logs: list[Path] = []
        self.settings: dict[str, Any] = {}
        if shared:
            self.settings |= {"shared": partitions, "lead_s": 1e9}

    async def make_topics(self) -> None:
        """Create them; return once everybody is told of them."""
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        await admin.create_topics(
            [
                NewTopic(name, 1 if kind in self.shared else self.partitions, 1)
                for kind, name in self.topics.items()
            ]
        )
        while not set(self.topics.values()) <= set(await admin.list_topics()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await admin.close()

    # Workers.

    def start(self, **settings: Any) -> Forked:
        """Start one more worker."""
        fields = {**self.client, "group": self.group, "topics": self.topics}
        log = Path(tempfile.mkdtemp()) / "worker.log"
        arguments = json.dumps({**fields, **self.settings, **settings})
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        worker = Forked(
            [arguments], environment, module="tests.support.ledger.ledger_worker", err=log
        )
        self.workers.append(worker)
        self.logs.append(log)
        return worker

    async def wait_until_logged(self, text: str, within_s: float = 90.0) -> None:
        """Wait until the newest worker's log holds that text."""
        deadline = monotonic() + within_s
        while text not in self.logs[-1].read_text():
            assert monotonic() < deadline, self.log_text()
            await asyncio.sleep(0.02)

    async def members(self) -> int:
        """How many the group has, as its coordinator says."""
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([self.group])
            (group,) = answer.groups
            return len(group[5])
        finally:
            await admin.close()

    def kill_all(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()

    def log_text(self) -> str:
        """What the workers said; for a failing test's message."""
        return "\n".join(f"== {log}\n{log.read_text()[-6_000:]}" for log in self.logs)

    # What goes in.

    async def publish(
        self, ids: Sequence[int], *, every: int = 2, pause_s: float = 0.0, **producer: Any
    ) -> None:
        """An event for each id, an outcome for each `every`-th; ids are times, too."""
        async with AIOKafkaProducer(**self.client, linger_ms=5, **producer) as sink:
            for i in ids:
                await self.send(sink, i, outcome=bool(every) and i % every == 0)
                if pause_s:
                    await asyncio.sleep(pause_s)
            await sink.flush()

    async def send(self, sink: AIOKafkaProducer, i: int, *, outcome: bool) -> None:
        """One event and perhaps its outcome, half a second of event time later."""
        partition = i % self.partitions
        event = json.dumps({"t": i, "id": i}).encode()
        await sink.send(self.topics["events"], event, key=b"%d" % i, partition=partition)
        if outcome:
            late = json.dumps({"t": i + 0.5, "id": i}).encode()
            await sink.send(self.topics["outcomes"], late, key=b"%d" % i, partition=partition)

    # What comes out.

    async def committed(self, kind: str) -> dict[int, list[Any]]:
        """All records of a kind by partition, read committed, up to the last stable offset."""
        async with self._reader(kind) as (consumer, tps):
            ends = await consumer.end_offsets(tps)
            by_partition: dict[int, list[Any]] = {tp.partition: [] for tp in tps}
            for tp in tps:
                while await consumer.position(tp) < ends[tp]:
                    for records in (await consumer.getmany(tp, timeout_ms=200)).values():
                        by_partition[tp.partition] += records
            return by_partition

    async def wait_for(self, kind: str, count: int, within_s: float = 150.0) -> float:
        """Wait until so many records of a kind are committed; gives the seconds it took."""
        began, seen = monotonic(), 0
        async with self._reader(kind) as (consumer, _):
            while seen < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    seen += len(records)
                took = monotonic() - began
                assert took < within_s, f"{seen} of {count} {kind}\n{self.log_text()}"
                codes = [worker.poll() for worker in self.workers]
                assert any(code is None for code in codes), f"{codes}\n{self.log_text()}"
        return monotonic() - began

    async def silences_s(self, kind: str) -> list[float]:
        """Longest time between two records of a kind, a partition."""
        silences = []
        for records in (await self.committed(kind)).values():
            times = [record.timestamp for record in records]
            gaps = [b - a for a, b in pairwise(times)]
            silences.append(max(gaps, default=0) / 1_000)
        return silences

    @asynccontextmanager
    async def _reader(
        self, kind: str
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        consumer = AIOKafkaConsumer(
            **self.client, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        partitions = 1 if kind in self.shared else self.partitions
        tps = [TopicPartition(self.topics[kind], n) for n in range(partitions)]
        async with consumer:
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            yield consumer, tps

    # What must be true.

    async def verify(self, ids: Sequence[int], *, every: int = 2) -> list[Ledger]:
        """Every event answered once, every outcome used once, and all of it equal to a fold."""
        predictions = await self.committed("predictions")
        answered = sorted(int(r.key) for records in predictions.values() for r in records)
        assert answered == sorted(ids), _difference(answered, ids)
        examples = await self.committed("examples")
        used = sorted(int(r.key) for records in examples.values() for r in records)
        assert used == sorted(i for i in ids if every and i % every == 0)
        journal = await self.committed("journal")
        states = []
        for n, records in journal.items():
            entries = [Entry.decode(record.value) for record in records]
            assert [entry.seq for entry in entries] == list(range(len(entries)))
            state, outputs = await self.fold(n)
            values = [record.value for record in predictions[n]]
            assert values == [o.value for o in outputs if o.kind == "predictions"]
            assert [r.value for r in examples[n]] == [
                o.value for o in outputs if o.kind == "examples"
            ]
            states.append(state)
        return states

    async def fold(self, partition: int) -> tuple[Ledger, list[Any]]:
        """A fresh state folded from a partition's journal, with all that it published."""
        reader = KafkaLog(
            self.client,
            journal=self.topics["journal"],
            inputs=[
                *(self.topics[kind] for kind in INPUTS),
                *([TopicPartition(self.topics["models"], 0)] if self.shared else []),
            ],
            partition=partition,
        )
        await reader.start()
        state: Ledger = Answering() if self.shared else Ledger()
        outputs: list[Any] = []
        await fold(state, reader, on_outputs=outputs.extend)
        await reader.close()
        return state, outputs


def _difference(answered: Sequence[int], ids: Sequence[int]) -> str:
    lost = sorted(set(ids) - set(answered))
    doubled = sorted({i for i in answered if answered.count(i) > 1}) if not lost else []
    return f"{len(lost)} lost: {lost[:10]}, doubled: {doubled[:10]}, {len(answered)} in all"
