"""The chart of feature importance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from streams.monitor.store.view_models import Importance
from streams.web.render.chart import Chart, Series
from streams.web.render.formatting import seconds_of
from streams.web.state.page_model import Case

FEATURES = 6


def importance_chart(case: Case, windows: Sequence[Importance]) -> Chart:
    """Return the chart of permutation importance of the champion's features."""
    total: dict[str, float] = defaultdict(float)
    for window in windows:
        for name, loss in window.features.items():
            total[name] += loss
    top = sorted(total, key=lambda name: -total[name])[:FEATURES]
    return Chart(
        id="importance",
        title="Feature importance",
        caption="The increase of the champion's loss if a feature's values are permuted.",
        x=[float(seconds_of(window.start) or 0) for window in windows],
        series=[
            Series(name, [window.features.get(name) for window in windows], tone=f"m{number}")
            for number, name in enumerate(top)
        ],
        group="time",
        zero=True,
        command=case.command("metrics", case.file, "--by", "feature"),
    )
