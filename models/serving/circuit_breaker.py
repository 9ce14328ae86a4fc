"""The circuit breaker of a partition: while it is open, the baseline is served.

It reads every labelled example, with what the champion and the baseline predicted; the rules and
what they promise are in `models.stats.breaker_rules`. The champion goes on learning and predicting
in shadow, which is how the way back is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import Kpi
from models.stats.breaker_rules import Breaker, Difference


class CircuitBreaker:
    """A breaker for predictions of any kind. Constant memory."""

    def __init__(self, kind: Kind, kpi: Kpi, *, on: bool) -> None:
        self._kind = kind
        self._on = on
        self._kpi = kpi
        self.breaker = Breaker(difference=self._difference())

    @property
    def fault(self) -> str | None:
        """The reason why the champion is not served; None while it may be."""
        if not self.breaker.open:
            return None
        return f"the breaker is open: {self.breaker.cause}"

    def observe(
        self,
        errors: Mapping[str, float],
        kpi: Mapping[str, float],
        model: str,
        label: Any,
        baseline: Predicted,
    ) -> bool:
        """Take one labelled example; return whether the breaker opened or closed.

        `errors` and `kpi` (amounts in its unit) are by name, the baseline's among them; without the
        model's where it was not asked. `kpi` lacks them where a default label has no KPI.
        """
        if not self._on or model not in errors:
            return False
        costs, loss = self._costs(kpi, model), errors["baseline"]
        if isinstance(baseline, tuple):  # a class
            return self.breaker.update_losses(costs, loss, baseline[0] == label)
        agrees = self.breaker.usual.agrees(baseline, label)
        return self.breaker.update_losses(costs, loss, agrees, baseline, label)

    def _costs(self, kpi: Mapping[str, float], model: str) -> tuple[float, float] | None:
        """Return the KPI of both as costs; None where one of them has none."""
        if model not in kpi or "baseline" not in kpi:
            return None
        sign = 1.0 if self._kpi.better == "lower" else -1.0
        return sign * kpi[model], sign * kpi["baseline"]

    def _difference(self) -> Difference:
        least, most = self._kpi.range
        return Difference(most - least)

    def adopt(self, breaker: Breaker, *, same_kpi: bool) -> None:
        """Go on with a breaker of an earlier definition; costs of another KPI are forgotten."""
        self.breaker = breaker
        if not same_kpi:
            breaker.difference = self._difference()
            if not breaker.open:
                breaker.worse.restart()

    def another(self) -> None:
        """Begin with another champion: what is usual of the baseline stays, all else restarts."""
        before = self.breaker
        self.breaker = Breaker(
            usual=before.usual, seen=before.seen, difference=before.difference.of_another()
        )
