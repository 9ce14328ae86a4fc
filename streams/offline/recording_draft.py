"""A use case drafted from recorded data: its fields, and the best simple rule as its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.validation.simple_rules import Ranked
from models.values.python_names import is_field_name
from schemas.errors import ConfigError
from streams.offline.use_case_draft import Draft

OWN = ("event_id", "event_time", "outcome_time")
TYPES = {"text": "str", "whole": "int", "decimal": "float", "yes/no": "bool", "time": "datetime"}
TITLE = """What will {label} be? Drafted by `riverrun new` from {source}: now make it yours.

    riverrun check FILE --source {source}
    riverrun backtest FILE --source {source}

Rows need event_id, event_time, and outcome_time: when the label became known.
"""


def recording_draft(
    name: str,
    report: Mapping[str, Any],
    best: Ranked,
    *,
    label: str,
    key: str | None,
    source: str,
) -> Draft:
    """Return the draft of a use case; `report` is a profile's. Raises `ConfigError`."""
    if not is_field_name(label):
        raise ConfigError(
            f"The label {label!r} cannot be the name of a field in a use case.",
            hint="Call that column otherwise in the recording: letters, digits and underscores.",
        )
    fields = report["fields"]
    kind = _kind(fields, label)
    columns = {n: f for n, f in fields.items() if n not in (*OWN, label)}
    types = {n: t for n, f in columns.items() if is_field_name(n) and (t := _type(f)) is not None}
    numbers = ", ".join(
        repr(n)
        for n, t in types.items()
        if t in ("int", "float", "bool") and n not in best.rule.code
    )
    rules = [f"{feature!r}: {text}," for feature, text in best.rule.code.items()]
    return Draft(
        name=name,
        title=TITLE.format(label=label, source=_in_docstring(source)),
        kind=kind,
        fields=_fields(types, sorted(columns.keys() - types.keys())),
        label=label,
        key=_key(report, types, key),
        features=[f"**Question.fields({numbers}),", *rules],
        baseline='features["rule"] > 0.5' if kind == "binary" else 'features["rule"]',
        labels=(fields[label]["least"], fields[label]["most"]) if kind == "regression" else None,
        horizon=str((report["delays"] or {}).get("horizon", "days(1)")),
        remarks=(
            f"The best simple rule on the recording is {best.rule.words} (error {best.error:.4g}):",
            "it is the baseline, and a feature.",
        ),
    )


def _in_docstring(text: str) -> str:
    return repr(text)[1:-1].replace('"', '\\"')


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


def _type(field: Mapping[str, Any]) -> str | None:
    types = set(field["types"])
    if types == {"whole", "decimal"}:
        types = {"decimal"}
    if len(types) != 1 or (known := TYPES.get(types.pop())) is None:
        return None
    return f"{known} | None = None" if field["missing"] else known


def _fields(types: Mapping[str, str], left: list[str]) -> list[str]:
    # Fields with a default come last, as people read them.
    ordered = sorted(types, key=lambda name: types[name].endswith("= None"))
    lines = [f"{name}: {types[name]}" for name in ordered]
    if left:
        lines.append(
            f"# Left out, since they have no plain type or name: {', '.join(map(repr, left))}."
        )
    return lines
