"""The records that a partition task writes, as bytes: encoded once, metadata in CloudEvents
headers.

The dictionaries here have the fields of the models in `schemas.records`; a test validates every
one of them against its model, so that nothing is validated on the hot path.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from models.features.shared_entries import SharedEntry
from models.inputs.decoder import Record
from models.inputs.json_bytes import encoded
from models.pending.codec import PendingPrediction
from models.serving.explanations import Reasons
from models.serving.model_router import PredictionSet
from models.serving.prediction_intervals import Region
from models.spec.label_fold import FoldedOutcome
from models.spec.problem_types import Kind, text
from schemas.errors import Rejected
from schemas.events import Event, Outcome
from schemas.headers import Headers, stamp
from schemas.topics import BY_KIND, INPUTS

VALUE_BYTES_MAX = 524_288
KEY_BYTES_MAX = 1_024
HEADER_BYTES_MAX = 16_384
WORDS_MAX = 2_000
"""The size to which a dead letter cuts the original: it must fit any broker's limit of 1 MiB."""
_STAGES = {
    "events": "event",
    "history": "event",
    "outcomes": "outcome",
    "commands": "command",
    "models": "model",
    "examples": "example",
    "source": "source",
    "window-entries": "entries",
    "table-rows": "rows",
}


class Output(NamedTuple):
    """One record to be written: `kind` names its topic.

    `partition` None is the task's own; `timestamp_ms` None is the time of writing.
    """

    kind: str
    key: bytes | None
    value: bytes
    headers: Headers
    partition: int | None = None
    timestamp_ms: int | None = None


class Tombstone(NamedTuple):
    """The deletion of a key from a compacted topic."""

    kind: str
    key: bytes
    partition: int
    value: None = None
    headers: Headers = ()
    timestamp_ms: int | None = None


class More(NamedTuple):
    """The parts of a prediction beside its value: segment, interval, contributions and position."""

    segment: str | None
    region: Region
    reasons: Reasons | None
    seq: int
    step: int


class LabelUse(NamedTuple):
    """A prediction with its label, and how the label was used."""

    outcome: Outcome | FoldedOutcome | None
    label: Any
    delay_s: float
    learnt: bool
    kpi: float | None = None
    weight: float | None = None
    training: TrainingFields | None = None
    fold: tuple[float, int, int] | None = None
    """Time at which a folded label counted as known (seconds UTC), corrections until then, and the
    number of its outcomes; None of other labels."""


class TrainingFields(NamedTuple):
    """The additional fields of an example that the learner of shared models needs."""

    clock_s: float | None
    errors: dict[str, float]
    kpi: dict[str, float]
    learner: str | None
    definition: str


