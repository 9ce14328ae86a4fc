"""One event's life: what came in, what was seen and said, what the world answered, what it taught.

Records come from the topics. What no topic holds, the model before and after the step that this
event caused in it, is derived again from the log, on the way past.
"""

from __future__ import annotations

import copy
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from aiokafka import TopicPartition

from models.estimators import final
from models.kinds import KINDS
from models.personal import Masking
from models.reading import KIND_HEADER
from models.slot import Slot
from models.task import PartitionTask
from schemas.personal import MASK
from schemas.topics import INPUTS
from streams.deriving import Derivation, Redefine, Starts
from streams.past_definitions import Definitions, Unprovable
from streams.picking import find
from streams.recovery import Diverged
from streams.settings import Settings
from streams.tapes import Tapes
from streams.verification import differing

WEIGHTS_MAX = 10
"""So many of the weights that moved most are kept."""

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
    learnt: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    proved: bool | None = None
    first_difference: tuple[str, Any, Any] | None = None
    unproven: str | None = None

    @property
    def known(self) -> bool:
        """Any topic has something about it."""
        found = (self.event, self.prediction, self.outcome, self.example)
        return any(part is not None for part in found) or bool(self.dead_letters)

    def masked(self, masking: Masking) -> Life:
        """The same without personal data."""
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
            learnt=[_masked_lesson(lesson, masking) for lesson in self.learnt],
            dead_letters=[masking.letter(letter) for letter in self.dead_letters],
        )


@dataclass(frozen=True, slots=True)
class Biographer:
    """Looks up and derives the lives of one use case's events."""

    settings: Settings
    names: Mapping[str, str]
    starts: Starts | None = None
    redefine: Redefine | None = None
    on_progress: Callable[[int, int], None] = lambda done, total: None
    on_search: Callable[[int, int], None] = lambda done, total: None
    trusted: Collection[str] = ()  # sources that may be run unsigned

    async def of(self, event_id: str, *, derive: bool = True) -> Life:
        """One event's life. Topics have no index, so they are read from their end backwards.

        Without `derive` only what they hold: no proof, and not what it taught.
        """
        life = Life(event_id)
        async with Tapes([self.names[kind] for kind in READ], self.settings) as tapes:
            await self._look_up(tapes, life)
            partitions = len(tapes.of(self.names["predictions"]))
        steps = [part["step"] for part in (life.prediction, life.example) if part is not None]
        if derive and steps and life.partition is not None:
            await self._derive(life, sorted(set(steps)), partitions)
        return life

    # From the topics.

    async def _look_up(self, tapes: Tapes, life: Life) -> None:
        names, event_id = self.names, life.event_id

        async def one(kind: str, of: str | None = None) -> Any | None:
            places = tapes.of(names[kind])
            if life.partition is not None:
                places = [TopicPartition(names[kind], life.partition)]
            record = await find(tapes, places, event_id, partial(_is_of, of), self.on_search)
            if record is not None:
                life.partition = record.partition
            return record

        said, event = await one("predictions"), await one("events")
        past = await one("history", "event") if event is None else None
        life.event, life.prediction = _body(event or past), _value(said)
        features = await one("features")
        life.features = None if features is None else _value(features)["features"]
        if said is not None and event is not None:
            life.answered_ms = said.timestamp - event.timestamp
        outcome = await one("outcomes") or await one("history", "outcome")
        life.outcome, life.example = _body(outcome), _value(await one("examples"))
        await self._look_up_dead_letters(tapes, life)

    async def _look_up_dead_letters(self, tapes: Tapes, life: Life) -> None:
        mark = orjson.dumps(life.event_id)
        for place in tapes.of(self.names["dead-letter"]):
            async for record in tapes.records(place):
                letter = _value(record)
                raw = b64decode(letter.pop("value_base64"))
                if mark in raw:
                    life.dead_letters.append(letter | {"value": raw.decode("utf-8", "replace")})

    # From the log.

    async def _derive(self, life: Life, steps: list[int], partitions: int) -> None:
        topic = self.names["definitions"]
        definitions = await Definitions.read(topic, self.settings, trusted=self.trusted)
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
                goal = await derivation.entry_of(step)
                derivation.on_entry = partial(self._progressed, goal.seq + 1)
                await derivation.to(goal.seq + 1, lambda made: None)
        except (Unprovable, Diverged) as error:
            life.unproven = str(error)
        finally:
            await derivation.close()
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
        before = _models(task, example) if learns and example is not None else []

        def after(outputs: Sequence[Any]) -> None:
            if asked:
                self._compare(outputs)
            if learns and example is not None:
                self._record(task, taken, example, before)

        return after

    def _compare(self, outputs: Sequence[Any]) -> None:
        life = self._life
        for output in outputs:
            if output.kind == "predictions":
                again = orjson.loads(output.value)
                if again["event_id"] == life.event_id:
                    life.first_difference = next(differing(life.prediction, again), None)
                    life.proved = life.first_difference is None

    def _record(
        self, task: PartitionTask, taken: Any, example: dict[str, Any], before: list[Slot]
    ) -> None:
        record = taken.record
        by = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "input": INPUTS[taken.input],
        }
        slots = {(slot.name, slot.segment): slot for slot in task.roster.slots()}
        for old in before:
            new = slots.get((old.name, old.segment))
            if new is not None:
                self._life.learnt.append(_lesson(task, example, old, new) | {"by": by})


