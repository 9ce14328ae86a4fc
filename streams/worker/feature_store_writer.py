"""The feature store's writer: the newest feature vector of each entity, from the topic into Redis.

It reads what the partitions of this worker have committed on `features`, in a thread of its own: it
sees nothing before its commit, shares nothing with the partitions, and can hold none of them up.
Kafka is the buffer; while Redis is away, it waits and goes on from where it was.

A batch is written by one script: entries, each only over an older one (event time, then step), and
the place in the topic, compare-and-set. What that place covers is in the store. Where the place is
not what this writer left (another worker wrote, Redis was flushed), nothing is written and reading
goes on from the place that is there, or from the beginning if there is none.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from time import time
from typing import Any, NamedTuple

import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.feature_keys import entity_key, place_key
from schemas.unreadable_records import Unreadable
from streams.kafka.header_names import tolerate
from streams.kafka.record_decoder import content

log = logging.getLogger("riverrun.serving")

BATCH_MAX = 1_000
TICK_S = 0.25
PAUSE_S_MAX = 5.0
SAMPLE_EVERY = 100
"""One entry in this many is read again later, and compared with the committed record."""

WRITE = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return -1 end
local written = 0
for i = 2, #KEYS do
  local a = 4 + 3 * (i - 2)
  local old = redis.call('HMGET', KEYS[i], 't', 's')
  local t, s = tonumber(old[1] or -1e18), tonumber(old[2] or -1)
  local at, step = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  if t < at or (t == at and s < step) then
    redis.call('HSET', KEYS[i], 't', ARGV[a], 's', ARGV[a + 1], 'p', ARGV[1], 'v', ARGV[a + 2])
    written = written + 1
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return written
"""


class Vector(NamedTuple):
    """One features record on its way: event time in µs, step, and its bytes."""

    time_us: int
    step: int
    value: bytes


@dataclass(slots=True)
class Figures:
    """The writer's counts and seconds since its start."""

    written: int = 0
    outdated: int = 0
    batches: int = 0
    failures: int = 0
    rebuilds: int = 0
    checked: int = 0
    skewed: int = 0
    freshness_s: float = 0.0


