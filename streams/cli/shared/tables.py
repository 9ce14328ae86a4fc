"""Figures as tables: numbers to the right, amounts in their unit, blank where nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from streams.monitor.figures import (
    AlertRow,
    Bin,
    Drifted,
    Group,
    Importance,
    Overview,
    PartitionRow,
    Point,
    Quality,
    Score,
)
from streams.monitor.views import Board, kpi_gain

STYLES = {"alarm": "red", "warning": "yellow", "notice": "cyan"}


def number(value: float | None, digits: int = 4) -> str:
    """An amount to so many digits; nothing if it is not known.

    >>> number(1234567.0), number(0.123456), number(None)
    ('1,234,567', '0.1235', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "" if value is None else f"{value:.1%}"


def age(seconds: float | None) -> str:
    """A length of time in the largest unit that fits.

    >>> age(42.0), age(5_400), age(200_000), age(None)
    ('42 s', '90 min', '56 h', '')
    """
    if seconds is None:
        return ""
    for size, unit in ((3_600 * 48, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / (3_600 if unit == 'h' else 60):.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(words: Sequence[str], numbers: Sequence[str], title: str | None = None) -> Table:
    table = Table(box=None, title=title, title_justify="left", title_style="bold")
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def windows(found: Quality, points: Sequence[Point]) -> Table:
    """One row a window: volume, maturity, the metric of each model, the KPI's gain."""
    models = list(found.models)
    of = found.segment or found.slice or "all"
    table = _table(
        ("window",),
        ("predictions", "labelled", *models, f"gain, {found.kpi_unit}", "coverage"),
        f"{found.use_case}, {of}: {found.metric} ({found.better} is better)",
    )
    for point in points:
        scores = point.scores
        values = [scores[model].value if model in scores else None for model in models]
        served = scores.get("served")
        table.add_row(
            point.start[:16].replace("T", " "),
            f"{point.predictions:,}",
            share(point.maturity),
            *(number(value) for value in values),
            number(_gain(found, served, scores.get("baseline"))),
            share(None if served is None else served.coverage),
        )
    return table


def total(found: Quality) -> Table:
    """One row a model, all windows together."""
    table = _table(
        ("model",),
        (found.metric, "95 % from", "to", "labels", f"{found.kpi_unit} an event", "withheld"),
        "all windows",
    )
    for name, score in found.total.items():
        table.add_row(
            name,
            number(score.value),
            number(score.lower),
            number(score.upper),
            f"{score.n:,}",
            number(score.kpi),
            f"{score.guarded:,}",
        )
    return table


def _gain(found: Quality, served: Score | None, baseline: Score | None) -> float | None:
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return None
    saved = (baseline.kpi - served.kpi) * served.kpi_n
    return saved if found.kpi_better == "lower" else -saved


def groups(board: Board, found: Iterable[Group]) -> Table:
    """One row a segment or slice, the worst first."""
    metric, unit = board.use_case.metric, board.use_case.kpi.unit
    table = _table(
        ("group",),
        ("labels", metric, "gap to all", "baseline", f"gain, {unit} an event", "labelled"),
    )
    for group in found:
        base = group.baseline
        table.add_row(
            group.name,
            f"{group.served.n:,}",
            number(group.served.value),
            number(group.gap),
            number(None if base is None else base.value),
            number(kpi_gain(board.use_case, group.served, base)),
            share(group.served.maturity),
        )
    return table


def importance(found: Sequence[Importance]) -> Table:
    """One row a feature, as of the newest window that tells it, beside the one before."""
    table = _table(("feature",), ("adds to the loss", "the window before"), "importance")
    newest = found[-1].features if found else {}
    before = found[-2].features if len(found) > 1 else {}
    for name, loss in newest.items():
        table.add_row(Text(name), number(loss), number(before.get(name)))
    return table


def calibration(found: Iterable[Bin]) -> Table:
    """One row a bin of probabilities."""
    table = _table((), ("said", "came true", "answers"), "calibration")
    for bin in found:
        table.add_row(share(bin.said), share(bin.true), f"{bin.n:,}")
    return table


def drift(found: Iterable[Drifted]) -> Table:
    """One row a change."""
    table = _table(("noticed", "in", "subject", "was", "is", "since", "severity"), ())
    for change in found:
        table.add_row(
            _minute(change.time),
            str(change.partition),
            change.subject,
            change.was,
            change.now,
            _minute(change.since),
            Text(change.severity, STYLES[change.severity]),
        )
    return table


def alerts(found: Iterable[AlertRow]) -> Table:
    """One row an alert."""
    table = _table(("", "severity", "rule", "subject", "since", "cause", "look further"), ())
    for alert in found:
        style = STYLES[alert.severity] if alert.state == "open" else "dim"
        table.add_row(
            alert.state,
            Text(alert.severity, style),
            alert.rule,
            Text(alert.subject),
            _minute(alert.opened_at),
            Text(alert.cause),
            Text(alert.command),
        )
    return table


def overview(found: Overview) -> Table:
    """One use case in a few words."""
    table = Table(box=None, show_header=False)
    served, baseline = found.served, found.baseline
    rows = {
        "state": f"{found.state}, {found.partitions_live} of {found.partitions} partitions live",
        "events/s": number(found.events_per_s, 3),
        "lag": number(found.lag),
        "freshness": age(found.freshness_s),
        "champion": (found.champion or _several(found)) + (", frozen" if found.frozen else ""),
        found.metric: "" if served is None else number(served.value),
        "  baseline": "" if baseline is None else number(baseline.value),
        "gain": _unit(found.kpi_gain, f"{found.kpi_unit} an event"),
        "targets": "; ".join(map(str, found.targets)),
        "alerts": ", ".join(f"{alert.rule} ({alert.subject})" for alert in found.alerts) or "none",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    return table


def _several(found: Overview) -> str:
    told = [f"{m} in {', '.join(map(str, where))}" for m, where in found.champions.items()]
    return "; ".join(told)


def _unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def partitions(found: Iterable[PartitionRow]) -> Table:
    """One row a partition."""
    table = _table(
        ("partition", "state", "owner"),
        ("lag", "events/s", "events", "learnt", "freshness", "latency", "snapshot", "bytes"),
    )
    table.add_column("error")
    for row in found:
        table.add_row(
            str(row.partition),
            row.state,
            row.worker or "",
            number(row.lag),
            number(row.events_per_s, 3),
            number(row.events),
            number(row.learnt),
            age(row.freshness_s),
            "" if row.latency_s is None else f"{row.latency_s * 1000:,.0f} ms",
            age(row.snapshot_age_s),
            number(row.snapshot_bytes),
            Text(row.error or ""),
        )
    return table


def _minute(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
