"""Figures as tables: numbers to the right, amounts in their unit, unknown values blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.text import Text

from streams.cli.shared.terminal import TerminalTable
from streams.config.naming import number_of
from streams.monitor.store.queries import Board, kpi_gain
from streams.monitor.store.view_models import (
    AlertRow,
    CalibrationBin,
    DriftRow,
    Group,
    Importance,
    LearnerRow,
    Overview,
    PartitionRow,
    Point,
    Quality,
    Score,
)

STYLES = {"alarm": "red", "warning": "yellow", "notice": "cyan"}


def number(value: float | None, digits: int = 4) -> str:
    """Return an amount to `digits` digits; empty if it is not known.

    >>> number(1234567.0), number(0.123456), number(None)
    ('1,234,567', '0.1235', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return "" if value is None else f"{value:.1%}"


def age(seconds: float | None) -> str:
    """Return a length of time in the largest unit that fits.

    >>> age(42.0), age(5_400), age(200_000), age(None)
    ('42 s', '90 min', '56 h', '')
    """
    if seconds is None:
        return ""
    for size, unit in ((3_600 * 48, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / (3_600 if unit == 'h' else 60):.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(words: Sequence[str], numbers: Sequence[str], title: str | None = None) -> TerminalTable:
    table = TerminalTable(box=None, title=title, title_justify="left", title_style="bold")
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def windows(quality: Quality, points: Sequence[Point]) -> TerminalTable:
    """Return one row a window: volume, maturity, the metric of each model, the KPI's gain."""
    models = list(quality.models)
    of = quality.segment or quality.slice or "all"
    table = _table(
        ("window",),
        ("predictions", "labelled", *models, f"gain, {quality.kpi_unit}", "coverage"),
        f"{quality.use_case}, {of}: {quality.metric} ({quality.better} is better), "
        f"the newest {len(points)} windows",
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
            number(_gain(quality, served, scores.get("baseline"))),
            share(None if served is None else served.coverage),
        )
    return table


def total(quality: Quality) -> TerminalTable:
    """Return one row a model, all windows together."""
    table = _table(
        ("model",),
        (quality.metric, "95 % from", "to", "labels", f"{quality.kpi_unit} an event", "withheld"),
        f"all {len(quality.points)} windows",
    )
    for name, score in quality.total.items():
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


def _gain(quality: Quality, served: Score | None, baseline: Score | None) -> float | None:
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return None
    saved = (baseline.kpi - served.kpi) * served.kpi_n
    return saved if quality.kpi_better == "lower" else -saved


def groups(board: Board, rows: Iterable[Group]) -> TerminalTable:
    """Return one row a segment or slice, the worst first."""
    metric, unit = board.use_case.metric, board.use_case.kpi.unit
    table = _table(
        ("group",),
        ("labels", metric, "gap to all", "baseline", f"gain, {unit} an event", "labelled"),
    )
    for group in rows:
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


def importance(records: Sequence[Importance]) -> TerminalTable:
    """Return one row a feature: its importance in the newest window that has it, and before."""
    table = _table(("feature",), ("adds to the loss", "the window before"), "importance")
    newest = records[-1].features if records else {}
    before = records[-2].features if len(records) > 1 else {}
    for name, loss in newest.items():
        table.add_row(name, number(loss), number(before.get(name)))
    return table


def calibration(bins: Iterable[CalibrationBin]) -> TerminalTable:
    """Return one row a bin of probabilities."""
    table = _table((), ("predicted", "observed", "predictions"), "calibration")
    for bin in bins:
        table.add_row(share(bin.predicted), share(bin.observed), f"{bin.n:,}")
    return table


def drift(changes: Iterable[DriftRow]) -> TerminalTable:
    """Return one row a change."""
    table = _table(("noticed", "in", "subject", "was", "is", "since", "severity"), ())
    for change in changes:
        table.add_row(
            _minute(change.time),
            number_of(change.partition),
            change.subject,
            change.was,
            change.now,
            _minute(change.since),
            Text(change.severity, STYLES[change.severity]),
        )
    return table


def alerts(rows: Iterable[AlertRow]) -> TerminalTable:
    """Return one row an alert."""
    table = _table(("", "severity", "rule", "subject", "since", "cause", "look further"), ())
    for alert in rows:
        style = STYLES[alert.severity] if alert.state == "open" else "dim"
        table.add_row(
            alert.state,
            Text(alert.severity, style),
            alert.rule,
            alert.subject,
            _minute(alert.opened_at),
            alert.cause,
            alert.command,
        )
    return table


def overview(overview: Overview) -> TerminalTable:
    """Return a use case's figures, one a row."""
    table = TerminalTable(box=None, show_header=False)
    served, baseline, muted = overview.served, overview.baseline, overview.muted
    live = f"{overview.partitions_live} of {overview.partitions}"
    rows = {
        "state": f"{overview.state}, {live} partitions live",
        "events/s": number(overview.events_per_s, 3),
        "lag": number(overview.lag),
        "freshness": age(overview.freshness_s),
        "champion": (overview.champion or _several(overview))
        + (", frozen" if overview.frozen else ""),
        "figures": f"of the newest {overview.windows} windows; `riverrun metrics` has each",
        overview.metric: "" if served is None else number(served.value),
        "  baseline": "" if baseline is None else number(baseline.value),
        "gain": _unit(overview.kpi_gain, f"{overview.kpi_unit} an event"),
        "targets": "; ".join(map(str, overview.targets)),
        "alerts": ", ".join(f"{alert.rule} ({alert.subject})" for alert in overview.alerts)
        or "none",
        "muted": "" if muted is None else f"until {muted.until}: {muted.why}",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _several(overview: Overview) -> str:
    champions = [f"{m} in {', '.join(map(str, where))}" for m, where in overview.champions.items()]
    return "; ".join(champions)


def _unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def partitions(rows: Iterable[PartitionRow]) -> TerminalTable:
    """Return one row a partition."""
    rows = list(rows)
    shared = any(row.model_staleness_s is not None for row in rows)
    figures = ["lag", "events/s", "events", "learnt", "freshness"]
    figures += [*(("models behind",) if shared else ()), "latency", "snapshot", "bytes"]
    table = _table(("partition", "state", "owner"), figures)
    table.add_column("error")
    for row in rows:
        table.add_row(
            str(row.partition),
            row.state,
            row.worker or "",
            number(row.lag),
            number(row.events_per_s, 3),
            number(row.events),
            number(row.learnt),
            age(row.freshness_s),
            *((age(row.model_staleness_s),) if shared else ()),
            "" if row.latency_s is None else f"{row.latency_s * 1000:,.0f} ms",
            age(row.snapshot_age_s),
            number(row.snapshot_bytes),
            row.error or "",
        )
    return table


def learner(row: LearnerRow) -> TerminalTable:
    """Return the learner of shared models in one row."""
    table = _table(("learner", "owner"), ("lag", "learnt", "stalled"))
    table.add_column("error")
    stalled = age(row.stalled_s) if row.stalled_s else ""
    counts = number(row.lag), number(row.learnt)
    table.add_row(row.state, row.worker or "", *counts, stalled, row.error or "")
    return table


def _minute(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
