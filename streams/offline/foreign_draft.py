"""A use case drafted from the profiles of foreign topics, which it adopts as its sources.

Names in the data are text of others: they are written into the code as literals only.

What the label is cannot be seen from data: of the outcomes' numbers and bools one is proposed.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from statistics import fmean, median

from models.validation.foreign_topic_profile import FieldProfile, SourceProfile
from models.values.python_names import field_name
from schemas.errors import ConfigError
from streams.offline.use_case_draft import Draft

PYTHON = {
    **{"bool": "bool", "int": "int", "float": "float", "str": "str"},
    **{"number as text": "float", "decimal": "float", "uuid": "str"},
}
NUMBERS = ("int", "float", "number as text", "decimal", "bool")
READERS = {"number as text": "number", "decimal": "number", "uuid": "str"}
"""What makes of a value of that type the field's."""
MISSING_MAX = 0.5
"""Share of the records that a field may be missing in."""
MATCHED, NAMED = 0.5, 0.02
"""Share of the outcomes whose id has to be that of an event, for a field to be taken for the id;
and where it has the name of the event's."""


def foreign_draft(
    name: str,
    topic: str,
    events: SourceProfile,
    outcomes_topic: str | None = None,
    outcomes: SourceProfile | None = None,
) -> Draft:
    """Return the draft of a use case; raise `ConfigError` for what no field could be found for."""
    if events.id is None or events.time is None:
        missing = "id: none is unique" if events.id is None else "time"
        raise ConfigError(
            f"No field of {topic} can be the {missing} in all of its {events.records} records.",
            hint="Write the source by hand; `riverrun new NAME` gives a file to begin with.",
        )
    answer = None if outcomes is None else _Answer(events, outcomes)
    fields = _Fields(events)
    sources = _source_lines(topic, events, fields)
    if answer is not None:
        sources += answer.source(str(outcomes_topic), by_id=events.key is not None)
    binary = answer is not None and answer.binary
    labels = [] if answer is None else [float(each) for each in answer.labels]
    key = "event_id" if events.key is None else fields.name_of(events.key)
    return Draft(
        name=name,
        title=f"What is to be predicted of the records of {topic}? Say it here.",
        kind="binary" if binary else "regression",
        fields=fields.declared(),
        label="value" if answer is None else answer.name,
        key=key,
        features=_features(fields, None if events.key is None else key),
        baseline=_constant(labels, binary=binary),
        labels=(min(labels), max(labels)) if labels else None,
        metric="logloss" if binary else None,
        sources=sources,
    )


def _features(fields: _Fields, key: str | None) -> list[str]:
    numbers = ", ".join(f'"{each}"' for each in fields.names if fields.is_feature(each))
    features = [f"**Question.fields({numbers}),"] if numbers else []
    if key is not None:
        features.append(f'"lately": over_events(by="{key}", last=hours(1)).count(),')
    return features or ['"hour": lambda event: event.event_time.hour,']


def _constant(labels: Sequence[float], *, binary: bool) -> str:
    """Return the constant that is the baseline: the share of true labels, or their median."""
    if binary:
        return f"{fmean(labels or [0.0]):.3g}"
    return repr(median(labels or [0.0]))


def source_text(topic: str, profile: SourceProfile) -> str:
    """Return the code of the source that would adopt a topic of events."""
    return "\n".join(_source_lines(topic, profile, _Fields(profile)))


def _source_lines(topic: str, events: SourceProfile, fields: _Fields) -> list[str]:
    event_id, time = events.fields.get(events.id or ""), events.fields.get(events.time or "")
    return [
        "Source(",
        f"    {_quoted(topic)},",
        f"    format={events.format},",
        "    event=lambda r: Question(",
        f"        event_id={_text(event_id) if event_id else '...'},",
        f"        event_time={_time(time) if time else '...'},",
        *(f"        {each}={fields.reader(each)}," for each in fields.names),
        "    ),",
        "),",
    ]


