"""What is wrong in a use case: every mistake, each with its line, its reason and its mend.

`mistakes` reads the declaration and makes each model, and runs none of it on data. `running` then
runs it on its first recorded examples. Neither raises for what an author may have written.
"""

from __future__ import annotations

from models.declaration import answers, features, judging, naming
from models.declaration.finding import Findings
from models.declaration.lines import Lines
from models.declaration.trial import Trial, first, running, sample
from models.usecase import UseCase
from schemas.errors import Misdeclared

_CHECKS = (
    naming.check_shapes,
    naming.check_names,
    naming.check_key,
    naming.check_topics,
    answers.check_functions,
    answers.check_kind,
    answers.check_range,
    answers.check_kpi,
    answers.check_models,
    features.check_features,
    judging.check_groups,
    judging.check_contest,
    judging.check_promotion,
    judging.check_targets,
    judging.check_price,
    judging.check_chosen,
    judging.check_bounds,
)


def mistakes(use_case: UseCase, source: str | None = None) -> list[Misdeclared]:
    """Every mistake in the declaration, by line; `source` is the text of its file."""
    found = Findings(Lines(source))
    for check in _CHECKS:
        check(use_case, found)
    return found.in_order()


__all__ = ["Lines", "Trial", "first", "mistakes", "running", "sample"]
