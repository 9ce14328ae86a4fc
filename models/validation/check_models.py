"""What is answered and learnt: label, models, champion, baseline, metric, limits, KPI."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from river import base

from models.serving.river_models import final, shared_parts
from models.spec.default_outcome import OWN, field_of
from models.spec.problem_types import DECLARABLE, KINDS, is_metric
from models.spec.use_case import UseCase
from models.training.model_structure import draws_when_asked
from models.validation.findings import Findings, call, is_number, nearest, takes
from models.values.numbers import AMOUNT_MAX
from schemas.errors import AUTHORS_FAULTS

RESERVED = ("served", "baseline", "pooled", "holdout")
"""Names that metrics and predictions use for something else than a declared model."""

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_WANTED: dict[str, tuple[type, str]] = {
    "regression": (base.Regressor, "a regressor"),
    "binary": (base.Classifier, "a classifier"),
    "multiclass": (base.Classifier, "a classifier"),
}


def check_functions(use_case: UseCase, findings: Findings) -> None:
    """Report a label, baseline, weight or recorded that does not take its arguments."""
    wanted: dict[str, tuple[str, ...]] = {
        "label": ("event", "outcome"),
        "weight": ("event", "outcome"),
        "plausible": ("event", "outcome"),
        "recorded": (),
    }
    for field, arguments in wanted.items():
        function = getattr(use_case, field)
        if not callable(function) or not findings.sound(field):
            continue
        fault = takes(function, *arguments)
        if fault is not None:
            given = f"({', '.join(arguments)})"
            findings.add(
                (field,), f"{field} {fault}, but is given {given}.", call(field, *arguments)
            )
    _check_baseline(use_case, findings)


def _check_baseline(use_case: UseCase, findings: Findings) -> None:
    """Report a baseline that takes neither (event) nor (event, features)."""
    baseline = use_case.baseline
    if not callable(baseline) or not findings.sound("baseline"):
        return
    fault = takes(baseline, "event") and takes(baseline, "event", "features")
    if fault is not None:
        findings.add(
            ("baseline",),
            f"baseline {fault}, but is given (event) or (event, features).",
            call("baseline", "event", "features"),
        )


def check_kind(use_case: UseCase, findings: Findings) -> None:
    """Report a kind, metric and target that do not fit together."""
    kind, metric = use_case.kind, use_case.metric
    if kind not in KINDS:
        findings.unsound.add("kind")
        findings.add(("kind",), f"kind {kind!r} is not known.", nearest(kind, KINDS))
        return
    if findings.sound("metric") and not is_metric(kind, metric):
        findings.unsound.add("metric")
        findings.add(
            ("metric",),
            f"metric {metric!r} cannot be told of a {kind} use case.",
            f"Choose one of: {', '.join(DECLARABLE[kind])}.",
        )
    if use_case.target not in ("label", "label - baseline"):
        findings.add(
            ("target",),
            f"target {use_case.target!r} is not known.",
            'Give "label", or "label - baseline" to learn the correction to the baseline.',
        )
    elif use_case.target != "label" and kind != "regression":
        findings.add(
            ("target",),
            f"a {kind} label minus a baseline is not a label.",
            'Write target="label".',
        )


def check_range(use_case: UseCase, findings: Findings) -> None:
    """Report limits, interval, threshold and default label that cannot be."""
    kind, limits = use_case.kind, use_case.limits
    _check_by_model(use_case, findings)
    if limits is not None and findings.sound("limits", "kind"):
        pairs = limits.values() if isinstance(limits, Mapping) else (limits,)
        if kind != "regression":
            findings.add(
                ("limits",),
                f"a {kind} answer has no limits; its probabilities are from 0 to 1.",
                "Remove limits.",
            )
        elif any(least >= most for least, most in pairs):
            findings.add(("limits",), f"limits {limits} are not in order.", "Write (least, most).")
    bounds = use_case.plausible
    if isinstance(bounds, tuple) and findings.sound("plausible", "kind"):
        if kind != "regression":
            findings.add(
                ("plausible",),
                f"a {kind} label has no bounds.",
                "Write `lambda event, outcome: ...`: True where the outcome can be believed.",
            )
        elif bounds[0] >= bounds[1]:
            findings.add(
                ("plausible",), f"plausible {bounds} is not in order.", "Write (least, most)."
            )
    interval = use_case.interval
    if interval is not None and findings.sound("interval") and not 0 < interval < 1:
        findings.add(
            ("interval",),
            f"interval {interval:g} is no share.",
            "Give the share of labels that is to lie within, such as 0.9, or None.",
        )
    _check_threshold(use_case, findings)
    if isinstance(use_case.label_on_timeout, Mapping) and findings.sound("outcome"):
        _check_default(use_case, findings)
    elif use_case.label_on_timeout is not None and findings.sound("kind"):
        try:
            KINDS[kind].label(use_case.label_on_timeout)
        except ValueError as error:
            findings.add(
                ("label_on_timeout",),
                f"label_on_timeout is the label of what gets no outcome, and {error}.",
                "Give such a label, or None: then nothing is learnt from it.",
            )


def _check_threshold(use_case: UseCase, findings: Findings) -> None:
    """Report a threshold that is no probability, or of what is no yes or no."""
    threshold = use_case.threshold
    if threshold is None or not findings.sound("kind"):
        return
    if use_case.kind != "binary":
        findings.add(
            ("threshold",),
            f"a {use_case.kind} use case has no threshold; it is of a yes or no.",
            "Remove threshold.",
        )
    elif threshold != "kpi" and not (is_number(threshold) and 0 < threshold < 1):
        findings.add(
            ("threshold",),
            f"threshold is {threshold!r}, which is no probability to decide at.",
            'Give a number between 0 and 1, or "kpi": the threshold that is best by the KPI.',
        )


def _check_default(use_case: UseCase, findings: Findings) -> None:
    """Report fields of the default outcome that its class does not have or take."""
    model = use_case.outcome
    for name, value in use_case.label_on_timeout.items():
        if name not in model.model_fields or name in OWN:
            reason = f"never sets {name!r}, which is not a field of {model.__name__} to set."
            known = [other for other in model.model_fields if other not in OWN]
            findings.add(("label_on_timeout",), reason, nearest(name, known))
            continue
        try:
            field_of(model, name, value)
        except ValueError as error:
            reason = f"never sets {name!r} to {value!r}, which {model.__name__} does not take."
            findings.add(("label_on_timeout",), reason, str(error).splitlines()[-1].strip())


def _check_by_model(use_case: UseCase, findings: Findings) -> None:
    """Report what is declared of models that there are not."""
    for field in ("limits", "warmup", "on_drift"):
        given = getattr(use_case, field)
        if not isinstance(given, Mapping) or not findings.sound(field, "models"):
            continue
        for name in given:
            if name not in use_case.models:
                findings.add(
                    (field, str(name)),
                    f"{field} names the model {name!r}, which there is not.",
                    nearest(name, use_case.models),
                )
    if use_case.breaker or not findings.sound("on_drift", "breaker", "models"):
        return
    if "fallback" in map(use_case.action_of, use_case.models):
        findings.add(
            ("on_drift",),
            "on_drift falls back to the baseline; the way back is the breaker's, which is off.",
            "Write breaker=True, or choose another action.",
        )


def check_kpi(use_case: UseCase, findings: Findings) -> None:
    """Report a KPI without a cost, unit, direction or bounds."""
    if not findings.sound("kpi"):
        return
    kpi = use_case.kpi
    arguments = ("event", "outcome", "prediction")
    fault = takes(kpi.cost, *arguments) if callable(kpi.cost) else "is no function"
    if fault is not None:
        findings.add(
            ("kpi", "cost"),
            f"the KPI's cost {fault}; it is given ({', '.join(arguments)}).",
            call("cost", *arguments),
        )
    if not isinstance(kpi.unit, str) or not kpi.unit.strip():
        findings.add(
            ("kpi", "unit"),
            "the KPI has no unit, so nobody can say what it is worth.",
            'Name it: unit="EUR".',
        )
    if kpi.better not in ("lower", "higher"):
        findings.add(
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
        findings.add(
            ("kpi", "range"),
            f"the KPI's range {kpi.range!r} does not bound it.",
            "Give (least, most) for one answer, both finite: statements about the KPI rest on it.",
        )
    elif max(map(abs, kpi.range)) > AMOUNT_MAX or kpi.range[1] - kpi.range[0] < 1 / AMOUNT_MAX:
        findings.add(
            ("kpi", "range"),
            f"the KPI's range {kpi.range!r} is beyond what can be counted with.",
            f"Give bounds within {AMOUNT_MAX:g}, in a unit in which they differ.",
        )


def check_models(use_case: UseCase, findings: Findings) -> None:
    """Report models without a usable name, of a wrong kind, or not made afresh by each call."""
    if not findings.sound("models"):
        return
    for name, make in use_case.models.items():
        _check_name(str(name), findings)
        _Model(use_case, findings, str(name)).check(make)
    if findings.sound("champion") and use_case.champion not in use_case.models:
        findings.add(
            ("champion",),
            f"champion {use_case.champion!r} is not one of the models.",
            nearest(use_case.champion, use_case.models),
        )


def _check_name(name: str, findings: Findings) -> None:
    if name in RESERVED:
        findings.add(
            ("models", name),
            f"{name!r} means something else in metrics and predictions.",
            f"Give the model another name than: {', '.join(RESERVED)}.",
        )
    elif not MODEL_NAME.fullmatch(name):
        findings.add(
            ("models", name),
            f"model {name!r} cannot be part of a version or a record's key.",
            "Use letters, digits, dots, dashes and underscores.",
        )


class _Model:
    """One model's factory."""

    def __init__(self, use_case: UseCase, findings: Findings, name: str) -> None:
        self._use_case = use_case
        self._findings = findings
        self._name = name

    def _add(self, reason: str, hint: str) -> None:
        self._findings.add(("models", self._name), f"model {self._name!r} {reason}", hint)

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
        except AUTHORS_FAULTS as error:  # whatever the author's function raises is a mistake in it
            self._add(f"cannot be made: {type(error).__name__}: {error}.", "Fix the function.")
            return
        self._made(first, second, make)

    def _made(self, first: Any, second: Any, make: Callable[[], Any]) -> None:
        if self._findings.sound("kind"):
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
        self._may_be_shared(first)
        if self._use_case.weight is not None and not _weighs(first):
            self._add(
                "does not learn with weights, and the use case declares them.",
                "Remove weight, or take an estimator whose learn_one has `w`.",
            )

    def _may_be_shared(self, model: Any) -> None:
        sound = self._findings.sound("learning", "partitions", "features")
        if not sound or not self._use_case.is_shared(self._use_case.partitions):
            return
        drawing = draws_when_asked(model)
        if drawing:
            self._add(
                f"has {', '.join(drawing)}, which changes when it is asked: the copies by which "
                "partitions answer would say something else than the model that learns.",
                'Declare learning="partition", or take another estimator.',
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
