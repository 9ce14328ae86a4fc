"""A use case run on its own first examples, as it would be on the topics.

Ten events are taken, with the outcomes that they have later on; what lies between is left out, so
time may jump further than live, and the guard against that is off. Nothing here raises for what
the author's functions do: it becomes a mistake at the line of that function.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from models.features.featurizer import with_features
from models.inputs.strict_json import json_reader
from models.outputs.output_records import Output
from models.replay.backtest import Backtest
from models.replay.recorded_order import RecordedOrder
from models.spec.default_outcome import DefaultOutcome, is_default
from models.spec.use_case import UseCase
from models.validation.findings import Findings, is_number
from models.validation.source_lines import Lines
from schemas.errors import AUTHORS_FAULTS, ConfigError
from schemas.timestamps import moment

EVENTS = 10
LOOK = 20_000
"""Records that are looked through for the outcomes of the first events."""

_STAND_INS: Mapping[str, tuple[Any, Any]] = {
    "regression": (0.0, 1.0),
    "binary": (False, True),
    "multiclass": ("a", "b"),
}

Row = tuple[str, Mapping[str, Any]]

_BLAMED = (
    (re.compile(r"feature '([^']+)'"), "features"),
    (re.compile(r"window '([^']+)'"), "features"),
)
_BLAMED_FIELD = (
    ("the baseline", "baseline"),
    ("the threshold", "threshold"),
    ("nothing can be learnt", "label"),
    ("no segment or slice", "segments"),
    ("not a ", "recorded"),
)


@dataclass(slots=True)
class Trial:
    """The results of a trial run. `examples` are (features, label as it is learnt), in order."""

    events: int = 0
    outcomes: int = 0
    mistakes: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    vectors: list[dict[str, Any]] = field(default_factory=list)
    examples: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    prediction: dict[str, Any] | None = None
    reported: set[tuple[tuple[str, ...], str]] = field(default_factory=set)

    def learnable(self, use_case: UseCase) -> list[tuple[dict[str, Any], Any]]:
        """Return the examples as models see them, with stand-ins for labels if none has one."""
        labels, hidden = _STAND_INS[use_case.kind], set(use_case.internal_features)
        findings = self.examples or [(x, labels[i % 2]) for i, x in enumerate(self.vectors)]
        return [({n: v for n, v in x.items() if n not in hidden}, y) for x, y in findings]


def sample(records: Iterable[Row], events: int = EVENTS, look: int = LOOK) -> Iterator[Row]:
    """Yield the first events and their outcomes among the first `look` records, in order."""
    asked: set[str] = set()
    answered: set[str] = set()
    for number, (kind, fields) in enumerate(records):
        if number >= look or (len(asked) == events and answered == asked):
            return
        if kind in ("event", "outcome"):
            event_id = str(fields.get("event_id"))
            if kind == "outcome" and event_id in asked:
                answered.add(event_id)
            elif kind == "event" and len(asked) < events:
                asked.add(event_id)
            else:
                continue
        yield kind, fields


def first(use_case: UseCase, events: int = EVENTS) -> Iterator[Row]:
    """Yield the sample of the use case's own recording; raise what the recording raises."""
    if use_case.recorded is not None:
        yield from sample(RecordedOrder(use_case).rows(use_case.recorded()), events)


def running(use_case: UseCase, records: Iterable[Row], source: str | None = None) -> Trial:
    """Run the use case on these records and report dead letters and errors as mistakes."""
    trial, findings = Trial(), Findings(Lines(source))
    rows = _rows(records, findings)
    _check_order(rows, findings)
    backtest = Backtest(_watched(use_case, findings, trial), partitions=1, definition="check")
    for kind, fields in rows:
        trial.events += kind == "event"
        trial.outcomes += kind == "outcome"
        try:
            outputs = backtest.feed(kind, fields)
        except ConfigError as error:
            findings.add(("recorded",), error.reason, error.hint)
            continue
        for output in outputs:
            _heed(output, trial, findings, corrects=use_case.target != "label")
    for output in backtest.all_due():
        _heed(output, trial, findings, corrects=use_case.target != "label")
    _ask_slots(backtest, findings)
    if use_case.label_on_timeout is not None:
        _try_default(use_case, rows, trial)
    if trial.events and not trial.outcomes:
        trial.warnings.append(
            "None of the first events has an outcome in `recorded`: label, KPI and learning were "
            "not tried."
        )
    trial.mistakes = findings.in_order()
    return trial


def _watched(use_case: UseCase, findings: Findings, trial: Trial) -> UseCase:
    """Return the use case with a KPI and a weight that report errors instead of raising them."""
    kpi, weight = use_case.kpi, use_case.weight
    least, most = kpi.range

    amount_of = _number_of(kpi.cost, ("kpi", "cost"), "the KPI's cost", findings)

    def cost(event: Any, outcome: Any, prediction: Any) -> float:
        if is_default(outcome):
            return kpi.cost(event, outcome, prediction)  # where it fails, `_try_default` says so
        amount = amount_of(event, outcome, prediction)
        if not least <= amount <= most and not trial.warnings:
            trial.warnings.append(
                f"The KPI of event {event.event_id!r} is {amount:g} {kpi.unit}, outside its range "
                f"of {least:g} to {most:g}, and is cut to it."
            )
        return amount

    return replace(
        use_case,
        max_jump=math.inf,
        kpi=replace(kpi, cost=cost),
        weight=None if weight is None else _number_of(weight, ("weight",), "weight", findings),
    )


