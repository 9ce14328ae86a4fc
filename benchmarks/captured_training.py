"""The training set that captured itself: learnt offline by scikit-learn, beside what was served.

    riverrun demo --events 50000 --no-page              # prints the prefix of its topics
    riverrun capture flight_eta examples --to captured --prefix PREFIX
    python -P -m benchmarks.captured_training captured/PREFIXflight_eta.examples

Split at a moment: what had its label by then is trained on, what was asked after it is judged. The
online models had learnt up to each event; the offline ones know nothing after the moment. So this
is no contest between libraries: it shows what a retrained batch model would be worth here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import pandas
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

TRAINED_ON = 0.7
"""Share of the events, by their time, before the moment."""


def offline() -> dict[str, Any]:
    """What is trained, from the columns as they were captured."""
    words, numbers = (
        make_column_selector(dtype_exclude="number"),
        make_column_selector(dtype_include="number"),
    )
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    linear = make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), words)
    )
    coded = make_column_transformer((codes, words), remainder="passthrough")
    return {
        "ridge": make_pipeline(linear, Ridge(1.0)),
        "boosted trees": make_pipeline(
            coded, HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
        ),
    }


def main(folder: str) -> int:
    """Train, judge, print."""
    examples = pandas.read_parquet(Path(folder)).sort_values("event_time")
    examples = examples[examples["learnt"] & (examples["source"] == "outcome")]
    moment = examples["event_time"].iloc[int(len(examples) * TRAINED_ON)]
    past = examples[examples["outcome_time"] < moment]
    after = examples[examples["event_time"] >= moment]
    print(
        f"{len(past):,} examples labelled by {moment:%Y-%m-%d %H:%M}, {len(after):,} asked later\n"
    )
    shadows = pandas.DataFrame([orjson.loads(text) for text in after["shadows"]])
    print("mean absolute error on what was asked later, minutes")
    line = "  {:<34} {:7.3f}".format
    label = after["label"].to_numpy()
    error: Callable[[Any], float] = lambda prediction: float(abs(prediction - label).mean())  # noqa: E731
    print(line("baseline", error(after["baseline"].to_numpy())))
    for name in [name for name in shadows if "[" not in name]:
        print(
            line(
                f"online, {name}", error(shadows[name].fillna(after["baseline"].mean()).to_numpy())
            )
        )
    print(line("online, as served", error(after["prediction"].to_numpy())))
    columns = [name for name in examples if name.startswith("features.")]
    for name, model in offline().items():
        began = perf_counter()
        # As the online models: what the baseline gets wrong is learnt.
        model.fit(past[columns], past["label"] - past["baseline"])
        predictions = after["baseline"].to_numpy() + model.predict(after[columns])
        print(
            line(f"offline, {name}", error(predictions)),
            f"  trained in {perf_counter() - began:.1f} s",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
