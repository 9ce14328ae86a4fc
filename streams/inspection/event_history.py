"""One event's history: the record, its features, prediction and outcome, and what was learnt.

Records come from the topics. What no topic holds, the model before and after the step that this
event caused in it, is derived again from the log, on the way past.
"""

from __future__ import annotations

import contextlib
import math
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from aiokafka import TopicPartition
from pydantic_core import from_json

from models.inputs.decoder import EVENTS, KIND_HEADER, OUTCOMES, parsed_input
from models.relay.relay_task import origin_of
from models.spec.personal_data import Masking
from models.spec.use_case import UseCase
from models.task.partition_task import PartitionTask
from models.values.numbers import INT_LEAST, INT_MOST
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.inspection.model_lessons import (
    ExampleRecord,
    lessons,
    masked_lesson,
    models_before,
    shared_lessons,
)
from streams.kafka.record_decoder import decoded
from streams.kafka.topic_reader import TopicReader
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.derivation import Derivation, Redefine, StartingStates
from streams.replay.journal_fold import Diverged
from streams.replay.prediction_lookup import find
from streams.replay.verified import differing

READ = ("predictions", "examples", "features", "dead-letter", "events", "outcomes", "history")


@dataclass(slots=True)
class Life:
    """All that is known of one event; what did not happen, or cannot be known, is None."""

    event_id: str
    partition: int | None = None
    event: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    answered_ms: int | None = None
    outcome: dict[str, Any] | None = None
    example: dict[str, Any] | None = None
    sampled: dict[str, Any] | None = None
    version: dict[str, Any] | None = None  # of a shared model: which one predicted
    learnt: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    proved: bool | None = None
    first_difference: tuple[str, Any, Any] | None = None
    unproven: str | None = None

    @property
    def known(self) -> bool:
        """Return whether any topic has a record of the event."""
        records = (self.event, self.prediction, self.outcome, self.example)
        return any(part is not None for part in records) or bool(self.dead_letters)

    def masked(self, masking: Masking) -> Life:
        """Return the same without personal data."""
        if not masking:
            return self

        def of(kind: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
            return body and body | {"value": masking.value(kind, body["value"])}

        example = masking.value("examples", self.example)
        return replace(
            self,
            event=of("events", self.event),
            outcome=of("outcomes", self.outcome),
            features=masking.value("features", {"features": self.features})["features"],
            prediction=masking.value("predictions", self.prediction),
            example=example,
            learnt=[masked_lesson(lesson, masking) for lesson in self.learnt],
            dead_letters=[masking.letter(letter) for letter in self.dead_letters],
        )


@dataclass(frozen=True, slots=True)
class EventHistory:
    """Looks up and derives the lives of one use case's events."""

    settings: Settings
    names: Mapping[str, str]
    use_case: UseCase
    starts: StartingStates | None = None
    redefine: Redefine | None = None
    on_progress: Callable[[int, int], None] = lambda done, total: None
    on_search: Callable[[int, int], None] = lambda done, total: None
    trusted: Collection[str] = ()  # sources that may be run unsigned

    async def of(self, event_id: str, *, derive: bool = True) -> Life:
        """Return one event's history.

        Topics have no index, so they are read from their end backwards.

        Without `derive` only what they hold: no proof, and not what it taught.
        """
        life = Life(event_id)
        async with TopicReader([self.names[kind] for kind in READ], self.settings) as reader:
            example = await self._look_up(reader, life)
            partitions = len(reader.of(self.names["predictions"]))
        await self._look_for_sources(life)
        steps = [part["step"] for part in (life.prediction, life.example) if part is not None]
        if derive and steps and life.partition is not None:
            await self._derive(life, sorted(set(steps)), partitions, example)
        return life

    async def _look_for_sources(self, life: Life) -> None:
        """Note which foreign records that the event and its outcome came from are still kept."""
        sources = [body["source"] for body in (life.event, life.outcome) if body and body["source"]]
        if not sources:
            return
        async with TopicReader([source["topic"] for source in sources], self.settings) as reader:
            bounds = await reader.bounds()
        for source in sources:
            start, end = bounds.get(TopicPartition(source["topic"], source["partition"]), (0, 0))
            source["kept"] = start <= source["offset"] < end

    # From the topics.

    async def _look_up(self, reader: TopicReader, life: Life) -> ExampleRecord | None:
        names, event_id = self.names, life.event_id

        async def one(kind: str, of: str | None = None) -> Any | None:
            places = reader.of(names[kind])
            if life.partition is not None:
                places = [TopicPartition(names[kind], life.partition)]
            among = partial(_is_of, of)
            about = self._id_of(kind, of) if kind in INPUTS else None
            record = await find(reader, places, kind, event_id, among, self.on_search, about)
            if record is not None:
                life.partition = record.partition
            return record

        prediction, event = await one("predictions"), await one("events")
        past = await one("history", "event") if event is None else None
        life.event, life.prediction = _body(event or past), _value(prediction)
        features = await one("features")
        life.features = None if features is None else _value(features)["features"]
        if prediction is not None and event is not None:
            life.answered_ms = prediction.timestamp - event.timestamp
        outcome = await one("outcomes") or await one("history", "outcome")
        example = await one("examples")
        life.outcome, life.example = _body(outcome), _value(example)
        await self._look_up_dead_letters(reader, life)
        if example is None:
            return None
        return ExampleRecord(life.example, example.partition, example.offset)

    def _id_of(self, kind: str, of: str | None) -> Callable[[bytes], str | None]:
        """Return a function from an input's record to its event id, by the use case's types."""
        index = OUTCOMES if "outcome" in (kind[:-1], of) else EVENTS

        def about(value: bytes) -> str | None:
            body = parsed_input(self.use_case, index, value)
            with contextlib.suppress(Exception):  # None, or code of the author's that fails on it
                return str(body.event_id)  # type: ignore[union-attr]
            refused = _decoded(value)
            return refused.get("event_id") if isinstance(refused, dict) else None

        return about

    async def _look_up_dead_letters(self, reader: TopicReader, life: Life) -> None:
        mark = orjson.dumps(life.event_id)
        for each in reader.of(self.names["dead-letter"]):
            async for _, letter in reader.rows("dead-letter", each):
                raw = b64decode(letter.pop("value_base64") or "")
                if mark in raw:
                    life.dead_letters.append(letter | {"value": raw.decode("utf-8", "replace")})

    # From the log.

    async def _derive(
        self, life: Life, steps: list[int], partitions: int, example: ExampleRecord | None
    ) -> None:
        topic = self.names["definitions"]
        definitions = await DefinitionHistory.read(topic, self.settings, trusted=self.trusted)
        assert life.partition is not None
        derivation = Derivation(
            self.settings,
            self.names,
            definitions,
            partition=life.partition,
            partitions=partitions,
            starts=self.starts,
            redefine=self.redefine,
            watch=_Witness(life).watch,
        )
        try:
            last = await derivation.open()
            if last is None:
                raise Unprovable("the journal is empty.")
            for step in steps:
                at = derivation.task
                if at is not None and at.step >= step:
                    continue  # it was in the same entry as the one before
                goal = await derivation.entry_of(step)
                derivation.on_entry = partial(self._progressed, goal.seq + 1)
                await derivation.to(goal.seq + 1, lambda outputs: None)
            if example is not None and example.body.get("training") is not None:
                life.learnt += await shared_lessons(
                    self.settings, self.names, definitions, example, partitions, self.starts
                )
        except (Unprovable, Diverged) as error:
            life.unproven = str(error)
        finally:
            await derivation.close()
        if life.prediction is not None and life.proved is None and life.unproven is None:
            life.unproven = "the log did not make this prediction again at its step."
        if life.proved is False and life.prediction is not None:
            hash_ = life.prediction["model"].partition("@")[2].partition("#")[0]
            if versions := definitions.differences(hash_):
                life.proved, life.unproven = None, f"it was made with {'; '.join(versions)}"

    def _progressed(self, entries: int, seq: int) -> None:
        self.on_progress(seq + 1, entries)


class _Witness:
    """Stands by while the log is folded, and looks closer at two of its steps."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def watch(self, task: PartitionTask, taken: Any) -> Callable[[Sequence[Any]], None] | None:
        life, step = self._life, task.step + 1
        asked = life.prediction is not None and life.prediction["step"] == step
        example = life.example
        learns = example is not None and example["learnt"] and example["step"] == step
        if not asked and not learns:
            return None
        if asked and life.prediction is not None:
            shown = task.featurizer.shown(life.features or {})
            life.sampled = task.influence.sampled(life.prediction, shown)
            life.version = _version(task, life.prediction)
        before = models_before(task, example) if learns and example is not None else []

        def after(outputs: Sequence[Any]) -> None:
            if asked:
                self._compare(outputs)
            if learns and example is not None:
                life.learnt += lessons(task, taken, example, before)

        return after

    def _compare(self, outputs: Sequence[Any]) -> None:
        life = self._life
        for output in outputs:
            if output.kind == "predictions":
                again = orjson.loads(output.value)
                if again["event_id"] == life.event_id:
                    life.first_difference = next(differing(life.prediction, again), None)
                    life.proved = life.first_difference is None


def _version(task: PartitionTask, prediction: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return which version of a shared model made a prediction; None for any other model."""
    name, _, trained_on = prediction["model"].partition("@")
    ref = task.shared and task.shared.versions.get(name)
    if not ref or trained_on.partition("#")[2] != str(ref.trained_on):
        return None  # the baseline's, or a segment's own
    return {
        "model": ref.name,
        "trained_on": ref.trained_on,
        "generation": ref.generation,
        "number": ref.number,
        "offset": ref.offset,
    }


def _is_of(kind: str | None, record: Any) -> bool:
    """Return whether a history record is of this kind, event or outcome."""
    return kind is None or (KIND_HEADER, kind.encode()) in record.headers


def _value(record: Any | None) -> Any:
    return None if record is None else decoded(record.value)


def _body(record: Any | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "source": _source(record),
        "value": _shown(_decoded(record.value)),
    }


def _source(record: Any) -> dict[str, Any] | None:
    """Return where the foreign record is that a record was relayed from, if it was."""
    origin = origin_of(record)
    if origin is None:
        return None
    topic, partition, offset = origin
    return {"topic": topic, "partition": partition, "offset": offset}


def _decoded(value: bytes | None) -> Any:
    """Return a record's value as a worker reads it, NaN and long numbers too.

    Return text if it is not JSON.
    """
    if value is None:
        return None
    try:
        return from_json(value, allow_inf_nan=True)
    except ValueError:
        return value.decode("utf-8", "replace")


def _shown(value: Any) -> Any:
    """Return an object with values that JSON cannot hold (NaN, numbers beyond 64 bits) as text."""
    plain = _plain(value)
    return plain if isinstance(plain, dict) else {"value": plain}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    long = isinstance(value, int) and not INT_LEAST <= value <= INT_MOST
    not_finite = isinstance(value, float) and not math.isfinite(value)
    return str(value) if long or not_finite else value
