"""Decodes a Kafka record into a typed one, or into the reason why it cannot be. Pure: bytes in, no
state.

Nothing raises here: an unreadable record must still take its place in the journal, so it becomes a
`DecodedRecord` that carries its error and is turned into a dead letter when it is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol
from unicodedata import normalize

import orjson
from pydantic import BaseModel, ValidationError

from models.formats.first_bytes import described
from models.inputs.strict_json import json_reader
from models.spec.use_case import UseCase
from models.values.durations import about, spoken
from schemas.commands import Command
from schemas.errors import AUTHORS_FAULTS, Ahead, Malformed, Rejected
from schemas.partitioner import partition_of
from schemas.personal_data import MASK, personal_paths
from schemas.topics import SHARED_INPUTS

EVENTS, OUTCOMES, COMMANDS, HISTORY, MODELS = range(len(SHARED_INPUTS))
EXAMPLES = -1
"""The kind of a record of the learner's inputs that is not a command: an example of a partition."""
ENTRIES = -2
"""The kind of a learner's input: what a partition adds to shared windows."""
ROWS = -3
"""The kind of a learner's input: changed rows of reference tables."""
AT_ONCE = float("-inf")
RECORD_BYTES_MAX = 262_144
"""Bound on an input record, so that the records made of it fit any broker's limit of 1 MiB."""
KEY_BYTES_MAX = 1_024
UPDATES_SHARED, UPDATE_SHARED_BYTES = 256, 32_768
"""The number of records of `models`, and their size in bytes, up to which a process decodes each
once for all its partitions."""
CLOCKS_APART_S = 1.0
"""The largest difference by which an event's clock may be ahead of the one that set its Kafka
timestamp.
"""
KIND_HEADER = "riverrun_kind"
"""The header that says, on the history topic, whether a record is an `event` or an `outcome`."""


class Record(Protocol):
    """The attributes of an aiokafka ConsumerRecord that are used."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> Iterable[tuple[str, bytes]]:
        """Name and value, in their order."""


@dataclass(slots=True)
class PlainRecord:
    """A record that is not (or no longer) on Kafka, with the attributes of one that is."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, record: Record) -> PlainRecord:
        """Return the same record as plain data."""
        return cls(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )


class DecodedRecord:
    """A record that was read: its time (seconds UTC, -inf: at once) and its body or its error.

    `due` is the time at which its turn comes among the inputs (`models.inputs.merge_order`): its
    own, but no later than `CLOCKS_APART_S` after its Kafka timestamp, so that an event of a future
    time does not hold up those behind it while the outcomes of all of them are taken.

    `kind` is EVENTS, OUTCOMES or COMMANDS, by the body and not by the input that it came from: an
    `isinstance` of pydantic's classes would cost half a microsecond each time.
    """

    __slots__ = ("body", "due", "error", "input", "kind", "record", "silent", "time")

    def __init__(
        self,
        index: int,
        record: Record,
        kind: int | None = None,
        body: Any = None,
        time: float = AT_ONCE,
        due: float = AT_ONCE,
        *,
        silent: bool = False,
        error: Rejected | None = None,
    ) -> None:
        self.input = index
        self.record = record
        self.kind = kind
        self.body = body
        self.time = time
        self.due = due
        self.silent = silent
        self.error = error


