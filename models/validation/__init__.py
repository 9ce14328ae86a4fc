"""Finds every mistake in a use case, each with its line, its reason and a hint.

`mistakes` reads the declaration and makes each model, and runs none of it on data. `running` then
runs it on its first recorded examples. Neither raises for what an author may have written.
"""

from __future__ import annotations

from models.spec.use_case import UseCase
from models.validation import (
    check_evaluation,
    check_features,
    check_label,
    check_models,
    check_names,
    check_sources,
)
from models.validation.findings import Findings
from models.validation.source_lines import Lines
from models.validation.trial_run import Trial, first, running, sample
from schemas.errors import ConfigError

_CHECKS = (
    check_names.check_shapes,
    check_names.check_names,
    check_names.check_key,
    check_names.check_topics,
    check_sources.check_sources,
    check_sources.check_prediction_format,
    check_models.check_functions,
    check_label.check_label,
    check_models.check_kind,
    check_models.check_range,
    check_models.check_kpi,
    check_models.check_models,
    check_features.check_features,
    check_evaluation.check_groups,
    check_evaluation.check_contest,
    check_evaluation.check_promotion,
    check_evaluation.check_targets,
    check_evaluation.check_price,
    check_evaluation.check_chosen,
    check_evaluation.check_freshness,
    check_evaluation.check_bounds,
)


def mistakes(use_case: UseCase, source: str | None = None) -> list[ConfigError]:
    """Return every mistake in the declaration, by line; `source` is the text of its file."""
    findings = Findings(Lines(source))
    for check in _CHECKS:
        check(use_case, findings)
    return findings.in_order()


__all__ = ["Lines", "Trial", "first", "mistakes", "running", "sample"]
