"""The alert rules: one table, one row for each rule.

A rule reads an `AlertContext` and yields observations by subject. `opens` False is the band between
opening and closing: enough to keep an alert open, not to open one. An observation must last
`after_s` before an alert opens, and be absent for `quiet_s` before it closes, so that alerts do not
flap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streams.monitor import conditions
from streams.monitor.alert_context import AlertContext, Observation, Severity


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule. `command`: arguments of `riverrun`, which may name `{use_case}` and `{subject}`."""

    name: str
    severity: Severity
    about: str
    command: str
    look: Callable[[AlertContext], Iterable[Observation]]
    after_s: float = 0.0
    quiet_s: float = 10.0


def rules(limits: Mapping[str, float]) -> tuple[AlertRule, ...]:
    """Return the table of rules with these limits."""
    return (
        AlertRule(
            "kpi-below-baseline",
            "alarm",
            "the served predictions cost more, or earn less, than the baseline's would",
            "metrics {use_case}",
            conditions.kpi,
        ),
        AlertRule(
            "target-missed",
            "warning",
            "a declared target is missed",
            "metrics {use_case}",
            conditions.target,
        ),
        AlertRule(
            "freshness",
            "warning",
            "the newest outcome learnt is older than its target",
            "status {use_case}",
            conditions.freshness,
        ),
        AlertRule(
            "labels-stopped",
            "alarm",
            "events arrive but outcomes do not",
            "tail {use_case}.outcomes",
            conditions.labels,
        ),
        AlertRule(
            "outcomes-late",
            "warning",
            "many outcomes arrive after their horizon and are not learnt",
            "delays {use_case}",
            conditions.late,
        ),
        AlertRule(
            "lag",
            "warning",
            "records wait to be read",
            "status {use_case}",
            conditions.lag,
            after_s=15.0,
        ),
        AlertRule(
            "dead-letters",
            "warning",
            "too many records cannot be used",
            "dead-letters list {use_case}",
            conditions.dead_letters,
        ),
        AlertRule(
            "drift",
            "warning",
            "a feature, the predictions or an error changed",
            "drift {use_case} --subject {subject}",
            conditions.drift,
        ),
        AlertRule(
            "safeguard",
            "warning",
            "a circuit breaker is open, too many values are withheld, or outcomes are quarantined",
            "history {use_case}",
            conditions.safeguard,
        ),
        AlertRule(
            "worker-gone",
            "alarm",
            "a partition has no worker",
            "worker {use_case}",
            conditions.unowned,
            after_s=limits["gone_s"],
        ),
        AlertRule(
            "learner-stopped",
            "alarm",
            "nobody learns, where one model learns from all partitions; answers go on",
            "status {use_case}",
            conditions.learner,
            after_s=limits["gone_s"],
        ),
        AlertRule(
            "snapshots-fail",
            "warning",
            "snapshots are not written to Redis or to the archive",
            "doctor",
            conditions.snapshots,
            after_s=limits["stuck_s"],
        ),
        AlertRule(
            "partition-halted",
            "alarm",
            "a partition is halted at a record on which `apply` fails",
            "status {use_case}",
            conditions.halted,
        ),
        AlertRule(
            "partition-stuck",
            "warning",
            "a partition does not become live",
            "status {use_case}",
            conditions.stuck,
            after_s=limits["stuck_s"],
        ),
        AlertRule(
            "webhook",
            "warning",
            "alerts do not reach the webhook",
            "alerts {use_case}",
            conditions.undelivered,
        ),
    )