class Decoder:
    """Reads the four inputs of one use case on one partition."""

    def __init__(self, use_case: UseCase, partitions: int) -> None:
        self._use_case = use_case
        self._partitions = partitions
        self._max_jump = use_case.max_jump_s
        self._personal_key = (use_case.key,) in personal_paths(use_case.event)

    def read(self, index: int, record: Record) -> DecodedRecord:
        """Return the record as an event, outcome or command; a tombstone has neither body nor
        error.
        """
        value = record.value
        if value is None:
            return DecodedRecord(index, record)
        try:
            return self._taken(index, record, value)
        except Rejected as error:
            return DecodedRecord(index, record, error=error)

    def _taken(self, index: int, record: Record, value: bytes) -> DecodedRecord:
        if len(value) > RECORD_BYTES_MAX:
            raise Malformed(
                f"the record has {len(value)} bytes; at most {RECORD_BYTES_MAX} are read. "
                "Send what the models need and keep the rest elsewhere."
            )
        if index == COMMANDS:
            return DecodedRecord(index, record, COMMANDS, parsed_command(value))
        if index == MODELS:
            parsed = _parsed_once if len(value) <= UPDATE_SHARED_BYTES else parsed_update
            update, time = parsed(value)
            return DecodedRecord(index, record, MODELS, update, time, time)
        silent = index == HISTORY
        kind = self._historic(record) if silent else index
        use_case = self._use_case
        if kind == EVENTS:
            event = _parsed(use_case.event, value)
            self._check_key(record, str(getattr(event, use_case.key)).encode())
            time = event.event_time.timestamp()
            due = self._due(record, time, "event_time")
            return DecodedRecord(index, record, kind, event, time, due, silent=silent)
        outcome = _parsed(use_case.outcome, value)
        self._check_key(record, record.key)
        time = outcome.outcome_time.timestamp()
        due = self._due(record, time, "outcome_time")
        return DecodedRecord(index, record, kind, outcome, time, due, silent=silent)

    def _due(self, record: Record, time: float, field: str) -> float:
        """Return the time at which its turn comes; raise `Ahead` if Kafka had it long before its
        own time.
        """
        stamped = record.timestamp / 1000.0
        if time <= stamped + CLOCKS_APART_S:
            return time
        if time > stamped + self._max_jump:
            raise Ahead(ahead(record.timestamp, time, field, self._max_jump))
        return stamped + CLOCKS_APART_S

    @staticmethod
    def _historic(record: Record) -> int:
        kind = next((v for name, v in record.headers if name == KIND_HEADER), b"")
        if kind not in (b"event", b"outcome"):
            raise Malformed(
                f"a history record needs the header {KIND_HEADER}: event or outcome; "
                "use `riverrun backfill` to write them."
            )
        return EVENTS if kind == b"event" else OUTCOMES

    def _check_key(self, record: Record, due: bytes | None) -> None:
        key = record.key
        if key is None:
            raise Malformed(f"the record has no Kafka key; send {self._use_case.key!r} as its key.")
        if len(key) > KEY_BYTES_MAX:
            raise Malformed(f"the Kafka key has {len(key)} bytes; at most {KEY_BYTES_MAX} are read")
        if key != due:
            raise Malformed(
                f"the Kafka key is {self._shown(key)} but the field {self._use_case.key!r} is "
                f"{self._shown(due)}; they must be equal{self._apart(key, due)}."
            )
        placed = partition_of(key, self._partitions)
        if placed != record.partition:
            raise Malformed(
                f"key {self._shown(key)} came on partition {record.partition}, but Kafka's default "
                f"partitioner puts it on {placed} of {self._partitions}. In librdkafka clients "
                "set partitioner=murmur2_random."
            )

    def _apart(self, key: bytes, due: bytes | None) -> str:
        """Return the bytes of two keys that look alike, such as é in one letter and in two."""
        texts = [normalize("NFKC", each.decode("utf-8", "replace")) for each in (key, due or b"")]
        if texts[0] != texts[1] or self._personal_key:
            return ""
        return f", byte by byte: {key[:100]!r} is not {(due or b'')[:100]!r}"

    def _shown(self, key: bytes | None) -> str:
        if key is None or self._personal_key:
            return "none" if key is None else MASK
        return repr(key[:100].decode("utf-8", "replace"))


