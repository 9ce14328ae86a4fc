"""Recorded events and outcomes onto the `history` topic: learnt before going live, not answered.

Each record carries the recording's hash and its own number in it. A record of one key goes to one
partition and a producer keeps its order there, so the last number on each partition says exactly
what was written: the same call again goes on there and doubles nothing, whenever it was killed.

The Kafka timestamp is the record's own time, so that the watermark believes a gap in old data;
never a later one than now, so that a record of a future time is a dead letter and moves nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from models.inputs.decoder import HISTORY, KIND_HEADER, RECORD_BYTES_MAX, in_words, validated
from models.inputs.json_bytes import encoded
from models.replay.backtest import identity
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Incompatible
from schemas.events import Event, Outcome
from schemas.partitioner import partition_of
from streams.config.settings import COMPRESSION, Settings
from streams.kafka.topic_reader import TopicReader
from streams.replay.kafka_log import newest_entries

RECORDING_HEADER, NUMBER_HEADER = "riverrun_recording", "riverrun_number"
BLOCK = 1_000
"""Records after which all that was sent is waited for."""
REASONS_MAX = 5
LIVE_TAIL = 200
"""Last records of a partition that are looked at for how far its time has come."""

Row = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class Backfilled:
    """What a backfill did. Times are of the records on the topic by now, this call's or not."""

    recording: str
    events: int = 0
    outcomes: int = 0
    already: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)
    first_time: datetime | None = None
    last_time: datetime | None = None

    @property
    def written(self) -> int:
        """Return the records that this call wrote."""
        return self.events + self.outcomes


class _Ready(NamedTuple):
    """One record as it is to be written."""

    number: int
    kind: str
    partition: int
    key: bytes
    value: bytes
    time: datetime
    event_id: str


class _Written(NamedTuple):
    """The last record that a partition of the history topic holds."""

    recording: str
    number: int
    value: bytes
    time: datetime


class Backfill:
    """One recording on its way to one use case's history topic.

    Memory: the key of each event whose outcome has not come.
    """

    def __init__(
        self,
        use_case: UseCase,
        settings: Settings,
        names: Mapping[str, str],
        partitions: int,
        on_progress: Callable[[int, datetime], None] = lambda count, time: None,
    ) -> None:
        self._use_case = use_case
        self._settings = settings
        self._names = names
        self._partitions = partitions
        self._on_progress = on_progress

    async def run(self, recording: Iterable[Row], *, append: bool = False) -> Backfilled:
        """Write what is not there yet. `recording` is read more than once, in its time order.

        Raises `Incompatible`, with nothing written, if the topic holds another recording (unless
        `append`) or if a partition has answered events later than what it would learn, and
        `ConfigError` if the records are not in the order of time.
        """
        self._check_order(recording)
        done = Backfilled(fingerprint(recording))
        written, live = await self._state()
        self._check_recording(done.recording, written, append)
        if live:
            self._check_time(recording, done.recording, written, live)
        producer = AIOKafkaProducer(
            **self._settings.kafka_client(),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=262_144,
            compression_type=COMPRESSION,
        )
        await producer.start()
        try:
            await self._write(producer, recording, written, done)
        finally:
            await producer.stop()
        return done

    async def _write(
        self, producer: Any, recording: Iterable[Row], written: Mapping[int, _Written], done: Any
    ) -> None:
        sent: list[Any] = []
        for ready in self._ready(recording, done):
            done.first_time = done.first_time or ready.time
            done.last_time = ready.time
            if _is_written(ready, done.recording, written):
                done.already += 1
                continue
            if ready.kind == "event":
                done.events += 1
            else:
                done.outcomes += 1
            sent.append(await self._send(producer, ready, done.recording))
            if len(sent) >= BLOCK:
                await asyncio.gather(*sent)
                sent.clear()
                self._on_progress(done.written, ready.time)
        await asyncio.gather(*sent)

    async def _send(self, producer: Any, ready: _Ready, recording: str) -> Any:
        return await producer.send(
            self._names["history"],
            ready.value,
            key=ready.key,
            partition=ready.partition,
            timestamp_ms=int(min(ready.time, datetime.now(UTC)).timestamp() * 1000),
            headers=[
                (KIND_HEADER, ready.kind.encode()),
                (RECORDING_HEADER, recording.encode()),
                (NUMBER_HEADER, str(ready.number).encode()),
            ],
        )

    # What can be written.

    def _check_order(self, recording: Iterable[Row]) -> None:
        """Raise `ConfigError` if a record comes after a later one, or if none can be used."""
        last: tuple[datetime, str] | None = None
        answered: str | None = None
        usable, reason = 0, ""
        keys: dict[str, bytes] = {}
        for number, (kind, fields) in enumerate(recording):
            ready = self._read(number, kind, fields, keys)
            if isinstance(ready, str):
                reason = reason or f"record {number + 1}: {ready}"
                continue
            usable += 1
            # An outcome that came before its event follows right after it.
            early = kind == "outcome" and ready.event_id == answered
            if last is not None and ready.time < last[0] and not early:
                raise ConfigError(
                    f"record {number + 1}, {kind} {ready.event_id!r} of {ready.time}, comes after "
                    f"{last[1]!r} of {last[0]}. Nothing was written.",
                    hint="Give the records in the order of event_time and outcome_time.",
                )
            if not early:
                last = ready.time, ready.event_id
            answered = ready.event_id if kind == "event" else answered
        if not usable:
            raise ConfigError(f"No record of it can be used. Nothing was written. {reason}")

    def _ready(self, recording: Iterable[Row], done: Backfilled | None = None) -> Iterator[_Ready]:
        keys: dict[str, bytes] = {}
        for number, (kind, fields) in enumerate(recording):
            ready = self._read(number, kind, fields, keys)
            if isinstance(ready, str):
                if done is not None:
                    done.skipped += 1
                    if len(done.reasons) < REASONS_MAX:
                        done.reasons.append(f"record {number + 1}: {ready}")
                continue
            yield ready

    def _read(
        self, number: int, kind: str, fields: Mapping[str, Any], keys: dict[str, bytes]
    ) -> _Ready | str:
        """Return the record, or why it cannot be used."""
        use_case = self._use_case
        model: type[Event | Outcome] = use_case.event if kind == "event" else use_case.outcome
        try:
            value = encoded(fields)
            body: Event | Outcome = validated(model, value)
        except ValidationError as error:
            return in_words(error, model)
        except TypeError as error:
            return f"it cannot be written as JSON: {error}"
        if len(value) > RECORD_BYTES_MAX:
            return f"it has {len(value)} bytes; at most {RECORD_BYTES_MAX} are read"
        event_id, key = identity(use_case, kind, fields, value)
        time = body.event_time if isinstance(body, Event) else body.outcome_time
        if isinstance(body, Event):
            assert key is not None
            keys[event_id] = key
        else:
            key = keys.pop(event_id, key)
        if key is None:
            return f"the outcome of {event_id!r} has no event before it"
        partition = partition_of(key, self._partitions)
        return _Ready(number, kind, partition, key, value, time, event_id)

    # What is there.

    async def _state(self) -> tuple[dict[int, _Written], dict[int, datetime]]:
        """Return the last history record of each partition, and the time up to which it is live."""
        names = self._names
        written: dict[int, _Written] = {}
        live: dict[int, datetime] = {}
        async with TopicReader(
            [names[k] for k in ("history", "features", "examples")], self._settings
        ) as reader:
            for topic_partition in reader.of(names["history"]):
                for record in await reader.last(topic_partition):
                    written[topic_partition.partition] = _written(record)
            for topic_partition in reader.of(names["features"]):
                for record in await reader.last(topic_partition, LIVE_TAIL):
                    if (vector := reader.row("features", record)) is not None:
                        _later(live, topic_partition.partition, vector["event_time"])
            for topic_partition in reader.of(names["examples"]):
                for record in await reader.last(topic_partition, LIVE_TAIL):
                    example = reader.row("examples", record)
                    if example is None or example["source"] == "history":
                        continue
                    if example["outcome_time"] is not None:
                        _later(live, topic_partition.partition, example["outcome_time"])
        return written, live

    def _check_recording(
        self, recording: str, written: Mapping[int, _Written], append: bool
    ) -> None:
        others = [last for last in written.values() if last.recording != recording]
        if others and not append:
            raise Incompatible(
                f"{self._names['history']} holds another recording already, up to "
                f"{max(last.time for last in others)}. If this one comes after it, say --append; "
                "else start over under another --prefix."
            )

    def _check_time(
        self,
        recording: Iterable[Row],
        fingerprint: str,
        written: Mapping[int, _Written],
        live: Mapping[int, datetime],
    ) -> None:
        for ready in self._ready(recording):
            reached = live.get(ready.partition)
            if reached is None or _is_written(ready, fingerprint, written):
                continue
            if ready.time < reached:
                raise Incompatible(
                    f"{self._use_case.name} is live: partition {ready.partition} has come to "
                    f"{reached}, and this recording would have it learn {ready.time} after that. "
                    "Its windows and models cannot go back in time: such records would be dead "
                    "letters. Backfill before the first event is published, or start over under "
                    "another --prefix."
                )
            if reached <= ready.time:
                live = {p: t for p, t in live.items() if p != ready.partition}
                if not live:
                    return


