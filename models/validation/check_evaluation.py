"""How it is judged: segments, slices, contest, promotion and targets; and all plain bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from models.spec.problem_types import DECLARABLE, is_metric
from models.spec.use_case import MissingOutcomes, UseCase
from models.validation.findings import Findings, is_number, nearest, takes
from models.values.durations import LONGEST_S, SHORTEST_S
from schemas.personal_data import personal_paths


def check_groups(use_case: UseCase, findings: Findings) -> None:
    """Report segments and slices that are told by no field of the event and no function of it."""
    segments = use_case.segments
    if segments is not None and findings.sound("segments"):
        _check_by(use_case, findings, ("segments", "by"), "segments", segments.by)
        if not _whole(segments.limit):
            findings.add(
                ("segments", "limit"),
                f"segments have limit={segments.limit!r}.",
                "Give at least 1: so many segments hold models of their own.",
            )
        for name in segments.models:
            if findings.sound("models") and name not in use_case.models:
                findings.add(
                    ("segments", "models"),
                    f"segments name the model {name!r}, which there is not.",
                    nearest(name, use_case.models),
                )
    if findings.sound("slices"):
        for name, by in use_case.slices.items():
            _check_by(use_case, findings, ("slices", str(name)), f"slice {name!r}", by)
            if not isinstance(name, str) or not name or set(name) & set("=|"):
                findings.add(
                    ("slices", str(name)),
                    f"slice {name!r} has no usable name.",
                    "Use a word without = and |.",
                )


def _check_by(
    use_case: UseCase, findings: Findings, location: tuple[str, ...], field: str, by: Any
) -> None:
    if isinstance(by, str):
        if findings.sound("event") and (by,) in personal_paths(use_case.event):
            findings.add(
                location,
                f"{by!r}, which tells {field} apart, is personal, and metrics name their groups.",
                "Group by something that many people share.",
            )
        if findings.sound("event") and by not in use_case.event.model_fields:
            findings.add(
                location,
                f"{field} are told by {by!r}, which is not a field of {use_case.event.__name__}."
                if field.endswith("s")
                else f"{field} is told by {by!r}, which is not a field of "
                f"{use_case.event.__name__}.",
                nearest(by, use_case.event.model_fields),
            )
        return
    fault = takes(by, "event") if callable(by) else "is neither a field nor a function"
    if fault is not None:
        findings.add(
            location,
            f"what tells {field} apart {fault}.",
            "Name a field of the event, or write `lambda event: ...`.",
        )


def check_contest(use_case: UseCase, findings: Findings) -> None:
    """Report shares that are none, of models that do not exist, or of more than everything."""
    if not findings.sound("contest"):
        return
    contest = use_case.contest
    for name in ("shadow", "holdout"):
        _check_share(findings, ("contest", name), f"contest has {name}", getattr(contest, name))
    experiment = contest.experiment
    if experiment is not None and not isinstance(experiment, Mapping):
        findings.add(
            ("contest", "experiment"),
            f"contest has experiment={experiment!r}.",
            'Give each model its share: {"trees": 0.1}.',
        )
        return
    shares = dict(experiment or {})
    for model, share in shares.items():
        location = ("contest", "experiment", str(model))
        _check_share(findings, location, f"the experiment has {model}", share)
        if findings.sound("models") and model not in use_case.models:
            findings.add(
                location,
                f"the experiment names the model {model!r}, which there is not.",
                nearest(model, use_case.models),
            )
    total = sum(v for v in (*shares.values(), contest.holdout) if is_number(v))
    if total > 1 + 1e-9:
        findings.add(
            ("contest", "experiment"),
            f"experiment and holdout take {total:g} of the events.",
            "Let them be 1 together at most; the champion answers the rest.",
        )
    if use_case.champion in shares:
        findings.add(
            ("contest", "experiment"),
            f"the experiment names the champion {use_case.champion!r}.",
            "Leave it out: the champion answers what no challenger and no holdout does.",
        )
    if contest.unit is not None:
        _check_by(use_case, findings, ("contest", "unit"), "the experiment's units", contest.unit)
    assumptions = get_args(MissingOutcomes)
    if contest.missing not in assumptions:
        findings.add(
            ("contest", "missing"),
            f"contest has missing={contest.missing!r}, which is no assumption about outcomes that "
            "never come.",
            f"Choose one of {', '.join(map(repr, assumptions))}.",
        )
    if not isinstance(contest.rare_losses, int) or contest.rare_losses < 1:
        findings.add(
            ("contest", "rare_losses"),
            f"contest has rare_losses={contest.rare_losses!r}, which is no number of blocks.",
            "Give how many blocks a loss that matters may be apart, such as 5; 40 if one in 40 "
            "days would undo a gain, and rules wait for 280.",
        )
    if not is_number(contest.alpha) or not 0 < contest.alpha < 1:
        findings.add(
            ("contest", "alpha"),
            f"contest has alpha={contest.alpha!r}, which is no error budget.",
            "Give the chance of ever naming a false winner, between 0 and 1, such as 0.05.",
        )


def _check_share(findings: Findings, location: tuple[str, ...], field: str, value: Any) -> None:
    if not is_number(value) or not 0 <= value <= 1:
        findings.add(
            location, f"{field}={value!r}, which is no share.", "Give a number from 0 to 1."
        )


def check_promotion(use_case: UseCase, findings: Findings) -> None:
    """Report a promotion whose mode, number of examples, margin or guard cannot be."""
    if not findings.sound("promotion"):
        return
    rule = use_case.promotion
    if rule.mode not in ("manual", "automatic"):
        findings.add(
            ("promotion", "mode"),
            f"promotion is {rule.mode!r}.",
            'Give "manual" (it recommends) or "automatic" (it acts).',
        )
    if not _whole(rule.after):
        findings.add(
            ("promotion", "after"),
            f"promotion has after={rule.after!r}.",
            "Give the least number of examples to decide on.",
        )
    if not is_number(rule.margin) or rule.margin < 0:
        findings.add(
            ("promotion", "margin"),
            f"promotion has margin={rule.margin!r}.",
            "Give the relative gain in KPI that is asked for, such as 0.02, or 0.",
        )
    if type(rule.max_diverged) is not int or rule.max_diverged < 1:
        findings.add(
            ("promotion", "max_diverged"),
            f"promotion has max_diverged={rule.max_diverged!r}.",
            "Give how many values that ran away retire a challenger, such as 3.",
        )
    kind = use_case.kind
    if rule.guard is not None and findings.sound("kind") and not is_metric(kind, rule.guard):
        findings.add(
            ("promotion", "guard"),
            f"promotion is guarded by {rule.guard!r}, which a {kind} use case does not have.",
            f"Choose one of: {', '.join(DECLARABLE[kind])}.",
        )


def check_targets(use_case: UseCase, findings: Findings) -> None:
    """Report targets of what is not measured, and those that are no numbers."""
    if not findings.sound("targets", "kind"):
        return
    known = (*DECLARABLE[use_case.kind], "freshness", "kpi")
    for name, value in use_case.targets.items():
        if name not in ("freshness", "kpi") and not is_metric(use_case.kind, name):
            findings.add(
                ("targets", str(name)),
                f"target {name!r} is not measured of a {use_case.kind} use case.",
                nearest(name, known),
            )
        elif not is_number(value) or (name == "freshness" and value <= 0):
            findings.add(
                ("targets", name),
                f"target {name} is {value!r}.",
                "Give a finite number, in its "
                "own unit; freshness is a length, such as minutes(30).",
            )


def check_price(use_case: UseCase, findings: Findings) -> None:
    """Report prices that are no amounts, or below 0."""
    price = use_case.price
    if price is None or not findings.sound("price"):
        return
    for name in ("per_cpu_hour", "per_day"):
        value = getattr(price, name)
        if not is_number(value) or value < 0:
            findings.add(
                ("price", name),
                f"the price {name} is {value!r}.",
                f"Give an amount in the KPI's unit, {use_case.kpi.unit}: 0 or more.",
            )


def check_chosen(use_case: UseCase, findings: Findings) -> None:
    """Report internal, watched and served features that there are not, and models that see none."""
    for field in ("internal_features", "drift_features"):
        if not findings.sound(field, "features"):
            continue
        for name in getattr(use_case, field) or ():
            if name not in use_case.features:
                findings.add(
                    (field,),
                    f"{field} names {name!r}, which is no feature.",
                    nearest(name, use_case.features),
                )
    served = use_case.serve_features
    named = findings.sound("serve_features", "features") and isinstance(served, str)
    if named and served not in use_case.features:
        findings.add(
            ("serve_features",),
            f"serve_features names {served!r}, which is no feature.",
            nearest(served, use_case.features),
        )
    both = findings.sound("internal_features", "features") and use_case.features
    if both and set(use_case.features) <= set(use_case.internal_features):
        findings.add(("internal_features",), "every feature is internal.", "Leave them one to see.")


_LEAST: Mapping[str, tuple[float, str]] = {
    "warmup": (0, "examples that a model learns before it may answer"),
    "partitions": (1, "partitions of each topic"),
    "contributions": (0, "contributions that a prediction names"),
    "waiting_limit": (1, "predictions that may wait for their outcome"),
    "waiting_bytes": (1_000, "bytes of the events that may wait for their outcome"),
    "early_limit": (1, "outcomes that may wait for their event"),
    "early_bytes": (1_000, "bytes of the outcomes that may wait for their event"),
    "confirm_jump_after": (1, "records that must agree before time jumps ahead"),
    "skip_after": (0, "failures after which a record is set aside, 0 for never"),
}
PARTITIONS_MAX = 100_000
"""More than any Kafka cluster holds."""
_POSITIVE: Mapping[str, str] = {
    "horizon": "how long an outcome is waited for",
    "window": "the length of a metric's window",
    "max_jump": "how far ahead a record is believed at once",
}


def check_freshness(use_case: UseCase, findings: Findings) -> None:
    """Report bounds of staleness that are no positive numbers."""
    if not findings.sound("freshness"):
        return
    for field in ("share", "examples", "event_time", "numbers"):
        value = getattr(use_case.freshness, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            findings.add(
                ("freshness", field),
                f"freshness has {field}={value!r}.",
                "Give a number above 0; math.inf where it bounds nothing.",
            )
    pause = use_case.freshness.pause
    if not is_number(pause) or pause < 0:
        findings.add(
            ("freshness", "pause"),
            f"freshness has pause={pause!r}.",
            "Give seconds of event time between two versions, such as 0.5; 0 for none.",
        )


def check_bounds(use_case: UseCase, findings: Findings) -> None:
    """Report counts and lengths below their least, and ids that are forgotten too early."""
    for field, (least, about) in _LEAST.items():
        given = getattr(use_case, field)
        for value in given.values() if isinstance(given, Mapping) else (given,):
            if findings.sound(field) and value < least:
                findings.add(
                    (field,), f"{field} is {value}.", f"It is the {about}: at least {least}."
                )
    if findings.sound("partitions") and use_case.partitions > PARTITIONS_MAX:
        findings.add(
            ("partitions",),
            f"partitions is {use_case.partitions}.",
            f"It is the partitions of each topic: at most {PARTITIONS_MAX:,}.",
        )
    for field, about in _POSITIVE.items():
        value = getattr(use_case, field)
        if findings.sound(field) and value is not None and value <= 0:
            findings.unsound.add(field)
            findings.add(
                (field,), f"{field} is {value:g} s.", f"It is {about}: positive, say hours(24)."
            )
        elif findings.sound(field) and value is not None:
            _check_length(findings, field, value)
    memory = use_case.id_retention
    if memory is not None and findings.sound("id_retention"):
        _check_length(findings, "id_retention", memory)
    if (
        memory is not None
        and findings.sound("id_retention", "horizon")
        and memory < use_case.horizon
    ):
        findings.add(
            ("id_retention",),
            f"id_retention is {memory:g} s, less than the horizon of {use_case.horizon:g} s, so an "
            "id would be forgotten while its outcome is still waited for.",
            "Give at least the horizon, or leave it out: it is twice the horizon.",
        )


def _check_length(findings: Findings, field: str, value: float) -> None:
    if not SHORTEST_S <= value <= LONGEST_S:
        findings.add(
            (field,),
            f"{field} is {value:g} s.",
            f"Give {SHORTEST_S:g} s to {LONGEST_S:g} s, which is more than the years that a time "
            "may lie in.",
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
