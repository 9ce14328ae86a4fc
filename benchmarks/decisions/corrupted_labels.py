"""Labels of flights corrupted on their way: how soon the baseline is served, and the way back.

    python -P -m benchmarks.decisions.corrupted_labels         # about six minutes

The use case `flight_eta` as it is, in one partition task: 200,000 flights of the year as they were,
then 4,000 whose labels are corrupted in eight ways while the models go on learning them, then
12,000 mended ones. Errors are against the true labels, over the corrupted flights. The last line of
each is with `plausible` bounds declared: what they hold back is not learnt at all.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from models.task.checkpoint import parts_of, take_parts
from usecases.flight_eta import FLIGHT_ETA

START, BAD, MENDED = 200_000, 4_000, 12_000
Row = tuple[str, Mapping[str, Any]]
CORRUPT: dict[str, Callable[[random.Random, float], float]] = {
    "sign turned": lambda rng, label: -label,
    "another flight's": lambda rng, label: rng.choice(SEEN),
    "noise of sd 100 added": lambda rng, label: label + rng.gauss(0.0, 100.0),
    "hours for minutes": lambda rng, label: label / 60.0,
    "seconds for minutes": lambda rng, label: label * 60.0,
    "always 0": lambda rng, label: 0.0,
    "always 999": lambda rng, label: 999.0,
    "20 % negated": lambda rng, label: -label if rng.random() < 0.2 else label,
}
SEEN: list[float] = []


@dataclass
class Played:
    """A state after so many flights, and the records that follow."""

    case: UseCase
    state: bytes
    offsets: dict[tuple[int, int], int]
    rest: list[Row]
    bad: set[str]

    @classmethod
    def of(cls, case: UseCase, start: int, bad: int, mended: int) -> Played:
        """The recorded flights played to flight number `start`."""
        assert case.recorded is not None
        backtest, rest, flights, ids = Backtest(case, 1, "bench"), [], 0, []
        for kind, fields in case.recorded():
            flights += kind == "event"
            if flights <= start:
                backtest.feed(kind, fields)
                if kind == "outcome":
                    SEEN.append(fields["arr_delay"])
                continue
            if flights > start + bad + mended:
                break
            rest.append((kind, fields))
            if kind == "event" and flights <= start + bad:
                ids.append(str(fields["event_id"]))
        task = backtest.task(0)
        state = pickle.dumps((parts_of(task), task.ledger.entries))
        return cls(case, state, dict(backtest._offsets), rest, set(ids))

    def again(self, case: UseCase) -> Backtest:
        """A fresh task in that state."""
        backtest = Backtest(case, 1, "bench", _offsets=dict(self.offsets))
        take_parts(backtest.task(0), *pickle.loads(self.state))
        return backtest


@dataclass
class Found:
    """What became of one corruption: labelled examples to the trip, and to the way back."""

    trips_at: int | None = None
    cause: str = ""
    back_at: int | None = None
    held: int = 0
    errors: dict[str, list[float]] = field(default_factory=lambda: {"alone": [], "served": []})

    def mean(self, name: str) -> float:
        """Mean absolute error, minutes."""
        return sum(self.errors[name]) / len(self.errors[name])


def corrupted(played: Played, name: str, case: UseCase | None = None) -> Found:
    """Play on with labels corrupted in that way."""
    case = case or played.case
    backtest, rng, tally = played.again(case), random.Random(1), Found()
    truth: dict[str, float] = {
        str(f["event_id"]): f["arr_delay"] for kind, f in played.rest if kind == "outcome"
    }
    seen = {"bad": 0, "good": 0}
    for kind, record in played.rest:
        fields = record
        if kind == "outcome":
            wrong = record["event_id"] in played.bad
            seen["bad" if wrong else "good"] += 1
            if wrong:
                # The declared label is whole minutes; another type would be malformed.
                fields = {**record, "arr_delay": round(CORRUPT[name](rng, record["arr_delay"]))}
        for out in backtest.feed(kind, fields):
            if out.kind == "predictions":
                _note(tally, orjson.loads(out.value), played.bad, truth, case.champion)
            elif out.kind == "lifecycle":
                _told(tally, orjson.loads(out.value), seen, case.champion)
    tally.held = backtest.task(0).counts["quarantined"]
    return tally


def _note(
    tally: Found, prediction: dict[str, Any], bad: set[str], truth: dict[str, float], model: str
) -> None:
    label = truth.get(prediction["event_id"])
    if prediction["event_id"] in bad and label is not None:
        tally.errors["served"].append(abs(prediction["value"] - label))
        alone = prediction["shadows"][model]
        tally.errors["alone"].append(abs((prediction["value"] if alone is None else alone) - label))


def _told(tally: Found, told: dict[str, Any], seen: dict[str, int], model: str) -> None:
    if told["model"] != model or told["cause"] != "safeguard":
        return
    opened = told["why"].endswith("the baseline is served")  # not one value that left its limits
    if told["to_state"] == "withheld" and opened and tally.trips_at is None and seen["bad"]:
        tally.trips_at, tally.cause = seen["bad"], told["why"].partition(";")[0]
    elif told["to_state"] != "withheld" and seen["good"] > 0:
        tally.back_at = seen["good"]


def main(start: int = START) -> None:
    """Print the table."""
    played = Played.of(FLIGHT_ETA, start, BAD, MENDED)
    bounded = replace(FLIGHT_ETA, plausible=(-120.0, 1500.0))
    print(f"Labels of {BAD:,} flights corrupted after {start:,}; MAE over them in minutes")
    print(f"  {'':24s}{'trips at':>9s}  {'because':30s}{'back at':>8s}{'alone':>8s}{'served':>8s}")
    for name in CORRUPT:
        _show(name, corrupted(played, name))
    _show("always 999, breaker off", corrupted(played, "always 999", _unguarded()))
    held = corrupted(played, "seconds for minutes", bounded)
    _show(f"seconds, {held.held:,} held", held)


def _unguarded() -> UseCase:
    return replace(FLIGHT_ETA, breaker=False)


def _show(name: str, tally: Found) -> None:
    errors = f"{tally.mean('alone'):8.2f}{tally.mean('served'):8.2f}"
    row = f"{tally.trips_at!s:>9s}  {tally.cause:30s}{tally.back_at!s:>8s}{errors}"
    print(f"  {name:24s}{row}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else START)
