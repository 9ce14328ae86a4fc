"""What raises an alert: one table, one row a rule.

A rule looks at a `Scene` and says what it sees, each about a subject. `opens` False is the band
between opening and closing: enough to keep an alert open, not to open one. What is seen must last
`after_s` before an alert opens, and be gone `quiet_s` before it closes, so that nothing flaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from models.durations import spoken
from models.usecase import UseCase
from schemas.errors import Misdeclared
from streams.monitor.figures import (
    Change,
    Drifted,
    Letters,
    Overview,
    PartitionRow,
    Sample,
)

Severity = Literal["notice", "warning", "alarm"]

LIMITS: Mapping[str, float] = {
    "kpi_margin": 0.02,
    "kpi_least": 500,
    "target_margin": 0.02,
    "drift_s": 21_600,
    "safeguard_s": 3_600,
    "labels_s": 0,
    "lag_records": 20_000,
    "dead_letter_share": 0.01,
    "dead_letter_least": 10,
    "dead_letter_s": 600,
    "stuck_s": 60,
    "gone_s": 10,
}
"""What rules compare with; RIVERRUN_ALERT_LIMITS changes any. `labels_s` 0: from the horizon."""

LABELS = "labels"
"""The subject of drift records that say that outcomes stopped, or come again."""

LABELS_S_LEAST, LABELS_S_MOST = 600.0, 86_400.0


def limits_of(text: str) -> dict[str, float]:
    """`LIMITS` with what `name=value, …` changes; raises `Misdeclared` for a name there is not.

    >>> limits_of("lag_records=5e4, gone_s=30")["lag_records"]
    50000.0
    """
    limits = dict(LIMITS)
    for part in text.replace(",", " ").split():
        name, found, value = part.partition("=")
        try:
            if not found or name not in limits:
                raise ValueError
            limits[name] = float(value)
        except ValueError:
            raise Misdeclared(
                f"RIVERRUN_ALERT_LIMITS: {part!r} is no limit.",
                mend=f"Write name=value; there are: {', '.join(LIMITS)}.",
            ) from None
    return limits


class Seen(NamedTuple):
    """Something that a rule sees of a subject."""

    subject: str
    cause: str
    opens: bool = True
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """All that rules look at, of one use case, at one moment of the monitor's clock."""

    use_case: UseCase
    now_s: float
    limits: Mapping[str, float]
    overview: Overview
    partitions: tuple[PartitionRow, ...]
    drift: tuple[Drifted, ...]
    lifecycle: tuple[Change, ...]
    letters: tuple[Letters, ...]
    letters_lately: int
    samples: tuple[Sample, ...]

    def age_s(self, time: str) -> float:
        """How long ago that was, by the monitor's clock."""
        return self.now_s - datetime.fromisoformat(time).timestamp()

    def since(self, seconds: float) -> tuple[Sample, ...]:
        """The samples of the last so many seconds."""
        return tuple(sample for sample in self.samples if self.age_s(sample.time) <= seconds)


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


def _kpi(scene: Scene) -> Iterator[Seen]:
    view, limits = scene.overview, scene.limits
    served, baseline, gain = view.served, view.baseline, view.kpi_gain
    if served is None or baseline is None or gain is None or served.kpi_n < limits["kpi_least"]:
        return
    if gain < 0:
        assert baseline.kpi is not None
        yield Seen(
            "kpi",
            f"{served.kpi:.4g} {view.kpi_unit} an event, the baseline {baseline.kpi:.4g}, over "
            f"{served.kpi_n:,} outcomes of the newest {view.windows} windows",
            opens=-gain > limits["kpi_margin"] * abs(baseline.kpi),
        )


def _target(scene: Scene) -> Iterator[Seen]:
    for held in scene.overview.targets:
        if held.name == "freshness" or held.value is None:
            continue
        over = held.value - held.bound if held.better == "lower" else held.bound - held.value
        if over > 0:
            opens = over > scene.limits["target_margin"] * abs(held.bound)
            yield Seen(held.name, str(held), opens)


def _freshness(scene: Scene) -> Iterator[Seen]:
    for held in scene.overview.targets:
        if held.name == "freshness" and held.met is False:
            yield Seen("freshness", f"the newest outcome learnt is older than its target: {held}")


