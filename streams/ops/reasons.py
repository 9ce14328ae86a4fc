"""Charts of what answers lean on, and of whether they mean what they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from streams.monitor.figures import Bin, Importance
from streams.ops.charts import Chart, Series
from streams.ops.sampled import Group
from streams.ops.scene import Case
from streams.ops.writing import seconds_of

FEATURES = 6


def of_numbers(case: Case, groups: Sequence[Group]) -> Chart:
    """What was said against what was true, in groups by size."""
    x = [group.said for group in groups]
    return Chart(
        id="calibration",
        title="Is it right on average?",
        say=f"Ten groups of {groups[0].n if groups else 0:,} newest outcomes, by what was said: on "
        "the dashed line it is.",
        x=x,
        x_name="said",
        scale="number",
        series=[
            Series("as said", x, tone="baseline", dashed=True),
            Series("true", [group.true for group in groups], "points"),
        ],
        command=case.command("tail", f"{case.name}.examples", "--from-beginning", "--to-end"),
    )


def of_classes(case: Case, bins: Sequence[Bin]) -> Chart:
    """Probabilities against how often they came true."""
    x = [100 * found.said for found in bins]
    return Chart(
        id="calibration",
        title="Do probabilities mean what they say?",
        say="On the dashed line they do: what was said with 80 % came true in 80 of 100.",
        x=x,
        x_name="said [%]",
        scale="number",
        unit="%",
        series=[
            Series("as said", x, tone="baseline", dashed=True),
            Series("came true", [100 * found.true for found in bins], "points"),
        ],
        command=case.command("metrics", case.file, "--by", "probability"),
    )


def importance(case: Case, found: Sequence[Importance]) -> Chart:
    """The loss that each feature saves the champion, over time."""
    total: dict[str, float] = defaultdict(float)
    for window in found:
        for name, loss in window.features.items():
            total[name] += loss
    top = sorted(total, key=lambda name: -total[name])[:FEATURES]
    return Chart(
        id="importance",
        title="What its answers lean on",
        say="By how much the champion's loss would grow if a feature's values were shuffled.",
        x=[float(seconds_of(window.start) or 0) for window in found],
        series=[
            Series(name, [window.features.get(name) for window in found], tone=f"m{number}")
            for number, name in enumerate(top)
        ],
        group="time",
        zero=True,
        command=case.command("metrics", case.file, "--by", "feature"),
    )
