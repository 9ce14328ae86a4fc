"""Charts of calibration.

That of regression is of a sample of the newest examples, read from the topic on demand: means of
some thousand records, for a chart and not for decisions. That of classification is of all examples,
which the monitor counts (streams/monitor/store/model_quality_queries.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from streams.kafka.topic_reader import TopicReader
from streams.monitor.store.view_models import CalibrationBin
from streams.web.render.chart import Chart, Series
from streams.web.state.page_model import Case

EXAMPLES, BINS, GROUP_MIN = 800, 10, 5
"""Examples of each partition, groups of equal size, and the least size of a group."""


class CalibrationGroup(NamedTuple):
    """The mean prediction and mean outcome of `n` predictions of similar size."""

    predicted: float
    observed: float
    n: int


async def sample_groups(case: Case) -> list[CalibrationGroup]:
    """Return groups of the newest examples by prediction, or none; raises `Unavailable`."""
    topic = case.names["examples"]
    async with TopicReader([topic], case.settings) as reader:
        bounds = await reader.bounds()
        learnt = [
            example
            for partition in reader.topic_partitions
            async for _, example in reader.rows(
                "examples", partition, bounds[partition][1] - EXAMPLES
            )
        ]
    return _groups(learnt)


def _groups(examples: Sequence[Mapping[str, Any]]) -> list[CalibrationGroup]:
    candidates = (_pair(example) for example in examples if example["source"] == "outcome")
    pairs = sorted(pair for pair in candidates if pair is not None)
    size = len(pairs) // BINS
    if size < GROUP_MIN:
        return []
    parts = [pairs[n * size : (n + 1) * size] for n in range(BINS)]
    return [
        CalibrationGroup(fmean(p[0] for p in part), fmean(p[1] for p in part), size)
        for part in parts
    ]


def _pair(example: Mapping[str, Any]) -> tuple[float, float] | None:
    predicted, observed = example["prediction"], example["label"]
    if isinstance(predicted, str) or isinstance(observed, str):
        return None
    return float(predicted), float(observed)


def regression_calibration(case: Case, groups: Sequence[CalibrationGroup]) -> Chart:
    """Return the chart of mean outcomes by predicted value."""
    x = [group.predicted for group in groups]
    return Chart(
        id="calibration",
        title="Calibration",
        caption=f"Ten groups of {groups[0].n:,} newest outcomes by prediction; on the dashed line "
        "the mean outcome equals the mean prediction."
        if groups
        else "There are too few outcomes so far.",
        x=x,
        x_name="prediction",
        scale="number",
        series=[
            Series("prediction", x, tone="baseline", dashed=True),
            Series("outcome", [group.observed for group in groups], "points"),
        ],
        command=case.command("tail", f"{case.name}.examples", "--from-beginning", "--to-end"),
    )


def class_calibration(case: Case, bins: Sequence[CalibrationBin]) -> Chart:
    """Return the chart of observed frequencies by predicted probability."""
    x = [100 * bin.predicted for bin in bins]
    return Chart(
        id="calibration",
        title="Calibration",
        caption="On the dashed line the observed frequency equals the predicted probability.",
        x=x,
        x_name="predicted probability [%]",
        scale="number",
        unit="%",
        series=[
            Series("prediction", x, tone="baseline", dashed=True),
            Series("observed frequency", [100 * bin.observed for bin in bins], "points"),
        ],
        command=case.command("metrics", case.file, "--by", "probability"),
    )
