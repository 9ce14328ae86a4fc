"""Which simple rule predicts a label best on recorded data: what every model has to beat.

Each rule is a declared feature (the last value, a mean by a field, the same hour of other weeks, a
field as it is), computed as a partition would: at the event, from the outcomes known by then. So
the one that wins can be declared as it is, and the baseline is `features["rule"]`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from models.features.featurizer import Featurizer
from models.features.window_declarations import over_outcomes
from models.values.durations import days, hours, minutes
from models.values.local_time import local_hour, weekday
from models.values.python_names import is_field_name
from schemas.errors import Malformed

GROUPS_MAX, GROUP_VALUES_MAX = 6, 2_000
NUMBERS_MAX = 8
WEIGHT = 3
"""Examples' weight of the mean of all in that of a group."""
SKIPPED = 0.1
"""The first share of the examples is not scored: no rule knows anything then."""


Kind = Literal["number", "yes/no", "class"]
"""What a label is."""


class LabelledRow(NamedTuple):
    """A labelled record: when it was asked, when its label was known (seconds UTC), its fields."""

    asked: float
    known: float
    fields: Mapping[str, Any]
    label: Any


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, in words and as the features that make it: name → code. The last one is the rule."""

    words: str
    code: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A rule and its error: mean absolute error, or the share of wrong answers."""

    rule: Rule
    error: float


def ranked(examples: Sequence[LabelledRow], label: str) -> list[Ranked]:
    """Return the rules by their error on these examples, the best first."""
    if not examples:
        return []
    kind = _kind(examples)
    rules = _rules(examples, label, kind)
    errors = [Ranked(rule, error_of(rule, examples, label, kind)) for rule in rules]
    return sorted(errors, key=lambda one: one.error)


def _kind(examples: Sequence[LabelledRow]) -> Kind:
    if all(_is_number(example.label) for example in examples):
        return "number"
    return "yes/no" if all(type(one.label) is bool for one in examples) else "class"


def error_of(rule: Rule, examples: Sequence[LabelledRow], label: str, kind: Kind) -> float:
    """Return a rule's error, each example answered before its label is known."""
    featurizer, name = _featurizer(rule), list(rule.code)[-1]
    waiting: list[tuple[float, int, Any, Any, Any]] = []
    first, total, scored = int(SKIPPED * len(examples)), 0.0, 0
    for number, example in enumerate(sorted(examples, key=lambda one: one.asked)):
        while waiting and waiting[0][0] <= example.asked:
            _learn(featurizer, *heapq.heappop(waiting))
        event = _event(example)
        outcome = SimpleNamespace(**{label: example.label})
        try:
            x = featurizer.compute(event, example.asked)
        except Malformed:  # a value that this rule cannot take
            return float("inf")
        heapq.heappush(waiting, (example.known, number, event, outcome, x))
        if number >= first:
            answer = x.get(name)
            total, scored = total + _wrong(answer, example.label, kind), scored + 1
    return total / scored if scored else float("inf")


def _learn(
    featurizer: Featurizer, known: float, _number: int, event: Any, outcome: Any, x: Any
) -> None:
    featurizer.enter(featurizer.outcome_entries(event, outcome, x), known)


def _wrong(answer: Any, label: Any, kind: Kind) -> float:
    if kind == "class":
        return float(answer != label)
    number = answer if _is_number(answer) else 0.0
    return float((number > 0.5) != label) if kind == "yes/no" else float(abs(number - label))


def _event(example: LabelledRow) -> Any:
    time = datetime.fromtimestamp(example.asked, UTC)
    return SimpleNamespace(**{**example.fields, "event_time": time})


def _featurizer(rule: Rule) -> Featurizer:
    names_known = {
        "over_outcomes": over_outcomes, "days": days, "hours": hours, "minutes": minutes,
        "local_hour": local_hour, "weekday": weekday,
    }  # fmt: skip
    # The code is made below, of names that are plain ones, and of literals.
    return Featurizer({name: eval(code, names_known) for name, code in rule.code.items()})


