"""Alerts as a state machine: each opens once and closes itself. No clock and no server in it.

What is open is known from the alerts that are on the topic, so a restarted monitor goes on with
them. An alert's id is its use case, rule, subject and number, counted from the ones before: two
monitors that see the same open the same alert.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from schemas.records import Alert
from streams.monitor.figures import AlertRow
from streams.monitor.rules import Rule
from streams.monitor.scene import Scene, Seen

Subject = tuple[str, str]
"""(rule, subject)."""

SUBJECTS_MAX = 50
"""Subjects of one rule that may have an alert open at once; the first by name do."""

WORDS_MAX = 500


class Alerting:
    """The alerts of one use case. Memory: two moments a subject.

    step: what rules see → records to be published, which are taken for published.
    """

    def __init__(self, use_case: str, rules: Sequence[Rule], prefix: str = "") -> None:
        self._use_case = use_case
        self._prefix = prefix
        self._rules = rules
        self._seen_since: dict[Subject, float] = {}
        self._gone_since: dict[Subject, float] = {}
        self._said: dict[Subject, Alert] = {}

    def step(self, scene: Scene, known: Iterable[AlertRow]) -> list[Alert]:
        """What opens and closes now; `known` is what is on the topic, in any order."""
        number, opened = self._standing(known)
        now_s, found = scene.now_s, []
        for rule in self._rules:
            seen = {s.subject: s for s in sorted(rule.look(scene))[:SUBJECTS_MAX]}
            for subject, what in seen.items():
                place = rule.name, subject
                self._gone_since.pop(place, None)
                if place in opened:
                    continue
                if not what.opens:
                    self._seen_since.pop(place, None)
                elif now_s - self._seen_since.setdefault(place, now_s) >= rule.after_s:
                    found.append(self._open(rule, what, number.get(place, 0) + 1, now_s))
            unseen = [p for p in opened if p[0] == rule.name and p[1] not in seen]
            quiet = [place for place in unseen if self._quiet(place, rule, now_s)]
            found += [self._close(opened[place], now_s) for place in quiet]
            self._forget(rule, seen)
        return found

    def _standing(
        self, known: Iterable[AlertRow]
    ) -> tuple[dict[Subject, int], dict[Subject, Alert]]:
        # The newest of each subject; what was said here counts until the topic has caught up.
        newest: dict[Subject, Alert] = {}
        number: dict[Subject, int] = {}
        for row in known:
            place, count = (row.rule, row.subject), _number(row.alert_id)
            if count >= number.get(place, 0):
                number[place], newest[place] = count, _record(self._use_case, row)
        for place, said in list(self._said.items()):
            count = _number(said.alert_id)
            told = newest.get(place)
            if told is not None and number[place] >= count and told.state == said.state:
                del self._said[place]
            else:
                number[place], newest[place] = count, said
        opened = {place: alert for place, alert in newest.items() if alert.state == "open"}
        return number, opened

    def _quiet(self, place: Subject, rule: Rule, now_s: float) -> bool:
        return now_s - self._gone_since.setdefault(place, now_s) >= rule.quiet_s

    def _forget(self, rule: Rule, seen: Iterable[str]) -> None:
        kept = set(seen)
        for place in [p for p in self._seen_since if p[0] == rule.name and p[1] not in kept]:
            del self._seen_since[place]

    def _open(self, rule: Rule, seen: Seen, number: int, now_s: float) -> Alert:
        place = rule.name, seen.subject
        alert = Alert(
            alert_id=f"{self._use_case}/{rule.name}/{seen.subject}#{number}",
            use_case=self._use_case,
            rule=rule.name,
            subject=seen.subject,
            state="open",
            severity=seen.severity or rule.severity,
            cause=seen.cause[:WORDS_MAX],
            command=self._command(rule, seen.subject),
            opened_at=datetime.fromtimestamp(now_s, UTC),
        )
        self._said[place] = alert
        self._seen_since.pop(place, None)
        return alert

    def _command(self, rule: Rule, subject: str) -> str:
        words = rule.command.format(use_case=self._use_case, subject=shlex.quote(subject))
        return f"{words} --prefix {self._prefix}" if self._prefix else words

    def _close(self, alert: Alert, now_s: float) -> Alert:
        place = alert.rule, alert.subject
        closed_at = datetime.fromtimestamp(now_s, UTC)
        closed = alert.model_copy(update={"state": "closed", "closed_at": closed_at})
        self._said[place] = closed
        self._gone_since.pop(place, None)
        return closed


def _number(alert_id: str) -> int:
    text = alert_id.rpartition("#")[2]
    return int(text) if text.isdecimal() else 0


def _record(use_case: str, row: AlertRow) -> Alert:
    fields = {name: getattr(row, name) for name in AlertRow.__slots__}
    return Alert.model_validate({"use_case": use_case, **fields})