def fingerprint(recording: Iterable[Row]) -> str:
    """Return the name of a recording: the hash of its first record, 12 hex digits."""
    first = next(iter(recording), None)
    if first is None:
        raise ConfigError("There are no records in it.", hint="Name another FILE or TOPIC.")
    return hashlib.sha256(orjson.dumps(first)).hexdigest()[:12]


def _is_written(ready: _Ready, recording: str, written: Mapping[int, _Written]) -> bool:
    last = written.get(ready.partition)
    if last is None:
        return False
    if last.recording != recording:
        if ready.time < last.time:
            raise Incompatible(
                f"partition {ready.partition} of the history has come to {last.time}, and this "
                f"recording goes back to {ready.time}. Backfill in the order of time."
            )
        return False
    if ready.number == last.number and ready.value != last.value:
        raise Incompatible(
            f"the recording has changed since a part of it was written: its record "
            f"{ready.number + 1} is another. Start over under another --prefix."
        )
    return ready.number <= last.number


def _written(record: Any) -> _Written:
    headers = dict(record.headers)
    number = headers.get(NUMBER_HEADER, b"")
    return _Written(
        headers.get(RECORDING_HEADER, b"").decode(errors="replace"),
        int(number) if len(number) < 20 and number.isdigit() else -1,
        record.value,
        datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def _later(times: dict[int, datetime], partition: int, text: str) -> None:
    time = datetime.fromisoformat(text)
    times[partition] = max(time, times.get(partition, time))


async def applied(settings: Settings, names: Mapping[str, str], partitions: int) -> tuple[int, int]:
    """Return how many history records the journal lists as applied, and how many there are."""
    done = total = 0
    async with TopicReader([names["history"]], settings) as reader:
        bounds = await reader.bounds()
    newest = await newest_entries(settings.kafka_client(), names, range(partitions))
    for number, last in newest.items():
        start, end = next(
            b for topic_partition, b in bounds.items() if topic_partition.partition == number
        )
        total += end - start
        done += 0 if last is None else max(0, min(last.next[HISTORY], end) - start)
    return done, total
