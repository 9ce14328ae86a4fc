"""The conditions of alerts: one function for each rule of the table (rules.py).

Each reads an `AlertContext` and yields an observation for each subject, with its figures in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.values.durations import spoken
from schemas.topics import LEARNER
from streams.monitor.alert_context import AlertContext, Observation, Severity
from streams.monitor.store.view_models import StateChange
from streams.telemetry.partition_table import UNTOLD

LABELS = "labels"
"""The subject of drift records about outcomes that stopped or resumed."""

QUARANTINED = "quarantined"
"""The error class of outcomes in quarantine, and the subject of alerts about them."""

BLOCKS = 7
"""Closed blocks that the KPI is compared over."""

STALLED_S = 5.0
"""A learner that does not move for so long, while examples wait, does not learn."""

LABELS_S_LEAST, LABELS_S_MOST = 600.0, 86_400.0


def kpi(context: AlertContext) -> Iterator[Observation]:
    """Yield the KPI where it is below the baseline's over the newest closed blocks.

    The newest windows would mislead: outcomes that come soon differ from those that come late.
    """
    unit, blocks = context.overview.kpi_unit, context.closed_blocks[-BLOCKS:]
    n = sum(block.kpi_n for block in blocks)
    gain = sum(block.gain for block in blocks)
    if n < max(context.limits["kpi_least"], 1) or gain >= 0:
        return
    served = sum(block.served for block in blocks) / n
    baseline = sum(block.baseline for block in blocks) / n
    yield Observation(
        "kpi",
        f"{served:.4g} {unit} an event, the baseline {baseline:.4g}, over {n:,} outcomes of the "
        f"newest {len(blocks)} closed blocks, the last from {blocks[-1].start}",
        opens=-gain / n > context.limits["kpi_margin"] * abs(baseline),
    )


def target(context: AlertContext) -> Iterator[Observation]:
    """Yield the targets other than freshness that are missed.

    An alert opens only if chance or the first windows do not explain it.
    """
    for target_result in context.overview.targets:
        if target_result.name == "freshness" or target_result.value is None:
            continue
        over = (
            target_result.value - target_result.bound
            if target_result.better == "lower"
            else target_result.bound - target_result.value
        )
        if over > 0:
            opens = over > context.limits["target_margin"] * abs(target_result.bound)
            opens = opens and not context.overview.undecided(target_result)
            yield Observation(target_result.name, target_result.measured(), opens)


def freshness(context: AlertContext) -> Iterator[Observation]:
    """Yield freshness if it is beyond its target."""
    for held in context.overview.targets:
        if held.name == "freshness" and held.met is False:
            yield Observation("freshness", held.measured())


def labels(context: AlertContext) -> Iterator[Observation]:
    """Yield outcomes that stopped while events arrive."""
    wait_s = context.limits["labels_s"] or min(
        max(LABELS_S_LEAST, context.use_case.horizon / 2), LABELS_S_MOST
    )
    # What a partition's own delay curve says (models/metrics/label_maturity.py), in event time.
    newest = {c.partition: c for c in context.drift if c.subject == LABELS}
    for number, change in newest.items():
        if change.severity == "alarm":
            cause = f"{change.was}, {change.now}, since {change.since}"
            yield Observation(f"partition {number}", cause)
    freshness_s, samples = context.overview.freshness_s, context.since(wait_s)
    if freshness_s is None or freshness_s <= wait_s or len(samples) < 2:
        return
    events = samples[-1].events - samples[0].events
    if events > 0:
        yield Observation(
            "outcomes",
            f"{events:,} events arrived in the last {spoken(round(wait_s))} but no outcome; "
            f"the newest was learnt {freshness_s:,.0f} s ago",
        )


def late(context: AlertContext) -> Iterator[Observation]:
    """Yield outcomes that arrive after their horizon, by the workers' counts."""
    limits = context.limits
    samples = context.since(limits["late_s"])
    if len(samples) < 2:
        return
    first, last = samples[0], samples[-1]
    count, outcomes = last.late - first.late, last.outcomes - first.outcomes
    share = count / max(outcomes, 1)
    if count >= limits["late_least"] and share > limits["late_share"] / 2:
        horizon = spoken(round(context.use_case.horizon))
        yield Observation(
            "outcomes",
            f"{count:,} of {outcomes:,} outcomes ({share:.1%}) that arrived in "
            f"{spoken(round(context.age_s(first.time)))} were more than the horizon, {horizon}, "
            "behind the newest event time, and were not learnt. If history is replayed onto the "
            "live topics, events run ahead of their outcomes: `riverrun backfill` learns "
            "in the order of time. Otherwise the horizon is too short",
            opens=share > limits["late_share"],
        )


def lag(context: AlertContext) -> Iterator[Observation]:
    """Yield the input if its lag is too large."""
    limit = context.limits["lag_records"]
    lag = context.overview.lag
    if lag is not None and lag > limit / 2:
        yield Observation("input", f"{lag:,} records wait to be read", opens=lag > limit)


def dead_letters(context: AlertContext) -> Iterator[Observation]:
    """Yield the records that cannot be used if they are too many, by the workers' counts."""
    limits = context.limits
    samples = context.since(limits["dead_letter_s"])
    if len(samples) < 2:
        return  # one sample shows no change
    first, last = samples[0], samples[-1]
    count = last.refused - first.refused
    records = count + last.events - first.events + last.outcomes - first.outcomes
    share = count / max(records, 1)
    if count >= limits["dead_letter_least"] and share > limits["dead_letter_share"] / 2:
        newest = max(context.letters, key=lambda group: group.last, default=None)
        why = "" if newest is None else f"; the newest error: {newest.example}"
        yield Observation(
            "records",
            f"{count:,} of {records:,} records ({share:.1%}) that arrived in "
            f"{spoken(round(context.age_s(first.time)))} could not be used{why}",
            opens=share > limits["dead_letter_share"],
        )