def _rules(examples: Sequence[LabelledRow], label: str, kind: Kind) -> list[Rule]:
    numeric = kind != "class"
    span_s = max(one.asked for one in examples) - min(one.asked for one in examples)
    fade = f"days({max(1, round(span_s / 86_400 / 4))})"
    read = f"outcome.{label}" if is_field_name(label) else f"getattr(outcome, {label!r})"
    value = f"lambda event, outcome, features: {read}"
    empty = repr(_middle(examples, numeric=numeric))
    every = _aggregate("()", fade, value, f"empty={empty}", numeric=numeric)
    statistic = "mean" if numeric else "most frequent value"
    rules = [Rule(f"the {statistic} so far", {"rule": every})]
    latest = f"over_outcomes(by={{}}).latest({value}, empty={empty})"
    rules.append(Rule("the last value", {"rule": latest.format("()")}))
    prior = f'prior="rule_overall", weight={WEIGHT}' if numeric else f"empty={empty}"
    above = {"rule_overall": every} if numeric else {}
    groups: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
        ("the hour of the day", ("rule_hour",), {"rule_hour": 'local_hour(zone="UTC")'}),
        ("the hour of the week", ("rule_weekday", "rule_hour"),
         {"rule_hour": 'local_hour(zone="UTC")', "rule_weekday": 'weekday(zone="UTC")'}),
    ]  # fmt: skip
    fields = _group_fields(examples)
    groups += [(name, (name,), {}) for name in fields]
    groups += [(f"{name}, by the hour of the day", (name, "rule_hour"),
                {"rule_hour": 'local_hour(zone="UTC")'}) for name in fields]  # fmt: skip
    for words, by, needed in groups:
        key = repr(by if len(by) > 1 else by[0])
        mean = _aggregate(key, fade, value, prior, numeric=numeric)
        rules.append(Rule(f"the {statistic} by {words}", {**needed, **above, "rule": mean}))
    rules += [
        Rule(f"the last value of {name}", {"rule": latest.format(repr(name))}) for name in fields
    ]
    return rules + [
        Rule(f"the field {name} as it is", {"rule": f"lambda e: e.{name}"})
        for name in (_number_fields(examples) if kind == "number" else ())
    ]


def _aggregate(by: str, fade: str, value: str, more: str, *, numeric: bool) -> str:
    method = "mean" if numeric else "top"
    return f"over_outcomes(by={by}, half_life={fade}).{method}({value}, {more})"


def _middle(examples: Sequence[LabelledRow], *, numeric: bool) -> Any:
    """Return what is answered while nothing is known, from the first examples."""
    first = [one.label for one in examples[: max(1, int(SKIPPED * len(examples)))]]
    if not numeric:
        return Counter(first).most_common(1)[0][0]
    return float(f"{sum(first) / len(first):.3g}")


def _names(examples: Sequence[LabelledRow]) -> list[str]:
    names = dict.fromkeys(name for one in examples[:1_000] for name in one.fields)
    return [name for name in names if isinstance(name, str) and is_field_name(name)]


def _group_fields(examples: Sequence[LabelledRow]) -> list[str]:
    by_distinct: list[tuple[int, str]] = []
    for name in _names(examples):
        values = [one.fields.get(name) for one in examples]
        plain = all(type(value) in (str, int, bool) for value in values)
        distinct = len(set(values)) if plain else 0
        if 2 <= distinct <= min(GROUP_VALUES_MAX, len(values) / 3):
            by_distinct.append((distinct, name))
    # Text first; then what has fewer values.
    text = [name for _, name in sorted(by_distinct) if type(examples[0].fields.get(name)) is str]
    rest = [name for _, name in sorted(by_distinct) if name not in text]
    return (text + rest)[:GROUPS_MAX]


def _number_fields(examples: Sequence[LabelledRow]) -> list[str]:
    return [
        name
        for name in _names(examples)
        if all(_is_number(one.fields.get(name)) for one in examples)
    ][:NUMBERS_MAX]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def joined(
    rows: Iterable[Mapping[str, Any]], label: str, time: str, times: Any
) -> list[LabelledRow]:
    """Return labelled examples of rows that hold both; `times` reads a time as seconds.

    The label counts as known at `outcome_time`, or right after the row where there is none.
    """
    examples = []
    for row in rows:
        asked, value = times(row.get(time)), row.get(label)
        if asked is None or value is None:
            continue
        known = times(row.get("outcome_time"))
        fields = {n: v for n, v in row.items() if n not in (label, "outcome_time", "event_id")}
        examples.append(LabelledRow(asked, asked if known is None else known, fields, value))
    return examples
