"""What is answered and learnt: label, models, champion, baseline, metric, limits, KPI."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from river import base

from models.declaration.finding import Findings, call, is_number, nearest, takes
from models.estimators import final, shared_parts
from models.kinds import KINDS, OF_KIND
from models.usecase import UseCase

RESERVED = ("served", "baseline", "pooled", "holdout")
"""Names that metrics and predictions use for something else than a declared model."""

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_WANTED: dict[str, tuple[type, str]] = {
    "regression": (base.Regressor, "a regressor"),
    "binary": (base.Classifier, "a classifier"),
    "multiclass": (base.Classifier, "a classifier"),
}


def check_functions(use_case: UseCase, found: Findings) -> None:
    """Label, baseline, weight and recorded take what they are given."""
    wanted: dict[str, tuple[str, ...]] = {
        "label": ("event", "outcome"),
        "baseline": ("event",),
        "weight": ("event", "outcome"),
        "plausible": ("event", "outcome"),
        "recorded": (),
    }
    for field, arguments in wanted.items():
        function = getattr(use_case, field)
        if not callable(function) or not found.sound(field):
            continue
        fault = takes(function, *arguments)
        if fault is not None:
            given = f"({', '.join(arguments)})"
            found.add((field,), f"{field} {fault}, but is given {given}.", call(field, *arguments))


def check_kind(use_case: UseCase, found: Findings) -> None:
    """Kind, metric and what is learnt fit together."""
    kind, metric = use_case.kind, use_case.metric
    if kind not in KINDS:
        found.unsound.add("kind")
        found.add(("kind",), f"kind {kind!r} is not known.", nearest(kind, KINDS))
        return
    if found.sound("metric") and metric not in OF_KIND[kind]:
        found.unsound.add("metric")
        found.add(
            ("metric",),
            f"metric {metric!r} cannot be told of a {kind} use case.",
            f"Choose one of: {', '.join(OF_KIND[kind])}.",
        )
    if use_case.learns not in ("label", "label - baseline"):
        found.add(
            ("learns",),
            f"learns {use_case.learns!r} is not known.",
            'Give "label", or "label - baseline" to learn the correction to the baseline.',
        )
    elif use_case.learns != "label" and kind != "regression":
        found.add(
            ("learns",),
            f"a {kind} label minus a baseline is not a label.",
            'Write learns="label".',
        )


def check_range(use_case: UseCase, found: Findings) -> None:
    """Limits, interval and the label of what never gets an outcome."""
    kind, limits = use_case.kind, use_case.limits
    _check_by_model(use_case, found)
    if limits is not None and found.sound("limits", "kind"):
        pairs = limits.values() if isinstance(limits, Mapping) else (limits,)
        if kind != "regression":
            found.add(
                ("limits",),
                f"a {kind} answer has no limits; its probabilities are from 0 to 1.",
                "Remove limits.",
            )
        elif any(least >= most for least, most in pairs):
            found.add(("limits",), f"limits {limits} are not in order.", "Write (least, most).")
    bounds = use_case.plausible
    if isinstance(bounds, tuple) and found.sound("plausible", "kind"):
        if kind != "regression":
            found.add(
                ("plausible",),
                f"a {kind} label has no bounds.",
                "Write `lambda event, outcome: ...`: True where the outcome can be believed.",
            )
        elif bounds[0] >= bounds[1]:
            found.add(
                ("plausible",), f"plausible {bounds} is not in order.", "Write (least, most)."
            )
    interval = use_case.interval
    if interval is not None and found.sound("interval") and not 0 < interval < 1:
        found.add(
            ("interval",),
            f"interval {interval:g} is no share.",
            "Give the share of labels that is to lie within, such as 0.9, or None.",
        )
    if use_case.never is not None and found.sound("kind"):
        try:
            KINDS[kind].label(use_case.never)
        except ValueError as error:
            found.add(
                ("never",),
                f"never is the label of what gets no outcome, and {error}.",
                "Give such a label, or None: then nothing is learnt from it.",
            )


def _check_by_model(use_case: UseCase, found: Findings) -> None:
    """What is declared by model is declared of models that there are."""
    for field in ("limits", "warmup", "on_drift"):
        given = getattr(use_case, field)
        if not isinstance(given, Mapping) or not found.sound(field, "models"):
            continue
        for name in given:
            if name not in use_case.models:
                found.add(
                    (field, str(name)),
                    f"{field} names the model {name!r}, which there is not.",
                    nearest(name, use_case.models),
                )
    if use_case.breaker or not found.sound("on_drift", "breaker", "models"):
        return
    if "fallback" in map(use_case.action_of, use_case.models):
        found.add(
            ("on_drift",),
            "on_drift falls back to the baseline; the way back is the breaker's, which is off.",
            "Write breaker=True, or choose another action.",
        )


def check_kpi(use_case: UseCase, found: Findings) -> None:
    """An amount in a unit, with a direction and bounds."""
    if not found.sound("kpi"):
        return
    kpi = use_case.kpi
    arguments = ("event", "outcome", "said")
    fault = takes(kpi.cost, *arguments) if callable(kpi.cost) else "is no function"
    if fault is not None:
        found.add(
            ("kpi", "cost"),
            f"the KPI's cost {fault}; it is given ({', '.join(arguments)}).",
            call("cost", *arguments),
        )
    if not isinstance(kpi.unit, str) or not kpi.unit.strip():
        found.add(
            ("kpi", "unit"),
            "the KPI has no unit, so nobody can say what it is worth.",
            'Name it: unit="EUR".',
        )
    if kpi.better not in ("lower", "higher"):
        found.add(
            ("kpi", "better"),
            f"the KPI's better is {kpi.better!r}.",
            'Say which way is better: "lower" or "higher".',
        )
    if (
        not isinstance(kpi.range, tuple)
        or len(kpi.range) != 2
        or not all(is_number(bound) for bound in kpi.range)
        or kpi.range[0] >= kpi.range[1]
    ):
        found.add(
            ("kpi", "range"),
            f"the KPI's range {kpi.range!r} does not bound it.",
            "Give (least, most) for one answer, both finite: statements about the KPI rest on it.",
        )


def check_models(use_case: UseCase, found: Findings) -> None:
    """Each model has a usable name and is made anew, of the right kind, by each call."""
    if not found.sound("models"):
        return
    for name, make in use_case.models.items():
        _check_name(str(name), found)
        _Model(use_case, found, str(name)).check(make)
    if found.sound("champion") and use_case.champion not in use_case.models:
        found.add(
            ("champion",),
            f"champion {use_case.champion!r} is not one of the models.",
            nearest(use_case.champion, use_case.models),
        )


def _check_name(name: str, found: Findings) -> None:
    if name in RESERVED:
        found.add(
            ("models", name),
            f"{name!r} means something else in metrics and predictions.",
            f"Give the model another name than: {', '.join(RESERVED)}.",
        )
    elif not MODEL_NAME.fullmatch(name):
        found.add(
            ("models", name),
            f"model {name!r} cannot be part of a version or a record's key.",
            "Use letters, digits, dots, dashes and underscores.",
        )


class _Model:
    """One model's factory."""

    def __init__(self, use_case: UseCase, found: Findings, name: str) -> None:
        self._use_case = use_case
        self._found = found
        self._name = name

    def _add(self, reason: str, mend: str) -> None:
        self._found.add(("models", self._name), f"model {self._name!r} {reason}", mend)

    def check(self, make: Any) -> None:
        if not callable(make):
            self._add(
                f"is {_kind_name(make)} and not a function that makes one.",
                "Write `lambda: ...` before it: each partition and segment needs its own.",
            )
            return
        fault = takes(make)
        if fault is not None:
            self._add(f"{fault}; it is called with nothing.", "Let the function take nothing.")
            return
        try:
            first, second = make(), make()
        except Exception as error:  # whatever the author's function raises is a mistake in it
            self._add(f"cannot be made: {type(error).__name__}: {error}.", "Mend the function.")
            return
        self._made(first, second, make)

    def _made(self, first: Any, second: Any, make: Callable[[], Any]) -> None:
        if self._found.sound("kind"):
            self._kind(first)
        if first is second:
            self._add(
                "is the same object each time, so partitions and segments would share it.",
                "Make it inside the function.",
            )
            return
        shared = shared_parts(first, second)
        if shared:
            self._add(
                f"shares its {', '.join(shared)} with every other that is made.",
                "Make all of its parts inside the function.",
            )
        if self._use_case.weight is not None and not _weighs(first):
            self._add(
                "does not learn with weights, and the use case declares them.",
                "Remove weight, or take an estimator whose learn_one has `w`.",
            )

    def _kind(self, model: Any) -> None:
        kind = self._use_case.kind
        river_kind, words = _WANTED[kind]
        last = final(model)
        if not isinstance(last, river_kind):
            self._add(
                f"ends in {_kind_name(last)}; a {kind} use case needs {words}.",
                "End the pipeline in one, or correct kind.",
            )
        elif kind == "multiclass" and not getattr(last, "_multiclass", False):
            self._add(
                f"ends in {_kind_name(last)}, which knows two classes only.",
                "Wrap it: multiclass.OneVsRestClassifier(...).",
            )


def _weighs(model: Any) -> bool:
    try:
        return "w" in inspect.signature(final(model).learn_one).parameters
    except (AttributeError, TypeError, ValueError):
        return True


def _kind_name(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1] in "AEIOU" else f"a {name}"