def _labels(scene: Scene) -> Iterator[Seen]:
    wait_s = scene.limits["labels_s"] or min(
        max(LABELS_S_LEAST, scene.use_case.horizon / 2), LABELS_S_MOST
    )
    # What a partition's own delay curve says (models/maturing.py), in event time.
    newest = {c.partition: c for c in scene.drift if c.subject == LABELS}
    for number, change in newest.items():
        if change.severity == "alarm":
            cause = f"{change.was}, {change.now}, since {change.since}"
            yield Seen(f"partition {number}", cause)
    freshness_s, lately = scene.overview.freshness_s, scene.since(wait_s)
    if freshness_s is None or freshness_s <= wait_s or len(lately) < 2:
        return
    events = lately[-1].events - lately[0].events
    if events > 0:
        yield Seen(
            "outcomes",
            f"{events:,} events came in the last {spoken(round(wait_s))} and no outcome; the "
            f"newest was learnt {freshness_s:,.0f} s ago",
        )


def _lag(scene: Scene) -> Iterator[Seen]:
    limit = scene.limits["lag_records"]
    lag = scene.overview.lag
    if lag is not None and lag > limit / 2:
        yield Seen("input", f"{lag:,} records wait to be taken", opens=lag > limit)


def _letters(scene: Scene) -> Iterator[Seen]:
    limits, count = scene.limits, scene.letters_lately
    lately = scene.since(limits["dead_letter_s"])
    events = lately[-1].events - lately[0].events if len(lately) > 1 else 0
    share = count / max(count + events, 1)
    if count >= limits["dead_letter_least"] and share > limits["dead_letter_share"] / 2:
        newest = max(scene.letters, key=lambda group: group.last, default=None)
        why = "" if newest is None else f"; the newest: {newest.example}"
        yield Seen(
            "records",
            f"{count:,} records, {share:.1%} of what came in "
            f"{spoken(round(limits['dead_letter_s']))}, could not be used{why}",
            opens=share > limits["dead_letter_share"],
        )


def _drift(scene: Scene) -> Iterator[Seen]:
    newest = {change.subject: change for change in scene.drift if change.subject != LABELS}
    for subject, change in newest.items():
        if scene.age_s(change.time) <= scene.limits["drift_s"] and change.severity != "notice":
            cause = f"{change.detector}: was {change.was}, is {change.now}, since {change.since}"
            alarm: Severity = "alarm" if change.severity == "alarm" else "warning"
            yield Seen(subject, cause, severity=alarm)


def _safeguard(scene: Scene) -> Iterator[Seen]:
    newest = {c.model: c for c in scene.lifecycle if c.cause == "safeguard"}
    for model, change in newest.items():
        if scene.age_s(change.time) <= scene.limits["safeguard_s"]:
            where = ", ".join(map(str, change.partitions))
            yield Seen(model, f"{change.to_state} in partition {where}: {change.why}")


def _gone(scene: Scene) -> Iterator[Seen]:
    if scene.overview.definition is None:
        return  # no worker ever began
    for row in scene.partitions:
        if row.state == "nobody's":
            yield Seen(f"partition {row.partition}", "no worker owns it: nothing is answered")


def _stuck(scene: Scene) -> Iterator[Seen]:
    for row in scene.partitions:
        if row.state in ("recovering", "waiting"):
            why = f": {row.error}" if row.error else ""
            yield Seen(f"partition {row.partition}", f"{row.state} at {row.worker}{why}")


def rules(limits: Mapping[str, float]) -> tuple[Rule, ...]:
    """The table."""
    return (
        Rule(
            "kpi-below-baseline",
            "alarm",
            "what is served costs more, or earns less, than the baseline would",
            "riverrun metrics {use_case}",
            _kpi,
        ),
        Rule(
            "target-missed",
            "warning",
            "a declared target is missed",
            "riverrun metrics {use_case}",
            _target,
        ),
        Rule(
            "freshness",
            "warning",
            "the newest outcome learnt is older than its target",
            "riverrun status {use_case}",
            _freshness,
        ),
        Rule(
            "labels-stopped",
            "alarm",
            "events come and outcomes do not",
            "riverrun tail {use_case}.outcomes",
            _labels,
        ),
        Rule(
            "lag",
            "warning",
            "records wait to be taken",
            "riverrun status {use_case}",
            _lag,
            after_s=15.0,
        ),
        Rule(
            "dead-letters",
            "warning",
            "too many records cannot be used",
            "riverrun dead-letters list {use_case}",
            _letters,
        ),
        Rule(
            "drift",
            "warning",
            "a feature, the predictions or an error changed",
            "riverrun drift {use_case} --subject {subject}",
            _drift,
        ),
        Rule(
            "safeguard",
            "warning",
            "a safeguard acted on a model",
            "riverrun history {use_case}",
            _safeguard,
        ),
        Rule(
            "worker-gone",
            "alarm",
            "a partition has no worker",
            "riverrun worker {use_case}",
            _gone,
            after_s=limits["gone_s"],
        ),
        Rule(
            "partition-stuck",
            "warning",
            "a partition does not become live",
            "riverrun status {use_case}",
            _stuck,
            after_s=limits["stuck_s"],
        ),
    )
