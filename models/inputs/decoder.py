"""From a Kafka record to a typed one, or to the reason why not. Pure: bytes in, no state.

Nothing raises here: an unreadable record must still take its place in the journal, so it becomes a
`Taken` that carries its error and is turned into a dead letter when it is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, ValidationError

from models.usecase import UseCase
from schemas.errors import Malformed, Rejected
from schemas.inputs import Command
from schemas.partitioner import partition_of
from schemas.personal import MASK, personal_paths
from schemas.topics import INPUTS

EVENTS, OUTCOMES, COMMANDS, HISTORY = range(len(INPUTS))
AT_ONCE = float("-inf")
RECORD_BYTES_MAX = 262_144
"""So that what is made of a record fits any broker's 1 MiB."""
KEY_BYTES_MAX = 1_024
KIND_HEADER = "riverrun_kind"
"""Says on the history topic whether a record is an `event` or an `outcome`."""


class Record(Protocol):
    """What is used of an aiokafka ConsumerRecord."""

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
    """A record with the attributes of a Kafka one that is not, or is no longer, on Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, record: Record) -> PlainRecord:
        """The same record as plain data."""
        return cls(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )


class Taken:
    """A record that was read: its time (seconds UTC, -inf: at once) and its body or its error.

    `what` says what the body is, EVENTS, OUTCOMES or COMMANDS, whatever input it came by: to ask
    pydantic's classes for it costs half a microsecond each time.
    """

    __slots__ = ("body", "error", "input", "record", "silent", "time", "what")

    def __init__(
        self,
        index: int,
        record: Record,
        what: int | None = None,
        body: Any = None,
        time: float = AT_ONCE,
        *,
        silent: bool = False,
        error: Rejected | None = None,
    ) -> None:
        self.input = index
        self.record = record
        self.what = what
        self.body = body
        self.time = time
        self.silent = silent
        self.error = error


class Reader:
    """Reads the four inputs of one use case on one partition."""

    def __init__(self, use_case: UseCase, partitions: int) -> None:
        self._use_case = use_case
        self._partitions = partitions
        self._personal_key = (use_case.key,) in personal_paths(use_case.event)

    def read(self, index: int, record: Record) -> Taken:
        """The record as an event, outcome or command; a tombstone has neither body nor error."""
        value = record.value
        if value is None:
            return Taken(index, record)
        try:
            return self._taken(index, record, value)
        except Rejected as error:
            return Taken(index, record, error=error)

    def _taken(self, index: int, record: Record, value: bytes) -> Taken:
        if len(value) > RECORD_BYTES_MAX:
            raise Malformed(
                f"the record has {len(value)} bytes; at most {RECORD_BYTES_MAX} are read. "
                "Send what the models need and keep the rest elsewhere."
            )
        if index == COMMANDS:
            return Taken(index, record, COMMANDS, _command(value))
        silent = index == HISTORY
        what = self._historic(record) if silent else index
        use_case = self._use_case
        if what == EVENTS:
            event = _parsed(use_case.event, value)
            self._check_key(record, str(getattr(event, use_case.key)).encode())
            time = event.event_time.timestamp()
            return Taken(index, record, what, event, time, silent=silent)
        outcome = _parsed(use_case.outcome, value)
        self._check_key(record, record.key)
        time = outcome.outcome_time.timestamp()
        return Taken(index, record, what, outcome, time, silent=silent)

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
                f"{self._shown(due)}; they must be equal."
            )
        placed = partition_of(key, self._partitions)
        if placed != record.partition:
            raise Malformed(
                f"key {self._shown(key)} came on partition {record.partition}, but Kafka's default "
                f"partitioner puts it on {placed} of {self._partitions}. In librdkafka clients "
                "set partitioner=murmur2_random."
            )

    def _shown(self, key: bytes | None) -> str:
        if key is None or self._personal_key:
            return "none" if key is None else MASK
        return repr(key[:100].decode("utf-8", "replace"))


def _command(value: bytes) -> Command:
    command: Command = _parsed(Command, value)
    try:
        orjson.dumps(command.evidence)
    except TypeError as error:
        raise Malformed(f"the command's evidence cannot be written again: {error}") from None
    return command


def _parsed(model: type[Any], value: bytes) -> Any:
    try:
        return model.__pydantic_validator__.validate_json(value)
    except ValidationError as error:
        raise Malformed(in_words(error, model)) from None
    except Exception as error:  # a validator of the author's own met data that it cannot take
        name = f"{type(error).__name__}: {error}"
        raise Malformed(f"a validator of {model.__name__} failed: {name}") from error


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """What pydantic found, as one line that a producer can act on, without personal values."""
    found, personal = [], {path[0] for path in personal_paths(model)}
    for item in error.errors(include_url=False, include_context=False)[:5]:
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "json_invalid":
            return f"the value is not JSON: {item['msg']}. Send one {model.__name__} as JSON."
        if personal and (not place or item["loc"][0] in personal):
            found.append(f"{place or 'record'}: {_cause(item)} (given: {MASK})")
            continue
        given = "" if item["type"] == "missing" else f" (given: {_short(item['input'])})"
        found.append(f"{place or 'record'}: {item['msg'].lower()}{given}")
    return f"not a {model.__name__}: " + "; ".join(found)


def _cause(item: Any) -> str:
    """What is wrong in pydantic's own words; an author's validator may quote the value."""
    ours = item["type"] in ("value_error", "assertion_error")
    return "its validator refuses it" if ours else item["msg"].lower()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
