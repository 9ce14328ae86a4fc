"""The text of a use case that `riverrun new` drafts: one template, filled from either profile.

streams/offline/recording_draft.py fills it from a recording, streams/offline/foreign_draft.py from
the topics of others. What an error costs cannot be seen from data, so it is marked to be decided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import riverrun

LINE_MAX = 100
RIVER = ("compose", "linear_model", "naive_bayes", "optim", "preprocessing")
TEMPLATE = '''"""{title}"""

{datetime}from river import {river}

{riverrun}


class Question(Event):
    """What is known when it is asked. Remove what is not."""

{fields}


class Answer(Outcome):
    """What turned out to be true. Declare here what the label is made of."""

    {label}: {label_type}


{features}


def model():
    """Numbers to the same scale, then a model."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    return numbers | {model}


def cost(event, outcome, prediction):
    """What a wrong answer costs: put in your own, and its unit below."""
    return {cost}


{sources}{constant} = UseCase(
    name="{name}",
    owner="you@example.com",  # who is asked when it misbehaves
    event=Question,
    outcome=Answer,
    key="{key}",
    label=lambda event, outcome: outcome.{label},
    features=FEATURES,
    models={{"first": model}},
    champion="first",
    baseline=lambda event, features: {baseline},
    kind="{kind}",
    metric="{metric}",
    kpi=Kpi(cost, unit="{unit}", better="lower", range=(0, {worst:g})),
    horizon={horizon},  # how long an outcome is waited for
    limits={limits!r},
    interval={interval!r},
{sources_field})
'''


@dataclass(frozen=True, slots=True)
class DraftKind:
    """What a kind of question needs; `{label}` in the cost is the label's field."""

    label_type: str
    model: str
    cost: str = "float(prediction != outcome.{label})"
    metric: str = "accuracy"
    unit: str = "wrong answer"


KINDS = {
    "regression": DraftKind(
        "float",
        "linear_model.LinearRegression(optim.SGD(0.01))",
        cost="abs(prediction - outcome.{label})",
        metric="mae",
        unit="off",
    ),
    "binary": DraftKind("bool", "linear_model.LogisticRegression(optim.SGD(0.01))"),
    "multiclass": DraftKind("str", "naive_bayes.GaussianNB()"),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """The values that a profile fills the template with; code is as it stands in the file.

    `features` are entries of a dictionary, `sources` calls of `Source`, each with its comma.
    `labels` are the least and the largest label that were seen.
    """

    name: str
    title: str
    kind: str
    fields: Sequence[str]
    label: str
    key: str
    features: Sequence[str]
    baseline: str
    labels: tuple[float, float] | None = None
    horizon: str = "days(30)"
    metric: str | None = None
    remarks: Sequence[str] = ()
    sources: Sequence[str] = ()

    def text(self) -> str:
        """Return the text of the file."""
        kind = KINDS[self.kind]
        limits = _limits(*self.labels) if self.kind == "regression" and self.labels else None
        features = ["FEATURES = {", *_indented(self.features), "}"]
        sources = ["SOURCES = [", *_indented(self.sources), "]", "", ""]
        code = "\n".join([*features, *sources, self.horizon])
        return TEMPLATE.format(
            title=self.title,
            datetime="from datetime import datetime\n\n" if "datetime" in str(self.fields) else "",
            river=", ".join(
                each for each in RIVER if each in kind.model or each in ("compose", "preprocessing")
            ),
            riverrun=_import_of(code),
            fields="\n".join(_indented(self.fields)) or "    # None that every record has.",
            label=self.label,
            label_type=kind.label_type,
            features="\n".join([*(f"# {each}" for each in self.remarks), *features]),
            model=kind.model,
            cost=kind.cost.format(label=self.label),
            sources="\n".join(sources) + "\n" if self.sources else "",
            sources_field="    sources=SOURCES,\n" if self.sources else "",
            constant=self.name.upper(),
            name=self.name,
            key=self.key,
            baseline=self.baseline,
            kind=self.kind,
            metric=self.metric or kind.metric,
            unit=kind.unit,
            worst=1.0 if limits is None else limits[1] - limits[0],
            horizon=self.horizon,
            limits=limits,
            interval=0.9 if limits else None,
        )


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _import_of(code: str) -> str:
    """Return the import of what the template needs of riverrun, and of what the code calls."""
    called = {each for each in riverrun.__all__ if re.search(rf"\b{each}\(", code)}
    names = sorted({"Event", "Kpi", "Outcome", "UseCase", *called})
    line = f"from riverrun import {', '.join(names)}"
    if len(line) <= LINE_MAX:
        return line
    return "\n".join(["from riverrun import (", *(f"    {each}," for each in names), ")"])


def _limits(least: float, most: float) -> tuple[float, float]:
    span = (most - least) or 1.0
    return float(f"{least - span:.3g}"), float(f"{most + span:.3g}")