def drift(context: AlertContext) -> Iterator[Observation]:
    """Yield recent changes of features, predictions and errors."""
    newest = {change.subject: change for change in context.drift if change.subject != LABELS}
    for subject, change in newest.items():
        if context.age_s(change.time) <= context.limits["drift_s"] and change.severity != "notice":
            since = change.since.partition("T")[0]
            cause = f"until {since} it was {change.was}; now it is {change.now}"
            alarm: Severity = "alarm" if change.severity == "alarm" else "warning"
            yield Observation(subject, cause, severity=alarm)


def safeguard(context: AlertContext) -> Iterator[Observation]:
    """Yield open circuit breakers, withheld values and quarantined outcomes."""
    changes = [c for c in context.lifecycle if c.cause == "safeguard"]
    opened: dict[str, list[int]] = {}
    why: dict[str, str] = {}
    newest = {(c.model, n): c for c in changes if not _one_value(c) for n in c.partitions}
    for (model, number), change in newest.items():
        if change.to_state == "withheld":  # a breaker stays open until a record closes it
            opened.setdefault(model, []).append(number)
            why[model] = change.why
    for model, numbers in opened.items():
        where = "partition " + ", ".join(map(str, sorted(numbers)))
        where = "all partitions" if LEARNER in numbers else where
        yield Observation(model, f"withheld in {where}: {why[model]}")
    values = {c.model: c.why for c in changes if _one_value(c) and c.model not in opened}
    for model, reason in values.items():
        yield from _values(context, model, reason)
    yield from _quarantine(context)


def _one_value(change: StateChange) -> bool:
    """Return whether a single value was withheld, without an open circuit breaker."""
    return change.to_state == "withheld" and change.from_state is None


def _values(context: AlertContext, model: str, why: str) -> Iterator[Observation]:
    """Yield the model if its values are withheld too often; single ones are normal."""
    score, limits = context.scores.get(model), context.limits
    if score is None or score.guarded < limits["withheld_least"]:
        return
    share = score.guarded / max(score.predictions, score.guarded)
    if share > limits["withheld_share"] / 2:
        yield Observation(
            model,
            f"{score.guarded:,} of {score.predictions:,} values were withheld: {why}",
            opens=share > limits["withheld_share"],
        )


def _quarantine(context: AlertContext) -> Iterator[Observation]:
    quarantined = [group for group in context.letters if group.error_class == QUARANTINED]
    lately = [g for g in quarantined if context.age_s(g.last) <= context.limits["safeguard_s"]]
    if lately:
        newest = max(lately, key=lambda group: group.last)
        count = sum(group.count for group in lately)
        yield Observation(
            QUARANTINED, f"{count:,} outcomes are quarantined as implausible: {newest.example}"
        )


def unowned(context: AlertContext) -> Iterator[Observation]:
    """Yield partitions without a worker."""
    if context.overview.definition is None:
        return  # no worker ever started
    for row in context.partitions:
        if row.state == "unowned":
            yield Observation(
                f"partition {row.partition}", "no worker owns it: its events get no predictions"
            )


def learner(context: AlertContext) -> Iterator[Observation]:
    """Yield the learner of shared models if it does not learn."""
    row = context.learner
    if row is None or row.state == UNTOLD or context.overview.definition is None:
        return
    if row.state != "live" or row.error:
        where = f" at {row.worker}" if row.worker else ""
        cause = f"{row.state}{where}{f': {row.error}' if row.error else ''}"
    elif row.stalled_s > STALLED_S:
        cause = f"examples wait, and it has not moved for {spoken(round(row.stalled_s))}"
    else:
        return
    behind = [p.model_staleness_s for p in context.partitions if p.model_staleness_s is not None]
    age = f", which are up to {spoken(round(max(behind)))} old" if behind else ""
    yield Observation("learner", f"{cause}. Partitions answer by the versions they have{age}")


def snapshots(context: AlertContext) -> Iterator[Observation]:
    """Yield partitions whose snapshots are not written; a start would replay the log."""
    for row in context.partitions:
        stores = {"Redis": row.snapshot_error, "the archive": row.archive_error}
        faults = [f"not written to {store}: {error}" for store, error in stores.items() if error]
        if faults:
            yield Observation(f"partition {row.partition}", "; ".join(faults))


def halted(context: AlertContext) -> Iterator[Observation]:
    """Yield partitions that are halted at a record."""
    for row in context.partitions:
        if row.state == "halted":
            yield Observation(f"partition {row.partition}", row.error or "halted")


def stuck(context: AlertContext) -> Iterator[Observation]:
    """Yield partitions that do not become live."""
    for row in context.partitions:
        if row.state in ("recovering", "waiting"):
            why = f": {row.error}" if row.error else ""
            yield Observation(f"partition {row.partition}", f"{row.state} at {row.worker}{why}")


def undelivered(context: AlertContext) -> Iterator[Observation]:
    """Yield alerts that the webhook does not accept."""
    delivery = context.delivery
    if delivery is not None:
        yield Observation(
            "webhook",
            f"{delivery.waiting:,} alerts wait since {delivery.since} ({delivery.why}); they are "
            "retried for a day",
        )