class Publisher:
    """Builds the output records of one use case on one partition."""

    def __init__(
        self,
        use_case: str,
        partition: int,
        kind: Kind,
        names: tuple[str, ...],
        inputs: Sequence[str] = INPUTS,
    ) -> None:
        self.use_case = use_case
        self.partition = partition
        self._kind = kind
        self._names = names
        self._inputs = inputs
        kinds = BY_KIND
        self._stamps = {kind: stamp(kind, use_case, partition) for kind in kinds}

    def _record(self, kind: str, key: bytes | None, value: dict[str, Any], id: str) -> Output:
        """Return a record that is about no single event; `id` is unique among its kind."""
        return Output(kind, key, encoded(value), (*self._stamps[kind], ("ce_id", id.encode())))

    def features(self, record: Record, value: bytes, shared: Headers) -> Output:
        """Return the features that the models saw, encoded (these bytes wait for the outcome)."""
        return Output("features", record.key, value, self._stamps["features"] + shared)

    def prediction_fields(
        self, event: Event, asked: PredictionSet, segment: str | None, region: Region
    ) -> dict[str, Any]:
        """Return a prediction's body without its contributions and its position."""
        kind, answer = self._kind, asked.answer
        interval = isinstance(region, tuple)
        return {
            "event_id": event.event_id,
            "event_time": event.event_time,
            "value": kind.value(answer.prediction),
            "probabilities": kind.probabilities(answer.prediction),
            "interval": region if interval else None,
            "classes": None if interval or region is None else list(map(text, region)),
            "segment": segment,
            "served_by": answer.by,
            "reason": answer.why,
            "model": answer.model,
            "shadows": self._shadows(asked.pooled, asked.own, segment),
        }

    def prediction(
        self, record: Record, event: Event, asked: PredictionSet, more: More, shared: Headers
    ) -> Output:
        """Return a prediction's record: the value, the model that made it, contributions."""
        reasons = more.reasons
        body = self.prediction_fields(event, asked, more.segment, more.region)
        body["contributions"] = None if reasons is None else reasons.top
        body["reference"] = None if reasons is None else reasons.reference
        body["rest"] = None if reasons is None else reasons.rest
        body["seq"] = more.seq
        body["step"] = more.step
        body["partition"] = self.partition
        headers = self._stamps["predictions"] + shared
        return Output("predictions", record.key, encoded(body), headers)

    def example(
        self,
        about: tuple[bytes, Headers],
        event: Event,
        segment: str | None,
        vector: orjson.Fragment,
        waiting: PendingPrediction,
        use: LabelUse,
        step: int,
    ) -> Output:
        """Return features joined to their label; `about` is the event's key and shared headers."""
        kind, outcome = self._kind, use.outcome
        issued = waiting.predictions
        body = {
            "event_id": event.event_id,
            "event_time": event.event_time,
            "outcome_time": None if outcome is None else outcome.outcome_time,
            "features": vector,
            "label": use.label,
            "prediction": kind.value(issued.served),
            "baseline": kind.value(issued.baseline),
            "shadows": self._shadows(issued.pooled, issued.own, segment),
            "served_by": issued.by,
            "segment": segment,
            "delay_s": use.delay_s,
            "weight": 1.0 if use.weight is None else use.weight,
            "learnt": use.learnt,
            "source": (
                "history" if waiting.silent else "default" if outcome is None else "outcome"
            ),
            "kpi": use.kpi,
            "step": step,
            "partition": self.partition,
        }
        if use.fold is not None:
            known, body["revision"], body["outcomes"] = use.fold
            body["known_time"] = datetime.fromtimestamp(known, UTC)
        if use.training is not None:
            body["training"] = use.training._asdict()
        key, shared = about
        return Output("examples", key, encoded(body), self._stamps["examples"] + shared)

    def _shadows(
        self, pooled: tuple[Any, ...], own: dict[str, Any], segment: str | None
    ) -> dict[str, Any]:
        shadow = self._kind.shadow
        shadows = {
            name: None if isinstance(prediction, str) else shadow(prediction)
            for name, prediction in zip(self._names, pooled, strict=True)
        }
        if own:
            shadows |= {
                f"{name}[{segment}]": shadow(prediction) for name, prediction in own.items()
            }
        return shadows

    def of_event(self, event: Event, trace: bytes | None, *, again: str = "") -> Headers:
        """Return the headers that all records about one event share; `again` marks a further
        record.
        """
        shared: Headers = (
            ("ce_id", (f"{event.event_id}/{again}" if again else event.event_id).encode()),
            ("ce_time", orjson.dumps(event.event_time)[1:-1]),
        )
        return shared if trace is None else (*shared, ("traceparent", trace))

    def dead_letter(
        self,
        record: Record,
        index: int,
        error: Rejected,
        step: int,
        traceback: str | None = None,
    ) -> Output:
        """Return a dead letter: the original bytes and what to do; causes in Kafka Connect's
        headers too.
        """
        value, key = record.value or b"", record.key
        words = str(error).encode("utf-8", "replace").decode()[:WORDS_MAX]
        body = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp,
            "key_base64": None if key is None else b64encode(key[:KEY_BYTES_MAX]).decode(),
            "value_base64": b64encode(value[:VALUE_BYTES_MAX]).decode(),
            "value_bytes": len(value),
            "headers": _kept(record.headers),
            "stage": _STAGES[self._inputs[index]],
            "error_class": error.fault,
            "error": words,
            "traceback": traceback,
            "step": step,
        }
        record_id = f"{record.topic}-{record.partition}-{record.offset}"
        key = None if key is None else key[:KEY_BYTES_MAX]
        out = self._record("dead-letter", key, body, record_id)
        connect = (
            ("__connect.errors.topic", record.topic.encode()),
            ("__connect.errors.partition", str(record.partition).encode()),
            ("__connect.errors.offset", str(record.offset).encode()),
            ("__connect.errors.stage", self._inputs[index].encode()),
            ("__connect.errors.exception.class.name", error.fault.encode()),
            ("__connect.errors.exception.message", words.encode()),
        )
        return out._replace(headers=(*out.headers, *connect))

    def metric(self, value: dict[str, Any]) -> Output:
        """Return one metric record; its key is what a later record replaces."""
        start = value["window_start"].isoformat()
        key = f"{start}|{value['segment'] or ''}|{value['slice'] or ''}|{value['model']}"
        return self._record("metrics", key.encode(), value, f"{key}|{value['step']}")

    def evidence(self, value: dict[str, Any]) -> Output:
        """Return the evidence of one closed block; its key is the block."""
        start = value["block_start"].isoformat()
        key = f"{start}|{value['segment'] or ''}|{value['slice'] or ''}"
        return self._record("evidence", key.encode(), value, key)

    def delays(self, value: dict[str, Any]) -> Output:
        """Return a delay curve; a later record of the same segment replaces it."""
        segment = value["segment"] or ""
        body = value | {"partition": self.partition}
        return self._record("delays", segment.encode(), body, f"{segment}-{value['step']}")

    def update(self, name: str, value: dict[str, Any], state: Headers) -> Output:
        """Return a version of the shared model `name`, its state in the headers `state`."""
        out = self._record("models", name.encode(), value, str(value["number"]))
        return out._replace(headers=out.headers + state)  # which may still be made elsewhere

    def window_entries(
        self,
        entries: Sequence[SharedEntry],
        times: tuple[float | None, float],
        definition: str,
        step: int,
        nth: int,
    ) -> Output:
        """Return what a record adds to shared windows. `times`: the partition's and the record's
        own; `nth`: its number among several of one step, since one record may make many labels due.
        """
        body = {
            "clock_s": times[0],
            "time_s": times[1],
            "entries": entries,
            "definition": definition,
            "step": step,
            "partition": self.partition,
        }
        record_id = f"{self.partition}-{step}-{nth}"
        return self._record("window-entries", None, body, record_id)

    def drift(self, value: dict[str, Any], step: int) -> Output:
        """Return a record of a change: what it was, what it is, since when."""
        subject = value["subject"]
        body = value | {"partition": self.partition, "step": step}
        return self._record("drift", subject.encode(), body, f"{subject}-{step}")

    def lifecycle(self, step: int, watermark: float | None, **value: Any) -> Output:
        """Return a change of state of a model or of the partition."""
        body = {
            "use_case": self.use_case,
            "partition": self.partition,
            "segment": None,
            "from_state": None,
            "command_id": None,
            "evidence": None,
            "event_time": None if watermark is None else datetime.fromtimestamp(watermark, UTC),
            "step": step,
            **value,
        }
        record_id = f"{step}-{body['model']}-{body['segment'] or ''}-{body['to_state']}"
        return self._record("lifecycle", str(body["model"]).encode(), body, record_id)


def _kept(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    encoded_headers, left = [], HEADER_BYTES_MAX
    for name, value in headers:
        left -= len(name) + len(value or b"") + 16
        if left < 0:
            break
        encoded_headers.append((name, b64encode(value or b"").decode()))
    return encoded_headers