def _models(task: PartitionTask, example: dict[str, Any]) -> list[Slot]:
    """Copies of the slots that are about to learn this example."""
    own = task.roster.own.of(example["segment"])
    slots = [*task.roster.pooled.values(), *own.values()]
    return [copy.deepcopy(slot) for slot in slots]


def _lesson(task: PartitionTask, example: dict[str, Any], old: Slot, new: Slot) -> dict[str, Any]:
    """What one model made of one example: its answer to the same features before and after."""
    kind, x = KINDS[task.use_case.kind], example["features"]
    corrects = task.use_case.learns != "label"

    def answer(slot: Slot) -> Any:
        said = copy.deepcopy(slot).ask(kind, x)  # some models remember that they were asked
        if said is not None and corrects:
            said += example["baseline"]
        return kind.shadow(said)

    return {
        "model": new.name,
        "segment": new.segment,
        "version": f"{new.name}@{task.definition}#{new.trained_on}",
        "before": answer(old),
        "label": example["label"],
        "after": answer(new),
        "weights": _moved(old.model, new.model),
    }


def _masked_lesson(lesson: dict[str, Any], masking: Masking) -> dict[str, Any]:
    weights = lesson["weights"]
    shown = [weight | {"name": masking.name(weight["name"])} for weight in weights or ()]
    label = MASK if masking.label else lesson["label"]
    return lesson | {"weights": weights and shown, "label": label}


def _moved(old: Any, new: Any) -> list[dict[str, Any]] | None:
    """The weights of a linear model that moved most; None for another model."""
    before, after = _weights(old), _weights(new)
    if before is None or after is None:
        return None
    moves = [(name, before.get(name, 0.0), value) for name, value in after.items()]
    moves.sort(key=lambda move: -abs(move[2] - move[1]))
    return [
        {"name": name, "before": was, "after": now}
        for name, was, now in moves[:WEIGHTS_MAX]
        if was != now
    ]


def _weights(model: Any) -> dict[str, float] | None:
    last = final(model)
    weights = getattr(last, "weights", None)
    if not isinstance(weights, Mapping):
        return None
    named = {str(name): float(value) for name, value in weights.items()}
    intercept = getattr(last, "intercept", None)
    return named if intercept is None else named | {"(intercept)": float(intercept)}


def _is_of(kind: str | None, record: Any) -> bool:
    """Whether a history record is an event or an outcome; others are not asked."""
    return kind is None or (KIND_HEADER, kind.encode()) in record.headers


def _value(record: Any | None) -> Any:
    return None if record is None else orjson.loads(record.value)


def _body(record: Any | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "value": orjson.loads(record.value),
    }
