"""Copies changes of reference tables onto a topic of the use case, each exactly once.

A compacted topic deletes what has been overtaken, so nothing could be derived again from it. What a
partition reads is therefore a copy, kept for ever, on `table-rows`.

1. Take the transactional id: a relay elsewhere is fenced from here on.
2. Seek each table's partitions to what its group has committed, or to the beginning.
3. Write the copies, dead letters and positions of what was fetched in one transaction; again.

It runs in the worker that owns partition 0. A table whose topic there is not yet is looked for
again; the use case answers without its rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from models.features.reference_tables import ROW_BYTES_MAX, Table
from models.outputs.output_records import Output, Publisher
from models.spec.problem_types import KINDS
from models.spec.use_case import UseCase
from schemas.errors import Malformed, Unavailable
from schemas.headers import stamp
from schemas.topics import LEARNER
from streams.config.settings import Settings
from streams.kafka.header_names import tolerate

log = logging.getLogger("riverrun.tables")

AGAIN_S = 5.0
BATCH_BYTES_MAX = 65_536
"""Bytes of rows in one record at most, so that what is made of it fits one, too."""
FETCHED_MAX = 500


class TableRelay:
    """The relay of one table. `run` until it is cancelled; what fails is tried again."""

    def __init__(
        self,
        use_case: UseCase,
        table: Table,
        settings: Settings,
        names: Mapping[str, str],
        group: str,
    ) -> None:
        self._table = table
        self._settings = settings
        self._names = names
        self._group = f"{group}-table-{table.identity}"
        self._headers = stamp("table-rows", use_case.name, LEARNER)
        self._publish = Publisher(
            use_case.name, LEARNER, KINDS[use_case.kind], (), inputs=("table-rows",)
        )

    async def run(self) -> NoReturn:
        """Copy, for ever."""
        while True:
            try:
                await self._relay()
            except (KafkaError, Unavailable, OSError) as error:
                log.warning("table %s: %s; once more in %g s", self._table.name, error, AGAIN_S)
            await asyncio.sleep(AGAIN_S)

    async def _relay(self) -> None:
        tolerate()
        client = self._settings.kafka_client()
        producer = AIOKafkaProducer(**client, transactional_id=self._group, acks="all")
        consumer = AIOKafkaConsumer(
            **client,
            group_id=self._group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await producer.start()
            await consumer.start()
            metadata = await consumer._client.fetch_all_metadata()  # there is no public way
            numbers = metadata.partitions_for_topic(self._table.topic)
            if not numbers:
                raise Unavailable(f"there is no topic {self._table.topic}")
            consumer.assign([TopicPartition(self._table.topic, n) for n in sorted(numbers)])
            while True:
                fetched = await consumer.getmany(timeout_ms=500, max_records=FETCHED_MAX)
                records = [record for batch in fetched.values() for record in batch]
                if records:
                    ends = {tp: batch[-1].offset + 1 for tp, batch in fetched.items() if batch}
                    await self._write(producer, self.outputs(records), ends)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _write(
        self, producer: AIOKafkaProducer, outputs: list[Output], ends: Mapping[Any, int]
    ) -> None:
        async with producer.transaction():
            sent = [
                await producer.send(
                    self._names[output.kind],
                    output.value,
                    key=output.key,
                    partition=0,
                    headers=list(output.headers),
                )
                for output in outputs
            ]
            await asyncio.gather(*sent)  # a transaction would be committed without what failed
            await producer.send_offsets_to_transaction(dict(ends), self._group)

    def outputs(self, records: list[Any]) -> list[Output]:
        """Return the copies of these records, and dead letters of those that are no rows."""
        outputs: list[Output] = []
        rows: list[Any] = []
        size = 0
        for record in records:
            try:
                row = self.row(record)
            except Malformed as error:
                outputs.append(self._publish.dead_letter(record, 0, error, 0))
                continue
            if rows and size + len(record.value or b"") > BATCH_BYTES_MAX:
                outputs.append(self._copy(rows, record))
                rows, size = [], 0
            rows.append(row)
            size += len(record.value or b"") + len(row[1])
        if rows:
            outputs.append(self._copy(rows, records[-1]))
        return outputs

    def _copy(self, rows: list[Any], before: Any) -> Output:
        record_id = f"{self._table.identity}-{before.partition}-{before.offset}"
        value = orjson.dumps({"rows": rows})
        return Output("table-rows", None, value, (*self._headers, ("ce_id", record_id.encode())))

    def row(self, record: Any) -> tuple[str, str, float, dict[str, Any] | None]:
        """Return (table, key, time, row) of a record; raises `Malformed` if it is no row."""
        table, stamped = self._table, record.timestamp / 1000.0
        if record.value is None:
            if record.key is None:
                raise Malformed("a row without a value says that it is gone; it needs a Kafka key.")
            return table.identity, record.key.decode("utf-8", "replace"), stamped, None
        if len(record.value) > ROW_BYTES_MAX:
            raise Malformed(f"the row has {len(record.value)} bytes; at most {ROW_BYTES_MAX:,}")
        try:
            row = orjson.loads(record.value)
            if not isinstance(row, dict):
                raise ValueError(f"it is a {type(row).__name__}")
            time = table.time_of(row)
        except ValueError as error:
            raise Malformed(f"the value is no row as JSON object: {error}.") from None
        key = row.get(table.key)
        if key is None or isinstance(key, dict | list):
            raise Malformed(f"the row has no {table.key!r}, which is the key of {table.name!r}.")
        return table.identity, str(key), stamped if time is None else time, row
