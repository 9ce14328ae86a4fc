"""Writes a use case that adopts a foreign topic: a file to begin with, from its profile.

What a label is and what an error costs cannot be seen from data, so both are marked to be decided.
"""

from __future__ import annotations

import keyword
import re
from statistics import fmean, median
from typing import Any

from pydantic import BaseModel

from models.validation.source_profile import FieldProfile, SourceProfile
from schemas.errors import ConfigError

PYTHON = {"bool": "bool", "int": "int", "float": "float", "number as text": "float", "str": "str"}
NUMBERS = ("int", "float", "number as text", "bool")
TAKEN = {"event_id", "event_time", "outcome_time", *dir(BaseModel)}
OFFERED = (
    *("Avro", "CloudEvents", "Connect", "Debezium", "Json", "JsonSchema", "Protobuf"),
    *("epoch_ms", "epoch_ns", "epoch_s", "epoch_us", "hours", "local_time", "number"),
    "over_events",
)
"""Imported where the text calls them."""
MATCHED = 0.5
"""Share of the outcomes whose id has to be that of an event, for a field to be taken for the id."""


def use_case_text(
    name: str,
    topic: str,
    events: SourceProfile,
    outcomes_topic: str | None = None,
    outcomes: SourceProfile | None = None,
) -> str:
    """Return the file's text; raise `ConfigError` for what no field could be found for."""
    if events.id is None or events.time is None:
        missing = "id: none is unique" if events.id is None else "time"
        raise ConfigError(
            f"No field of {topic} can be the {missing} in all of its {events.records} records.",
            hint="Write the source by hand; `riverrun new NAME` gives a file to begin with.",
        )
    answer = None if outcomes is None else _Answer(events, outcomes)
    key = events.key
    fields = _Fields(events)
    lines = [f'"""What is to be predicted of the records of {topic}? Say it here."""', ""]
    lines += ["from river import compose, linear_model, optim, preprocessing", "", "@IMPORTS@", ""]
    lines += ["", "class Question(Event):", f'    """A record of {topic}."""', ""]
    lines += [f"    {each}: {fields.python(each)}" for each in fields.names]
    lines += ["", "", "class Answer(Outcome):"]
    lines += ['    """What turned out to be true. Declare here what the label is made of."""', ""]
    label, binary = ("value", False) if answer is None else (answer.name, answer.binary)
    lines += [f"    {label}: {'bool' if binary else 'float'}"]
    lines += ["", "", "def linear():", '    """Numbers to the same scale, then a linear model."""']
    model = "LogisticRegression" if binary else "LinearRegression"
    lines += [
        "    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()",
        f"    return numbers | linear_model.{model}(optim.SGD(0.01))",
    ]
    lines += ["", "", "SOURCES = [", *_source_lines(topic, events, fields)]
    if answer is not None:
        lines += answer.source(str(outcomes_topic), by_id=key is not None)
    lines += ["]", "", f"{name.upper()} = UseCase("]
    numbers = [each for each in fields.names if fields.is_feature(each)]
    key_name = "event_id" if key is None else fields.name_of(key)
    quoted = ", ".join(f'"{each}"' for each in numbers)
    features = [f"        **Question.fields({quoted}),"] if numbers else []
    if key is not None:
        window = f'over_events(by="{key_name}", last=hours(1)).count()'
        features.append(f'        "lately": {window},')
    if not features:
        features = ['        "hour": lambda event: event.event_time.hour,']
    lines += [
        f'    name="{name}",',
        '    owner="you@example.com",  # who is asked when it misbehaves',
        "    event=Question,",
        "    outcome=Answer,",
        f'    key="{key_name}",',
        f"    label=lambda event, outcome: outcome.{label},",
        *(['    kind="binary",'] if binary else []),
        "    features={",
        *features,
        "    },",
        '    models={"linear": linear},',
        '    champion="linear",',
        *_judged(label, binary, None if answer is None else answer.labels),
        "    horizon=days(30),  # how long an outcome is waited for",
        "    sources=SOURCES,",
        ")",
        "",
    ]
    text = "\n".join(lines)
    names = ["Event", "Kpi", "Outcome", "Source", "UseCase", "days"]
    names += [each for each in OFFERED if re.search(rf"\b{each}\(", text)]
    imports = "".join(f"    {each},\n" for each in sorted(names))
    return text.replace("@IMPORTS@", f"from riverrun import (\n{imports})")


def source_text(topic: str, profile: SourceProfile) -> str:
    """Return the code of the source that would adopt a topic of events."""
    return "\n".join(line[4:] for line in _source_lines(topic, profile, _Fields(profile)))


def _source_lines(topic: str, events: SourceProfile, fields: _Fields) -> list[str]:
    event_id, time = events.fields.get(events.id or ""), events.fields.get(events.time or "")
    return [
        "    Source(",
        f'        "{topic}",',
        f"        format={events.format},",
        "        event=lambda r: Question(",
        f"            event_id={_text(event_id) if event_id else '...'},",
        f"            event_time={_time(time) if time else '...'},",
        *(f"            {each}={fields.reader(each)}," for each in fields.names),
        "        ),",
        "    ),",
    ]