def ahead(timestamp_ms: int, time: float, field: str, max_jump: float) -> str:
    """Return why a time is not believed, and what to do."""
    if timestamp_ms < 0:
        return (
            "the record has no Kafka timestamp, so its time cannot be believed. Send it with one."
        )
    stamped = timestamp_ms / 1000.0
    return (
        f"its {field} is {_moment(time)}, {about(time - stamped)} later than its Kafka timestamp, "
        f"{_moment(stamped)}; at most {spoken(max_jump)} (max_jump) are believed. Correct the "
        "producer's clock, or the timestamp that it sets, and send the record again; if such "
        "times are right, raise max_jump."
    )


def _moment(time: float) -> str:
    """Return a time as text; Kafka timestamps may lie outside the years that Python knows."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{time:.0f} s"


def parsed_update(value: bytes) -> tuple[dict[str, Any], float]:
    """Return a record of `models` and the time at which it is due; raise `Malformed` if it is not
    one.

    Only the fields that decide its order are read, since one is published every few examples.
    """
    try:
        update = orjson.loads(value)
        number, step, clock = update["number"], update["step"], update["clock_s"]
        whole = type(number) is int and type(step) is int and isinstance(update["roles"], dict)
        due = AT_ONCE if clock is None else float(clock)
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(
            f"the value is no version of a model ({type(error).__name__}: {error}). Let only the "
            "learner write to this topic."
        ) from None
    if not whole:
        raise Malformed("the value is no version of a model. Let only the learner write here.")
    return update, due


@lru_cache(maxsize=UPDATES_SHARED)
def _parsed_once(value: bytes) -> tuple[dict[str, Any], float]:
    """Return the decoded record, once for all partitions of a process: they read the same record,
    and none changes it.
    """
    return parsed_update(value)


def parsed_command(value: bytes) -> Command:
    """Return the command in these bytes; raise `Malformed` if they hold none."""
    command: Command = _parsed(Command, value)
    try:
        orjson.dumps(command.evidence)
    except TypeError as error:
        raise Malformed(f"the command's evidence cannot be written again: {error}") from None
    return command


def validated(model: type[BaseModel], value: bytes) -> Any:
    """Return the record in these bytes as a worker reads it; raise what pydantic and validators
    raise.
    """
    return json_reader(model).validate_json(value)


def _parsed(model: type[BaseModel], value: bytes) -> Any:
    try:
        return json_reader(model).validate_json(value)
    except ValidationError as error:
        raise Malformed(in_words(error, model) + described(value)) from None
    except AUTHORS_FAULTS as error:  # of a validator on data that it does not expect
        name = f"{type(error).__name__}: {error}"
        raise Malformed(f"a validator of {model.__name__} failed: {name}") from error


def parsed_input(use_case: UseCase, index: int, value: bytes | None) -> Any | None:
    """Return the event or outcome that a worker reads from these bytes; None if it refuses them."""
    if value is None:
        return None
    try:
        return _parsed(use_case.event if index == EVENTS else use_case.outcome, value)
    except Malformed:
        return None


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what pydantic found as one line that producers can act on, without personal values."""
    faults, personal = [], {path[0] for path in personal_paths(model)}
    for item in error.errors(include_url=False, include_context=False)[:5]:
        location = ".".join(str(part) for part in item["loc"])
        if item["type"] == "json_invalid":
            return f"the value is not JSON: {item['msg']}. Send one {model.__name__} as JSON."
        if personal and (not location or item["loc"][0] in personal):
            faults.append(f"{location or 'record'}: {_cause(item)} (given: {MASK})")
            continue
        given = "" if item["type"] == "missing" else f" (given: {_short(item['input'])})"
        faults.append(f"{location or 'record'}: {item['msg'].lower()}{given}")
    return f"not a {model.__name__}: " + "; ".join(faults)


def _cause(item: Any) -> str:
    """Return pydantic's description of the error, without the text of an author's validator, which
    may quote the value.
    """
    ours = item["type"] in ("value_error", "assertion_error")
    return "its validator refuses it" if ours else item["msg"].lower()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
