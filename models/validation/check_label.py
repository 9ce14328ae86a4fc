"""A label that is folded of several outcomes: what it needs, and what does not go with it yet."""

from __future__ import annotations

from models.spec.label_fold import FOLDS, LabelFold
from models.spec.use_case import UseCase, fold_of
from models.validation.findings import Findings, is_number, nearest, takes
from models.values.durations import spoken

LIMIT_MAX = 10_000
"""Each outcome that comes is folded with all others of its event."""


def check_label(use_case: UseCase, findings: Findings) -> None:
    """Report a fold that cannot be made, or that does not fit the rest of the use case."""
    fold = fold_of(use_case)
    if fold is None or not findings.sound("label"):
        return
    _check_functions(fold, findings)
    _check_bounds(use_case, fold, findings)
    if findings.sound("outcome"):
        _check_id(use_case, fold, findings)


def _check_functions(fold: LabelFold, findings: Findings) -> None:
    how, value = fold.how, fold.value
    if callable(how):
        if fault := takes(how, "event", "outcomes"):
            reason = f"the label's fold {fault}, but is given (event, outcomes)."
            findings.add(("label", "how"), reason, "Write it as `def fold(event, outcomes): ...`.")
        return
    if how not in FOLDS:
        findings.add(("label", "how"), f"the label is folded by {how!r}.", nearest(how, FOLDS))
    if value is None:
        if how != "count":
            findings.add(
                ("label", "value"),
                f"the label is the {how} of nothing.",
                "Give what each outcome counts: `lambda event, outcome: outcome.amount`.",
            )
    elif fault := takes(value, "event", "outcome") if callable(value) else "is no function":
        reason = f"what the label's fold takes of an outcome {fault}."
        findings.add(("label", "value"), reason, "Write it as `lambda event, outcome: ...`.")


def _check_bounds(use_case: UseCase, fold: LabelFold, findings: Findings) -> None:
    until = fold.until
    if not is_number(until) or until <= 0:
        findings.add(
            ("label", "until"),
            f"the label's fold ends at until={until!r}.",
            "Give how long after its event the label counts as known, such as hours(24).",
        )
    elif findings.sound("horizon") and until > use_case.horizon:
        findings.add(
            ("label", "until"),
            f"the label's fold ends {spoken(until)} after the event, and the horizon "
            f"{spoken(use_case.horizon)} after it: nothing waits for longer.",
            "Raise the horizon; corrections are taken from `until` to it.",
        )
    if type(fold.limit) is not int or not 1 <= fold.limit <= LIMIT_MAX:
        findings.add(
            ("label", "limit"),
            f"an event may have limit={fold.limit!r} outcomes.",
            f"Give a whole number from 1 to {LIMIT_MAX:,}.",
        )


def _check_id(use_case: UseCase, fold: LabelFold, findings: Findings) -> None:
    fields = use_case.outcome.model_fields
    if fold.id not in fields:
        findings.add(
            ("label", "id"),
            f"outcomes of one event are distinguished by {fold.id!r}, which is not a field of "
            f"{use_case.outcome.__name__}.",
            f"Declare it there, `{fold.id}: str`, or name the field with `id=`.",
        )
    elif fold.id in ("event_id", "outcome_time"):
        findings.add(
            ("label", "id"),
            f"outcomes of one event are distinguished by {fold.id!r}.",
            "Use an id of their own: a correction has the same id and another time.",
        )