def _try_default(use_case: UseCase, rows: list[Row], trial: Trial) -> None:
    """Warn if a prediction without an outcome gets no label, or a label without a KPI."""
    fields = next((fields for kind, fields in rows if kind == "event"), None)
    if fields is None:
        return
    try:
        event = json_reader(use_case.event).validate_json(orjson.dumps(dict(fields)))
    except AUTHORS_FAULTS:  # what is wrong with the record is told already
        return
    default, why = DefaultOutcome(use_case).of(event), "no outcome with that label could be made"
    if default is not None:
        try:
            features = trial.vectors[0] if trial.vectors else {}
            prediction = with_features(use_case.baseline)(event, features)
            use_case.kpi(event, default[0], prediction)
        except AUTHORS_FAULTS as error:  # the author's function needs what only a real outcome has
            why = f"{type(error).__name__}: {error}"
        else:
            return
    trial.warnings.append(
        f"A prediction that gets no outcome has no KPI ({why}), so there will be no verdict of "
        "worth and no promotion. Declare the fields of the outcome that it stands for: "
        "label_on_timeout={...}."
    )


def _number_of(
    function: Callable[..., Any], location: tuple[str, ...], part: str, findings: Findings
) -> Callable[..., float]:
    reported: set[str] = set()

    def blame(kind: str, reason: str) -> float:
        if kind not in reported:
            reported.add(kind)
            hint = "Return a finite number for every event and outcome that the records may hold."
            findings.add(location, reason, hint)
        return 1.0

    def number(*given: Any) -> float:
        about = f"event {given[0].event_id!r}"
        try:
            value = function(*given)
        except AUTHORS_FAULTS as error:  # whatever the author's function raises is a mistake in it
            name = type(error).__name__
            return blame(name, f"{part} failed on {about}: {name}: {error}.")
        if not is_number(value):
            return blame("value", f"{part} of {about} is {value!r}.")
        return float(value)

    return number


def _rows(records: Iterable[Row], findings: Findings) -> list[Row]:
    rows: list[Row] = []
    try:
        for row in records:
            kind, fields = row
            if kind not in ("event", "outcome") or not isinstance(fields, Mapping):
                raise ValueError(f"it gave {kind!r} and a {type(fields).__name__}")
            orjson.dumps(dict(fields))
            rows.append((kind, fields))
    except AUTHORS_FAULTS as error:  # whatever the author's generator raises is a mistake in it
        findings.add(
            ("recorded",),
            f"recorded failed: {type(error).__name__}: {error}.",
            'Give pairs of "event" or "outcome" and a dictionary of JSON values.',
        )
    return rows


def _check_order(rows: list[Row], findings: Findings) -> None:
    """Report rows that are not in order of time, outcomes first: others leak the future."""
    before: tuple[float, int] | None = None
    event_id: Any = None
    for kind, fields in rows:
        if kind == "outcome" and fields.get("event_id") == event_id:
            continue  # held until its event, see `models.replay.recorded_order`
        event_id = fields.get("event_id") if kind == "event" else None
        time = moment(fields.get("outcome_time" if kind == "outcome" else "event_time"))
        if time is None:
            continue
        location = (time, 0 if kind == "outcome" else 1)
        if before is not None and location < before:
            findings.add(
                ("recorded",),
                f"recorded gives {kind} {fields.get('event_id')!r} after a later record.",
                "Sort by event_time and outcome_time, outcomes first on equal times.",
            )
            return
        before = location


def _heed(output: Output, trial: Trial, findings: Findings, *, corrects: bool) -> None:
    if output.kind == "dead-letter":
        body = orjson.loads(output.value)
        location, text = _location_in(body["error"]), body["error"].partition(" (given")[0]
        if (location, text) in trial.reported:
            return
        trial.reported.add((location, text))
        findings.add(
            location,
            f"a recorded {body['stage']} could not be used: {body['error'].rstrip('.')}.",
            "Fix the record, or what is declared of it.",
        )
    elif output.kind == "predictions":
        trial.prediction = trial.prediction or orjson.loads(output.value)
    elif output.kind == "features":
        trial.vectors.append(orjson.loads(output.value)["features"])
    elif output.kind == "examples":
        body = orjson.loads(output.value)
        y = body["label"] - body["baseline"] if corrects else body["label"]
        trial.examples.append((body["features"], y))


def _location_in(error: str) -> tuple[str, ...]:
    for pattern, field_name in _BLAMED:
        match = pattern.search(error)
        if match:
            return field_name, match[1]
    return next(((name,) for text, name in _BLAMED_FIELD if error.startswith(text)), ("recorded",))


def _ask_slots(backtest: Backtest, findings: Findings) -> None:
    for task in backtest.tasks.values():
        for slot in task.router.slots():
            if slot.faults:
                findings.add(
                    ("models", slot.name),
                    f"model {slot.name!r} failed on these examples: {slot.last_fault}.",
                    "Give it only features that it can take (compose.Select, SelectType), "
                    "or another estimator.",
                )
