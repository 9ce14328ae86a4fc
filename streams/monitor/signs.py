"""What is wrong, as far as figures show it: one function a rule of the table (rules.py).

Each looks at a scene and says what it sees, about which subject, in words with its figures.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.durations import spoken
from streams.monitor.scene import Scene, Seen, Severity

LABELS = "labels"
"""The subject of drift records that say that outcomes stopped, or come again."""

QUARANTINED = "quarantined"
"""The class of dead letters that are held, and the subject of alerts about them."""

BLOCKS = 7
"""Settled blocks that the KPI is judged over."""

LABELS_S_LEAST, LABELS_S_MOST = 600.0, 86_400.0


def kpi(scene: Scene) -> Iterator[Seen]:
    """KPI of what was served below the baseline's, in blocks whose outcomes are all in.

    The newest windows would mislead: what comes soon is not like what comes late.
    """
    unit, blocks = scene.overview.kpi_unit, scene.settled[-BLOCKS:]
    n = sum(block.kpi_n for block in blocks)
    gain = sum(block.gain for block in blocks)
    if n < max(scene.limits["kpi_least"], 1) or gain >= 0:
        return
    served = sum(block.served for block in blocks) / n
    baseline = sum(block.baseline for block in blocks) / n
    yield Seen(
        "kpi",
        f"{served:.4g} {unit} an event, the baseline {baseline:.4g}, over {n:,} outcomes of the "
        f"newest {len(blocks)} settled blocks, the last from {blocks[-1].start}",
        opens=-gain / n > scene.limits["kpi_margin"] * abs(baseline),
    )


def target(scene: Scene) -> Iterator[Seen]:
    """Targets that are missed, freshness apart."""
    for held in scene.overview.targets:
        if held.name == "freshness" or held.value is None:
            continue
        over = held.value - held.bound if held.better == "lower" else held.bound - held.value
        if over > 0:
            opens = over > scene.limits["target_margin"] * abs(held.bound)
            yield Seen(held.name, str(held), opens)


def freshness(scene: Scene) -> Iterator[Seen]:
    """Freshness beyond its target."""
    for held in scene.overview.targets:
        if held.name == "freshness" and held.met is False:
            yield Seen("freshness", f"the newest outcome learnt is older than its target: {held}")


def labels(scene: Scene) -> Iterator[Seen]:
    """Outcomes that stopped while events come."""
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


def lag(scene: Scene) -> Iterator[Seen]:
    """Input that waits."""
    limit = scene.limits["lag_records"]
    lag = scene.overview.lag
    if lag is not None and lag > limit / 2:
        yield Seen("input", f"{lag:,} records wait to be taken", opens=lag > limit)


def letters(scene: Scene) -> Iterator[Seen]:
    """Too many dead letters."""
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


def drift(scene: Scene) -> Iterator[Seen]:
    """What changed lately."""
    newest = {change.subject: change for change in scene.drift if change.subject != LABELS}
    for subject, change in newest.items():
        if scene.age_s(change.time) <= scene.limits["drift_s"] and change.severity != "notice":
            cause = f"{change.detector}: was {change.was}, is {change.now}, since {change.since}"
            alarm: Severity = "alarm" if change.severity == "alarm" else "warning"
            yield Seen(subject, cause, severity=alarm)


def safeguard(scene: Scene) -> Iterator[Seen]:
    """What is withheld or held."""
    newest = {
        (change.model, number): change
        for change in scene.lifecycle
        if change.cause == "safeguard"
        for number in change.partitions
    }
    acted: dict[str, list[int]] = {}
    why: dict[str, str] = {}
    for (model, number), change in newest.items():
        # A breaker stays open until it says otherwise; a value that was withheld is soon past.
        lately = scene.age_s(change.time) <= scene.limits["safeguard_s"]
        if change.to_state == "withheld" and (change.from_state is not None or lately):
            acted.setdefault(model, []).append(number)
            why[model] = change.why
    for model, numbers in acted.items():
        where = ", ".join(map(str, sorted(numbers)))
        yield Seen(model, f"withheld in partition {where}: {why[model]}")
    yield from _quarantine(scene)


def _quarantine(scene: Scene) -> Iterator[Seen]:
    held = [group for group in scene.letters if group.error_class == QUARANTINED]
    lately = [g for g in held if scene.age_s(g.last) <= scene.limits["safeguard_s"]]
    if lately:
        newest = max(lately, key=lambda group: group.last)
        count = sum(group.count for group in lately)
        yield Seen(QUARANTINED, f"{count:,} outcomes are held as implausible: {newest.example}")


def gone(scene: Scene) -> Iterator[Seen]:
    """Partitions without a worker."""
    if scene.overview.definition is None:
        return  # no worker ever began
    for row in scene.partitions:
        if row.state == "nobody's":
            yield Seen(f"partition {row.partition}", "no worker owns it: nothing is answered")


def stuck(scene: Scene) -> Iterator[Seen]:
    """Partitions that are not live."""
    for row in scene.partitions:
        if row.state in ("recovering", "waiting"):
            why = f": {row.error}" if row.error else ""
            yield Seen(f"partition {row.partition}", f"{row.state} at {row.worker}{why}")
