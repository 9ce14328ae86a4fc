"""What raises an alert: one table, one row a rule.

A rule looks at a scene and says what it sees, each about a subject. `opens` False is the band
between opening and closing: enough to keep an alert open, not to open one. What is seen must last
`after_s` before an alert opens, and be gone `quiet_s` before it closes, so that nothing flaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streams.monitor import signs
from streams.monitor.scene import Scene, Seen, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `command` may name `{use_case}` and `{subject}`."""

    name: str
    severity: Severity
    about: str
    command: str
    look: Callable[[Scene], Iterable[Seen]]
    after_s: float = 0.0
    quiet_s: float = 10.0


def rules(limits: Mapping[str, float]) -> tuple[Rule, ...]:
    """The table."""
    return (
        Rule(
            "kpi-below-baseline",
            "alarm",
            "what is served costs more, or earns less, than the baseline would",
            "riverrun metrics {use_case}",
            signs.kpi,
        ),
        Rule(
            "target-missed",
            "warning",
            "a declared target is missed",
            "riverrun metrics {use_case}",
            signs.target,
        ),
        Rule(
            "freshness",
            "warning",
            "the newest outcome learnt is older than its target",
            "riverrun status {use_case}",
            signs.freshness,
        ),
        Rule(
            "labels-stopped",
            "alarm",
            "events come and outcomes do not",
            "riverrun tail {use_case}.outcomes",
            signs.labels,
        ),
        Rule(
            "lag",
            "warning",
            "records wait to be taken",
            "riverrun status {use_case}",
            signs.lag,
            after_s=15.0,
        ),
        Rule(
            "dead-letters",
            "warning",
            "too many records cannot be used",
            "riverrun dead-letters list {use_case}",
            signs.letters,
        ),
        Rule(
            "drift",
            "warning",
            "a feature, the predictions or an error changed",
            "riverrun drift {use_case} --subject {subject}",
            signs.drift,
        ),
        Rule(
            "safeguard",
            "warning",
            "a safeguard acted on a model or an outcome",
            "riverrun history {use_case}",
            signs.safeguard,
        ),
        Rule(
            "worker-gone",
            "alarm",
            "a partition has no worker",
            "riverrun worker {use_case}",
            signs.gone,
            after_s=limits["gone_s"],
        ),
        Rule(
            "partition-stuck",
            "warning",
            "a partition does not become live",
            "riverrun status {use_case}",
            signs.stuck,
            after_s=limits["stuck_s"],
        ),
    )
