"""What is in the flights' KPI before any model: the baseline, and the best constant added to it.

    python -P -m benchmarks.decisions.worth_of_flights         # ten seconds

The naive answer is that a flight arrives as late as it left. But schedules leave room, and flights
make up time in the air: a constant taken off is what any dispatcher knows. It is chosen here in
hindsight, which flatters it. What the model brings beyond it is what was learnt of the single
flight.
"""

from __future__ import annotations

from itertools import islice

from usecases.flight_eta import Arrival, Departure, cost, recorded

RECORDS = 100_000


def pairs(records: int) -> list[tuple[Departure, Arrival]]:
    """Departures with their arrivals, of so many recorded rows."""
    left: dict[str, Departure] = {}
    rows = []
    for kind, fields in islice(recorded(), records):
        if kind == "event":
            event = Departure.model_validate(fields, strict=False)
            left[event.event_id] = event
        else:
            outcome = Arrival.model_validate(fields, strict=False)
            rows.append((left.pop(outcome.event_id), outcome))
    return rows


def usd_a_flight(known: list[tuple[Departure, Arrival]], shift: float) -> float:
    """The KPI of "as late as it left", and so many minutes more."""
    return sum(cost(e, o, e.dep_delay + shift) for e, o in known) / len(known)


def main() -> None:
    """Print the table."""
    known = pairs(RECORDS)
    by_shift = {shift: usd_a_flight(known, shift) for shift in range(-20, 6)}
    best = min(by_shift, key=by_shift.__getitem__)
    print(f"{len(known):,} flights that arrived, of {RECORDS:,} records: USD a flight")
    print(f"  as late as it left (the baseline)        {by_shift[0]:6.1f}")
    print(f"  and {best} minutes, the best constant      {by_shift[best]:6.1f}")
    print("  what is served: riverrun worth flight_eta --from-backtest --limit 100000")


if __name__ == "__main__":
    main()