class FeatureStoreWriter:
    """Serves the partitions that `assigned()` names. start → close, from any thread.

    `entity` is the feature whose value names the entity; None: the record's key.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        redis_url: str,
        *,
        topic: str,
        use_case: str,
        prefix: str = "",
        entity: str | None = None,
    ) -> None:
        self.figures = Figures()
        self.unreadable = Unreadable()
        self.assigned: Callable[[], Collection[int]] = tuple
        self._kafka = dict(client)
        self._redis: Any = redis.Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=2
        )
        self._write: Any = self._redis.register_script(WRITE)
        self._topic = topic
        self._key_of = partial(entity_key, use_case, prefix=prefix)
        self._place_key = place_key(use_case, prefix)
        self._entity = entity
        self._places: dict[int, int] = {}
        self._sample: dict[str, Vector] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="features", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """End after the batch in hand, or leave the thread to the process's end."""
        self._ending.set()
        self._thread.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """Return its figures. `freshness_s`: from commit to store, of the last batch."""
        return asdict(self.figures)

    # The thread.

    def _work(self) -> None:
        pause_s = TICK_S
        while not self._ending.is_set():
            try:
                asyncio.run(self._serve())
            except (KafkaError, RedisError, OSError) as error:
                self.figures.failures += 1
                log.warning("features are not served for now: %s", error)
            except Exception as error:  # a bug, told in the log and counted: it ends no thread
                self.figures.failures += 1
                log.exception("features are not served for now: %s", type(error).__name__)
            else:
                pause_s = TICK_S
                continue
            self._ending.wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _serve(self) -> None:
        """Serve one set of partitions, until there is another."""
        tolerate()
        consumer = AIOKafkaConsumer(
            **self._kafka,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            have: list[int] = []
            while not self._ending.is_set():
                want = sorted(self.assigned())
                if want != have:
                    consumer.assign([TopicPartition(self._topic, n) for n in want])
                    for number in want:
                        await self._go_to_place(consumer, number)
                    have = want
                await self._turn(consumer, have)
        finally:
            await consumer.stop()

    async def _turn(self, consumer: Any, have: list[int]) -> None:
        if not have:
            await asyncio.sleep(TICK_S)
            return
        batches = await consumer.getmany(timeout_ms=int(TICK_S * 1000), max_records=BATCH_MAX)
        for topic_partition, records in batches.items():
            if not self._take(topic_partition.partition, records):
                await self._go_to_place(consumer, topic_partition.partition)
        if not batches:
            await self._rest(consumer, have)

    async def _rest(self, consumer: Any, have: list[int]) -> None:
        """See whether the places are still there, and check the sample, with nothing to do."""
        stored = self._redis.hgetall(self._place_key)
        for number in have:
            if stored.get(b"%d" % number) != b"%d" % self._places[number]:
                await self._go_to_place(consumer, number)
        self._check_sample()

    async def _go_to_place(self, consumer: Any, number: int) -> None:
        """Read on from what the store says; from the beginning where it says nothing usable."""
        where = TopicPartition(self._topic, number)
        first = (await consumer.beginning_offsets([where]))[where]
        last = (await consumer.end_offsets([where]))[where]
        stored = self._redis.hget(self._place_key, str(number))
        at = first if stored is None else int(stored)
        if stored is None or not first <= at <= last:
            self.figures.rebuilds += at < last
            at = first
            self._redis.hset(self._place_key, str(number), at)
        self._places[number] = at
        consumer.seek(where, at)

    # One batch.

    def _take(self, number: int, records: list[Any]) -> bool:
        """Store what is newest of each entity; False if the place is not what it was."""
        newest: dict[str, Vector] = {}
        for record in records:
            try:
                name, vector = self._read(record)
            except ValueError as error:
                if not self.unreadable.count:
                    log.warning("features: a record could not be read: %s", error)
                self.unreadable.note(record, error)
                continue
            if name is None:
                continue
            if name not in newest or newest[name][:2] < vector[:2]:
                newest[name] = vector
        at, following = self._places[number], records[-1].offset + 1
        keys = [self._place_key, *map(self._key_of, newest)]
        places = [str(number), str(at), str(following)]
        written = self._write(keys, [*places, *(part for v in newest.values() for part in v)])
        if written < 0:
            return False
        self._places[number] = following
        figures = self.figures
        figures.batches += 1
        figures.written += written
        figures.outdated += len(newest) - written
        figures.freshness_s = max(0.0, time() - records[0].timestamp / 1000)
        if figures.batches % SAMPLE_EVERY == 1:
            self._sample.update(list(newest.items())[:SAMPLE_EVERY])
        return True

    def _read(self, record: Any) -> tuple[str | None, Vector]:
        """Return the entity and what is known of it; raise `ValueError` if it cannot be read."""
        body = content("features", record)
        moment = datetime.fromisoformat(body["event_time"])
        if self._entity is None and record.key is None:
            raise ValueError("it has no key")
        name = record.key.decode() if self._entity is None else self._named(body["features"])
        return name, Vector(int(moment.timestamp() * 1_000_000), body["step"], record.value)

    def _named(self, features: Mapping[str, Any]) -> str | None:
        assert self._entity is not None
        value = features.get(self._entity)
        return None if value is None else str(value)

    def _check_sample(self) -> None:
        """Compare what is stored with what was committed, where nothing newer came since."""
        sample, self._sample = self._sample, {}
        for name, vector in sample.items():
            step, value = self._redis.hmget(self._key_of(name), "s", "v")
            if step is not None and int(step) == vector.step:
                self.figures.checked += 1
                self.figures.skewed += value != vector.value