def _judged(label: str, binary: bool, labels: list[Any] | None) -> list[str]:
    if binary:
        share = fmean(map(float, labels or [0.0]))
        return [
            f"    baseline=lambda event: {share:.3g},",
            '    metric="logloss",',
            "    kpi=Kpi(  # say what a wrong answer costs, and in which unit",
            f"        lambda event, outcome, said: float(said != outcome.{label}),",
            '        unit="errors",',
            '        better="lower",',
            "        range=(0, 1),",
            "    ),",
        ]
    middle = median(map(float, labels)) if labels else 0.0
    most = max((abs(float(each) - middle) for each in labels or ()), default=1.0) or 1.0
    return [
        f"    baseline=lambda event: {middle!r},",
        '    metric="mae",',
        "    interval=None,",
        "    kpi=Kpi(  # say what an error costs, and in which unit",
        f"        lambda event, outcome, said: abs(said - outcome.{label}),",
        '        unit="points",',
        '        better="lower",',
        f"        range=(0, {10 * most:.3g}),",
        "    ),",
    ]


class _Fields:
    """The fields of the event that is declared, by names of Python."""

    def __init__(self, profile: SourceProfile) -> None:
        without = {profile.id, profile.time}
        self._by_name: dict[str, FieldProfile] = {}
        for path, each in profile.fields.items():
            usable = each.type in PYTHON and each.time is None and not path.startswith("__")
            if path in without or not usable or each.missing:
                continue
            self._by_name[_name(path, self._by_name)] = each
        self.names = list(self._by_name)

    def python(self, name: str) -> str:
        """Return the field's type in Python."""
        return PYTHON[self._by_name[name].type]

    def reader(self, name: str) -> str:
        """Return the code that reads the field from `r`."""
        each = self._by_name[name]
        return f"number({_at(each)})" if each.type == "number as text" else _at(each)

    def is_feature(self, name: str) -> bool:
        """Return whether a model can take the field as it is."""
        return self._by_name[name].type in NUMBERS

    def name_of(self, path: str) -> str:
        """Return the name of the field at that path."""
        return next(name for name, each in self._by_name.items() if each.path == path)


class _Answer:
    """What outcomes have: their event's id, the time, the key if they know it, and a label."""

    def __init__(self, events: SourceProfile, outcomes: SourceProfile) -> None:
        assert events.id is not None
        ids = set(map(str, events.fields[events.id].values))
        whole = [each for each in outcomes.fields.values() if not each.missing]
        matched = [(sum(str(v) in ids for v in e.values) / len(e.values), e) for e in whole]
        share, self._id = max(matched, key=lambda pair: pair[0])
        if share < MATCHED or outcomes.time is None:
            what = "a time" if share >= MATCHED else "the id of an event"
            raise ConfigError(
                f"No field of the outcomes has {what}.", hint="Write their source by hand."
            )
        self._format, self._time = outcomes.format, outcomes.fields[outcomes.time]
        keys = set(map(str, events.fields[events.key].values)) if events.key else set()
        others = [each for each in whole if each not in (self._id, self._time)]
        self.key = next((e for e in others if keys and set(map(str, e.values)) <= keys), None)
        labels = [e for e in others if e is not self.key and e.type in NUMBERS and e.time is None]
        if not labels:
            raise ConfigError(
                "No field of the outcomes is a number or a bool that could be the label.",
                hint="Write their source by hand.",
            )
        self._label = min(
            labels, key=lambda e: ("bool", "float", "number as text", "int").index(e.type)
        )
        self.name = _name(self._label.path, {})
        self.binary = self._label.type == "bool"
        self.labels = self._label.values

    def source(self, topic: str, *, by_id: bool) -> list[str]:
        """Return the lines that declare it; `by_id`: events have a key that these may lack."""
        label = _at(self._label)
        if not self.binary:
            label = f"number({label})"
        key = f'key="{(self.key or self._id).path}"'
        if by_id and self.key is None:
            key = 'by="event_id"'
        return [
            "    Source(",
            f'        "{topic}",',
            f"        format={self._format},",
            "        outcome=lambda r: Answer(",
            f"            event_id={_text(self._id)},",
            f"            outcome_time={_time(self._time)},",
            f"            {self.name}={label},",
            "        ),",
            f"        {key},",
            "    ),",
        ]


def _at(profile: FieldProfile) -> str:
    return "r" + "".join(f'["{name}"]' for name in profile.path.split("."))


def _text(profile: FieldProfile) -> str:
    return f"str({_at(profile)})" if profile.type == "int" else _at(profile)


def _time(profile: FieldProfile) -> str:
    assert profile.time is not None
    return profile.time.replace("…", _at(profile))


def _name(path: str, taken: Any) -> str:
    for part in (path.rpartition(".")[2], path.replace(".", "_")):
        name = re.sub(r"\W", "_", part).lower().strip("_") or "field"
        bad = keyword.iskeyword(name) or name in TAKEN or name.startswith("model_")
        if bad or not name.isidentifier():
            name = f"its_{name}"
        if name not in taken:
            return name
    return f"{name}_{len(taken)}"
