"""The benchmark's use case: the same models as the peers', with what riverrun writes by default.

Features, predictions, examples, metrics and the journal, exactly once. What else a prediction may
carry is off, and each has its own price in the table: BENCH_WITH names what to turn on, of
`interval`, `contributions`, `drift`, `segments`, `challengers=N`; `nobreaker` turns that one off.
An unknown name ends the run: a price would be measured of nothing. A real use case says such things
in its file; here each run has topics of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from models.spec.use_case import Kpi, Segments, UseCase
from models.values.durations import hours
from schemas.events import Event, Outcome

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from flights_models import FEATURES, MODELS

WITH = set(filter(None, os.environ.get("BENCH_WITH", "").split(",")))
CHALLENGERS = next((int(w.partition("=")[2]) for w in WITH if w.startswith("challengers=")), 0)
NAMES = {"interval", "contributions", "drift", "segments", "challengers", "nobreaker"}
if unknown := {name.partition("=")[0] for name in WITH} - NAMES:
    raise SystemExit(f"BENCH_WITH does not know {sorted(unknown)}; it knows {sorted(NAMES)}")


class Departure(Event):
    """An aircraft has left its gate."""

    tailnum: str
    carrier: str
    origin: str
    dest: str
    hour: str
    weekday: str
    minute_of_day: float = Field(description="Scheduled departure, local.")
    block: float = Field(description="Scheduled minutes from gate to gate.")
    distance: float = Field(description="Miles.")
    dep_delay: float = Field(description="Minutes late at the gate.")
    temp: float = Field(description="Last filed at the origin, in °F.")


class Arrival(Outcome):
    """The aircraft has reached its gate."""

    arr_delay: float = Field(description="Minutes late.")


options: dict[str, Any] = {
    "interval": 0.9 if "interval" in WITH else None,
    "contributions": 3 if "contributions" in WITH else 0,
    "drift_features": None if "drift" in WITH else (),
    "segments": Segments("carrier") if "segments" in WITH else None,
    "breaker": "nobreaker" not in WITH,
}

RIVERRUN_FLIGHTS = UseCase(
    name=os.environ.get("BENCH_NAME", "riverrun_flights"),
    owner="benchmarks",
    event=Departure,
    outcome=Arrival,
    key="tailnum",
    label=lambda e, o: o.arr_delay,
    features=Departure.fields(*FEATURES),
    models=dict(list(MODELS.items())[: 1 + CHALLENGERS]),
    champion="adam",
    baseline=lambda e: e.dep_delay,
    metric="mae",
    kpi=Kpi(
        lambda e, o, prediction: abs(prediction - o.arr_delay),
        unit="minutes",
        better="lower",
        range=(0, 540),
    ),
    horizon=hours(24),
    learning="partition",  # as its peers
    warmup=0,
    # So that what is compared is what the model says, however far from all labels before.
    limits=(-5_000, 5_000),
    topics={"events": os.environ.get("BENCH_EVENTS", "bench.events"),
            "outcomes": os.environ.get("BENCH_OUTCOMES", "bench.outcomes")},
    **options,
)  # fmt: skip
