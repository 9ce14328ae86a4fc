"""A use case drafted from recorded data: its fields, and the best simple rule as its baseline."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.validation.simple_rules import Ranked
from schemas.errors import ConfigError

OWN = ("event_id", "event_time", "outcome_time")
TYPES = {"text": "str", "whole": "int", "decimal": "float", "yes/no": "bool", "time": "datetime"}
IMPORTED = ("days", "local_hour", "over_outcomes", "weekday")
"""What the code of rules may need of `riverrun`."""

TEMPLATE = '''"""What will {label} be? Drafted by `riverrun new` from {source}: now make it yours.

    riverrun check FILE --source {source}
    riverrun backtest FILE --source {source}

Rows need event_id, event_time, and outcome_time: when the label became known.
"""

{datetime}from river import {river}

from riverrun import Event, Kpi, Outcome, UseCase, {riverrun}


class Question(Event):
    """What is known when it is asked. Remove what is not."""

{fields}


class Answer(Outcome):
    """What turned out."""

    {label}: {label_type}


# The best simple rule on the recording is {rule} (error {error:.4g}):
# it is the baseline, and a feature.
FEATURES = {{
    **Question.fields({numbers}),
{features}
}}


def model():
    """Numbers to the same scale, then a model."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    return numbers | {model}


def cost(event, outcome, prediction):
    """What a wrong answer costs: put in your own."""
    return {cost}


{constant} = UseCase(
    name={name!r},
    owner="you@example.com",
    event=Question,
    outcome=Answer,
    key={key!r},
    label=lambda event, outcome: outcome.{label},
    features=FEATURES,
    models={{"first": model}},
    champion="first",
    baseline=lambda event, features: {answer},
    kind={kind!r},
    metric={metric!r},
    kpi=Kpi(cost, unit={unit!r}, better="lower", range=(0, {worst:g})),
    horizon={horizon},
    limits={limits!r},
    interval={interval!r},
)
'''


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a kind of question needs; `{label}` in the cost is the label's field."""

    label_type: str
    model: str
    answer: str = 'features["rule"]'
    cost: str = "float(prediction != outcome.{label})"
    metric: str = "accuracy"
    unit: str = "wrong answer"
    interval: float | None = None


KINDS = {
    "regression": _Kind(
        "float",
        "linear_model.LinearRegression(optim.SGD(0.01))",
        cost="abs(prediction - outcome.{label})",
        metric="mae",
        unit="off",
        interval=0.9,
    ),
    "binary": _Kind("bool", "linear_model.LogisticRegression()", 'features["rule"] > 0.5'),
    "multiclass": _Kind("str", "naive_bayes.GaussianNB()"),
}


def drafted(
    name: str,
    report: Mapping[str, Any],
    best: Ranked,
    *,
    label: str,
    key: str | None,
    source: str,
) -> str:
    """Return the text of a use case file; `report` is a profile's. Raises `ConfigError`."""
    fields = report["fields"]
    kind_name = _kind(fields, label)
    kind = KINDS[kind_name]
    columns = {n: f for n, f in fields.items() if n not in (*OWN, label)}
    types = {n: t for n, f in columns.items() if _is_name(n) and (t := _type(f)) is not None}
    code, horizon = best.rule.code, str((report["delays"] or {}).get("horizon", "days(1)"))
    limits = _limits(fields[label]) if kind_name == "regression" else None
    used = {word for word in IMPORTED if any(word in text for text in code.values())}
    packages = {"compose", "preprocessing", kind.model.partition(".")[0]}
    return TEMPLATE.format(
        label=label,
        source=source,
        datetime="from datetime import datetime\n\n" if "datetime" in str(types) else "",
        river=", ".join(sorted(packages | ({"optim"} if "optim." in kind.model else set()))),
        riverrun=", ".join(sorted(used | {horizon.partition("(")[0]})),
        fields=_fields(types, sorted(columns.keys() - types.keys())),
        label_type=kind.label_type,
        rule=best.rule.words,
        error=best.error,
        numbers=", ".join(repr(n) for n, t in types.items() if t in ("int", "float", "bool")),
        features="\n".join(f"    {feature!r}: {text}," for feature, text in code.items()),
        model=kind.model,
        cost=kind.cost.format(label=label),
        constant=name.upper(),
        name=name,
        key=_key(report, types, key),
        answer=kind.answer,
        kind=kind_name,
        metric=kind.metric,
        unit=kind.unit,
        worst=1.0 if limits is None else limits[1] - limits[0],
        horizon=horizon,
        limits=limits,
        interval=kind.interval,
    )


def _kind(fields: Mapping[str, Any], label: str) -> str:
    types = set(fields[label]["types"])
    if types <= {"whole", "decimal"}:
        return "regression"
    return "binary" if types == {"yes/no"} else "multiclass"


def _key(report: Mapping[str, Any], types: Mapping[str, str], key: str | None) -> str:
    chosen = key or next((k["field"] for k in report["keys"] if k["field"] in types), None)
    if chosen is None or chosen not in types:
        raise ConfigError(
            f"{chosen!r} is no field that could be the Kafka key."
            if chosen
            else "No field could be the Kafka key: none is always there, with values that come "
            "more than once.",
            hint="Name one: --key FIELD.",
        )
    return chosen


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _type(field: Mapping[str, Any]) -> str | None:
    types = set(field["types"])
    if types == {"whole", "decimal"}:
        types = {"decimal"}
    if len(types) != 1 or (known := TYPES.get(types.pop())) is None:
        return None
    return f"{known} | None = None" if field["missing"] else known


def _fields(types: Mapping[str, str], left: list[str]) -> str:
    # Fields with a default come last, as people read them.
    ordered = sorted(types, key=lambda name: types[name].endswith("= None"))
    lines = [f"    {name}: {types[name]}" for name in ordered]
    if left:
        lines.append(f"    # Left out, since they have no plain type or name: {', '.join(left)}.")
    return "\n".join(lines)


def _limits(field: Mapping[str, Any]) -> tuple[float, float]:
    least, most = float(field["least"]), float(field["most"])
    span = (most - least) or 1.0
    return float(f"{least - span:.3g}"), float(f"{most + span:.3g}")