class _Fields:
    """The fields of the event that is declared, by names of Python."""

    def __init__(self, profile: SourceProfile) -> None:
        without = {profile.id, profile.time}
        self._by_name: dict[str, FieldProfile] = {}
        self._left_out = list(profile.unread)
        for path, each in profile.fields.items():
            usable = each.type in PYTHON and each.time is None and not path.startswith("__")
            most = MISSING_MAX * profile.records
            if path in without:
                continue
            if not usable or each.missing > most:
                self._left_out.append(path)
                continue
            self._by_name[_name(path, self._by_name)] = each
        self.names = sorted(self._by_name, key=lambda name: self._by_name[name].missing > 0)

    def declared(self) -> list[str]:
        """Return the lines that declare the fields, and one that names what was left out."""
        lines = [f"{each}: {self.python(each)}" for each in self.names]
        if self._left_out:
            names = ", ".join(map(repr, self._left_out))
            lines.append(f"# Left out, since they are no plain values, or seldom there: {names}.")
        return lines

    def python(self, name: str) -> str:
        """Return the field's type in Python; one that may be missing has a default."""
        each = self._by_name[name]
        return PYTHON[each.type] + (" | None = None" if each.missing else "")

    def reader(self, name: str) -> str:
        """Return the code that reads the field from `r`."""
        each = self._by_name[name]
        return _or_none(each) if each.missing else _read(each)

    def is_feature(self, name: str) -> bool:
        """Return whether a model can take the field as it is."""
        return self._by_name[name].type in NUMBERS

    def name_of(self, path: str) -> str:
        """Return the name of the field at that path."""
        return next(name for name, each in self._by_name.items() if each.path == path)


class _Answer:
    """The fields of outcomes: their event's id, the time, the key if they know it, and a label."""

    def __init__(self, events: SourceProfile, outcomes: SourceProfile) -> None:
        assert events.id is not None
        ids = set(map(str, events.fields[events.id].values))
        whole = [each for each in outcomes.fields.values() if not each.missing]
        shares = [sum(str(v) in ids for v in e.values) / len(e.values) for e in whole]
        name = events.id.rpartition(".")[2]
        likely = [
            (share, each)
            for share, each in zip(shares, whole, strict=True)
            if share >= (NAMED if each.path.rpartition(".")[2] == name else MATCHED)
        ]
        if not likely or outcomes.time is None:
            lacking = "a time" if likely else "the id of an event"
            raise ConfigError(
                f"No field of the outcomes has {lacking}.", hint="Write their source by hand."
            )
        self._id = max(likely, key=lambda pair: pair[0])[1]
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
            labels,
            key=lambda e: ("bool", "float", "decimal", "number as text", "int").index(e.type),
        )
        self.name = _name(self._label.path, {})
        self.binary = self._label.type == "bool"
        self.labels = self._label.values

    def source(self, topic: str, *, by_id: bool) -> list[str]:
        """Return the lines that declare it; `by_id`: events have a key that these may lack."""
        label = _at(self._label)
        if not self.binary:
            label = f"number({label})"
        key = f"key={_quoted((self.key or self._id).path)}"
        if by_id and self.key is None:
            key = 'by="event_id"'
        return [
            "Source(",
            f"    {_quoted(topic)},",
            f"    format={self._format},",
            "    outcome=lambda r: Answer(",
            f"        event_id={_text(self._id)},",
            f"        outcome_time={_time(self._time)},",
            f"        {self.name}={label},",
            "    ),",
            f"    {key},",
            "),",
        ]


def _at(profile: FieldProfile) -> str:
    return "r" + "".join(f"[{_quoted(name)}]" for name in profile.path.split("."))


def _read(profile: FieldProfile) -> str:
    """Return the code that reads a field which is always there."""
    reader = READERS.get(profile.type)
    return _at(profile) if reader is None else f"{reader}({_at(profile)})"


def _or_none(profile: FieldProfile) -> str:
    """Return the code that reads a field which is None, or not there, in some records."""
    code = "r"
    for depth, name in enumerate(profile.path.split(".")):
        get = f".get({_quoted(name)})"
        code = f"({code} or {{}}){get}" if depth else f"{code}{get}"
    reader = READERS.get(profile.type)
    return code if reader is None else f"None if {code} is None else {reader}({code})"


def _text(profile: FieldProfile) -> str:
    """Return the code that reads an id, which is text."""
    return f"str({_at(profile)})" if profile.type in ("int", "uuid") else _at(profile)


def _time(profile: FieldProfile) -> str:
    assert profile.time is not None
    return profile.time.replace("…", _at(profile))


def _quoted(text: str) -> str:
    """Return the text as a literal of Python, in double quotes.

    >>> print(_quoted("a"), _quoted('a"b'))
    "a" 'a"b'
    """
    return f'"{text}"' if repr(text)[1:-1] == text and '"' not in text else repr(text)


def _name(path: str, taken: Container[str]) -> str:
    """Return the last part of a path as a name, or all of them where that one is taken."""
    last, whole = path.rpartition(".")[2], path.replace(".", "_")
    name = field_name(whole if last == "id" else last, ())
    return field_name(whole, taken) if name in taken else name
