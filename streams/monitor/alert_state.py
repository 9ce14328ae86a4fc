"""Alerts as a state machine: each opens once and closes by itself. It has no clock and no server.

Which alerts are open is known from the `alerts` topic, so a restarted monitor continues with them.
An alert's id is its use case, rule, subject and number, counted from the previous ones: two
monitors that see the same open the same alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from schemas.command_line import command_line
from schemas.records import Alert
from streams.monitor.alert_context import AlertContext, Observation
from streams.monitor.rules import AlertRule
from streams.monitor.store.view_models import AlertRow

SubjectKey = tuple[str, str]
"""(rule, subject)."""

SUBJECTS_MAX = 50
"""Most subjects of one rule with an open alert at the same time, the first by name."""

TEXT_MAX = 500


class AlertState:
    """The alerts of one use case. Memory: two times a subject.

    step: a context → records to publish, which then count as published. `argument` is the name of
    the use case on the command line; without it, its own name.
    """

    def __init__(
        self,
        use_case: str,
        rules: Sequence[AlertRule],
        prefix: str = "",
        argument: str | None = None,
    ) -> None:
        self._use_case = use_case
        self._argument = argument or use_case
        self._prefix = prefix
        self._rules = rules
        self._seen_since: dict[SubjectKey, float] = {}
        self._unseen_since: dict[SubjectKey, float] = {}
        self._published: dict[SubjectKey, Alert] = {}

    def step(self, context: AlertContext, known: Iterable[AlertRow]) -> list[Alert]:
        """Return the alerts that open and close now.

        `known` are the alerts on the topic, in any order.
        """
        number, opened = self._newest_alerts(known)
        now_s, alerts = context.now_s, []
        for rule in self._rules:
            seen = {s.subject: s for s in sorted(rule.look(context))[:SUBJECTS_MAX]}
            for subject, observation in seen.items():
                key = rule.name, subject
                self._unseen_since.pop(key, None)
                if key in opened:
                    continue
                if not observation.opens:
                    self._seen_since.pop(key, None)
                elif now_s - self._seen_since.setdefault(key, now_s) >= rule.after_s:
                    alerts.append(self._open(rule, observation, number.get(key, 0) + 1, now_s))
            unseen = [p for p in opened if p[0] == rule.name and p[1] not in seen]
            quiet = [key for key in unseen if self._is_quiet(key, rule, now_s)]
            alerts += [self._close(opened[key], now_s) for key in quiet]
            self._forget(rule, seen)
        return alerts

    def _newest_alerts(
        self, known: Iterable[AlertRow]
    ) -> tuple[dict[SubjectKey, int], dict[SubjectKey, Alert]]:
        # The newest of each subject; what this process published counts until the topic has it.
        newest: dict[SubjectKey, Alert] = {}
        number: dict[SubjectKey, int] = {}
        for row in known:
            key, count = (row.rule, row.subject), _number(row.alert_id)
            if count >= number.get(key, 0):
                number[key], newest[key] = count, _record(self._use_case, row)
        for key, alert in list(self._published.items()):
            count = _number(alert.alert_id)
            known_alert = newest.get(key)
            if (
                known_alert is not None
                and number[key] >= count
                and known_alert.state == alert.state
            ):
                del self._published[key]
            else:
                number[key], newest[key] = count, alert
        opened = {key: alert for key, alert in newest.items() if alert.state == "open"}
        return number, opened

    def _is_quiet(self, key: SubjectKey, rule: AlertRule, now_s: float) -> bool:
        return now_s - self._unseen_since.setdefault(key, now_s) >= rule.quiet_s

    def _forget(self, rule: AlertRule, seen: Iterable[str]) -> None:
        subjects = set(seen)
        for key in [p for p in self._seen_since if p[0] == rule.name and p[1] not in subjects]:
            del self._seen_since[key]

    def _open(self, rule: AlertRule, observation: Observation, number: int, now_s: float) -> Alert:
        key = rule.name, observation.subject
        alert = Alert(
            alert_id=f"{self._use_case}/{rule.name}/{observation.subject}#{number}",
            use_case=self._use_case,
            rule=rule.name,
            subject=observation.subject,
            state="open",
            severity=observation.severity or rule.severity,
            cause=observation.cause[:TEXT_MAX],
            command=self._command(rule, observation.subject),
            opened_at=datetime.fromtimestamp(now_s, UTC),
        )
        self._published[key] = alert
        self._seen_since.pop(key, None)
        return alert

    def _command(self, rule: AlertRule, subject: str) -> str:
        names = {"use_case": self._argument, "subject": subject}
        words = [word.format(**names) for word in rule.command.split()]
        return command_line(*words, *(("--prefix", self._prefix) if self._prefix else ()))

    def _close(self, alert: Alert, now_s: float) -> Alert:
        key = alert.rule, alert.subject
        closed_at = datetime.fromtimestamp(now_s, UTC)
        closed = alert.model_copy(update={"state": "closed", "closed_at": closed_at})
        self._published[key] = closed
        self._unseen_since.pop(key, None)
        return closed


def _number(alert_id: str) -> int:
    text = alert_id.rpartition("#")[2]
    return int(text) if text.isdecimal() else 0


def _record(use_case: str, row: AlertRow) -> Alert:
    fields = {name: getattr(row, name) for name in AlertRow.__slots__}
    return Alert.model_validate({"use_case": use_case, **fields})
