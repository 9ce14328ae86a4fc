"""All predictions of one event, until its label is known."""

from __future__ import annotations

from typing import Any, NamedTuple

from models.spec.experiment_arms import Drawn


class IssuedPredictions(NamedTuple):
    """The predictions of one event, with all that is needed to score them once its label is known.

    `pooled`: of the global models in their order; `own`: segment model → prediction. `by` says who
    was served, and `region` is the interval or set. `paired`: every model was asked; `drawn`:
    the arm of an experiment. `limits` are those of then, by the labels seen; so are `labels`.
    """

    baseline: Any
    pooled: tuple[Any, ...]
    own: dict[str, Any]
    served: Any
    by: str
    region: Any
    paired: bool
    drawn: Drawn | None
    limits: tuple[float, float] | None
    labels: int | None
