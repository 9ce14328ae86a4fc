"""How it is judged: segments, slices, contest, promotion and targets; and all plain bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.declaration.finding import Findings, is_number, nearest, takes
from models.kinds import OF_KIND
from models.usecase import UseCase
from schemas.personal import personal_paths


def check_groups(use_case: UseCase, found: Findings) -> None:
    """Segments and slices are told by a field of the event or a function of it."""
    segments = use_case.segments
    if segments is not None and found.sound("segments"):
        _check_by(use_case, found, ("segments", "by"), "segments", segments.by)
        if not _whole(segments.limit):
            found.add(
                ("segments", "limit"),
                f"segments have limit={segments.limit!r}.",
                "Give at least 1: so many segments hold models of their own.",
            )
        for name in segments.models:
            if found.sound("models") and name not in use_case.models:
                found.add(
                    ("segments", "models"),
                    f"segments name the model {name!r}, which there is not.",
                    nearest(name, use_case.models),
                )
    if found.sound("slices"):
        for name, by in use_case.slices.items():
            _check_by(use_case, found, ("slices", str(name)), f"slice {name!r}", by)
            if not isinstance(name, str) or not name or set(name) & set("=|"):
                found.add(
                    ("slices", str(name)),
                    f"slice {name!r} has no usable name.",
                    "Use a word without = and |.",
                )


def _check_by(
    use_case: UseCase, found: Findings, place: tuple[str, ...], what: str, by: Any
) -> None:
    if isinstance(by, str):
        if found.sound("event") and (by,) in personal_paths(use_case.event):
            found.add(
                place,
                f"{by!r}, which tells {what} apart, is personal, and groups are in metrics' names.",
                "Group by something that many people share.",
            )
        if found.sound("event") and by not in use_case.event.model_fields:
            found.add(
                place,
                f"{what} are told by {by!r}, which is not a field of {use_case.event.__name__}."
                if what.endswith("s")
                else f"{what} is told by {by!r}, which is not a field of "
                f"{use_case.event.__name__}.",
                nearest(by, use_case.event.model_fields),
            )
        return
    fault = takes(by, "event") if callable(by) else "is neither a field nor a function"
    if fault is not None:
        found.add(
            place,
            f"what tells {what} apart {fault}.",
            "Name a field of the event, or write `lambda event: ...`.",
        )


def check_contest(use_case: UseCase, found: Findings) -> None:
    """Shares are shares, of models that exist, and no more than everything."""
    if not found.sound("contest"):
        return
    contest = use_case.contest
    for name in ("shadow", "holdout"):
        _check_share(found, ("contest", name), f"contest has {name}", getattr(contest, name))
    experiment = contest.experiment
    if experiment is not None and not isinstance(experiment, Mapping):
        found.add(
            ("contest", "experiment"),
            f"contest has experiment={experiment!r}.",
            'Give each model its share: {"trees": 0.1}.',
        )
        return
    shares = dict(experiment or {})
    for model, share in shares.items():
        place = ("contest", "experiment", str(model))
        _check_share(found, place, f"the experiment has {model}", share)
        if found.sound("models") and model not in use_case.models:
            found.add(
                place,
                f"the experiment names the model {model!r}, which there is not.",
                nearest(model, use_case.models),
            )
    total = sum(v for v in (*shares.values(), contest.holdout) if is_number(v))
    if total > 1 + 1e-9:
        found.add(
            ("contest", "experiment"),
            f"experiment and holdout take {total:g} of the events.",
            "Let them be 1 together at most; the champion answers the rest.",
        )
    if use_case.champion in shares:
        found.add(
            ("contest", "experiment"),
            f"the experiment names the champion {use_case.champion!r}.",
            "Leave it out: the champion answers what no challenger and no holdout does.",
        )
    if contest.unit is not None:
        _check_by(use_case, found, ("contest", "unit"), "the experiment's units", contest.unit)
    if not is_number(contest.alpha) or not 0 < contest.alpha < 1:
        found.add(
            ("contest", "alpha"),
            f"contest has alpha={contest.alpha!r}, which is no error budget.",
            "Give the chance of ever naming a false winner, between 0 and 1, such as 0.05.",
        )


def _check_share(found: Findings, place: tuple[str, ...], what: str, value: Any) -> None:
    if not is_number(value) or not 0 <= value <= 1:
        found.add(place, f"{what}={value!r}, which is no share.", "Give a number from 0 to 1.")


def check_promotion(use_case: UseCase, found: Findings) -> None:
    """Who decides, after how many examples, by what margin, and what guards it."""
    if not found.sound("promotion"):
        return
    rule = use_case.promotion
    if rule.mode not in ("manual", "automatic"):
        found.add(
            ("promotion", "mode"),
            f"promotion is {rule.mode!r}.",
            'Give "manual" (it recommends) or "automatic" (it acts).',
        )
    if not _whole(rule.after):
        found.add(
            ("promotion", "after"),
            f"promotion has after={rule.after!r}.",
            "Give the least number of examples to decide on.",
        )
    if not is_number(rule.margin) or rule.margin < 0:
        found.add(
            ("promotion", "margin"),
            f"promotion has margin={rule.margin!r}.",
            "Give the relative gain in KPI that is asked for, such as 0.02, or 0.",
        )
    if type(rule.wild) is not int or rule.wild < 1:
        found.add(
            ("promotion", "wild"),
            f"promotion has wild={rule.wild!r}.",
            "Give how many values that ran away retire a challenger, such as 3.",
        )
    kind = use_case.kind
    if rule.guard is not None and found.sound("kind") and rule.guard not in OF_KIND[kind]:
        found.add(
            ("promotion", "guard"),
            f"promotion is guarded by {rule.guard!r}, which a {kind} use case does not have.",
            f"Choose one of: {', '.join(OF_KIND[kind])}.",
        )


def check_targets(use_case: UseCase, found: Findings) -> None:
    """Targets are for what is measured: a metric of this kind, freshness, the KPI."""
    if not found.sound("targets", "kind"):
        return
    known = (*OF_KIND[use_case.kind], "freshness", "kpi")
    for name, value in use_case.targets.items():
        if name not in known:
            found.add(
                ("targets", str(name)),
                f"target {name!r} is not measured of a {use_case.kind} use case.",
                nearest(name, known),
            )
        elif not is_number(value) or (name == "freshness" and value <= 0):
            found.add(
                ("targets", name),
                f"target {name} is {value!r}.",
                "Give a finite number, in its "
                "own unit; freshness is a length, such as minutes(30).",
            )


def check_price(use_case: UseCase, found: Findings) -> None:
    """Prices are amounts, and nothing is paid for running it."""
    price = use_case.price
    if price is None or not found.sound("price"):
        return
    for name in ("per_cpu_hour", "per_day"):
        value = getattr(price, name)
        if not is_number(value) or value < 0:
            found.add(
                ("price", name),
                f"the price {name} is {value!r}.",
                f"Give an amount in the KPI's unit, {use_case.kpi.unit}: 0 or more.",
            )


def check_chosen(use_case: UseCase, found: Findings) -> None:
    """What is hidden from the models or watched for drift are features; and some are shown."""
    for field in ("hidden", "watch"):
        if not found.sound(field, "features"):
            continue
        for name in getattr(use_case, field) or ():
            if name not in use_case.features:
                found.add(
                    (field,),
                    f"{field} names {name!r}, which is no feature.",
                    nearest(name, use_case.features),
                )
    served = use_case.serve_features
    named = found.sound("serve_features", "features") and isinstance(served, str)
    if named and served not in use_case.features:
        found.add(
            ("serve_features",),
            f"serve_features names {served!r}, which is no feature.",
            nearest(served, use_case.features),
        )
    both = found.sound("hidden", "features") and use_case.features
    if both and set(use_case.features) <= set(use_case.hidden):
        found.add(("hidden",), "every feature is hidden from the models.", "Leave them one to see.")


_LEAST: Mapping[str, tuple[float, str]] = {
    "warmup": (0, "examples that a model learns before it may answer"),
    "partitions": (1, "partitions of each topic"),
    "explain": (0, "contributions that a prediction names"),
    "waiting_limit": (1, "predictions that may wait for their outcome"),
    "early_limit": (1, "outcomes that may wait for their event"),
    "jump_agree": (1, "records that must agree before time jumps ahead"),
}
_POSITIVE: Mapping[str, str] = {
    "horizon": "how long an outcome is waited for",
    "window": "the length of a metric's window",
    "max_jump": "how far ahead a record is believed at once",
}


def check_bounds(use_case: UseCase, found: Findings) -> None:
    """Counts and lengths that must be positive, and a memory that outlasts the horizon."""
    for field, (least, about) in _LEAST.items():
        given = getattr(use_case, field)
        for value in given.values() if isinstance(given, Mapping) else (given,):
            if found.sound(field) and value < least:
                found.add((field,), f"{field} is {value}.", f"It is the {about}: at least {least}.")
    for field, about in _POSITIVE.items():
        value = getattr(use_case, field)
        if found.sound(field) and value is not None and value <= 0:
            found.unsound.add(field)
            found.add(
                (field,), f"{field} is {value:g} s.", f"It is {about}: positive, say hours(24)."
            )
    memory = use_case.memory
    if memory is not None and found.sound("memory", "horizon") and memory < use_case.horizon:
        found.add(
            ("memory",),
            f"memory is {memory:g} s, less than the horizon of {use_case.horizon:g} s, so an id "
            "would be forgotten while its outcome is still waited for.",
            "Give at least the horizon, or leave it out: it is twice the horizon.",
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
