"""What it costs when 20 % of the traps are labelled as good pages, with and without safeguards.

    python -P -m benchmarks.decisions.flipped_labels           # a minute

The use case `phishing`, its 1,250 pages played eight times over (10,000 pages, one partition). In
the second half, every fifth verdict "trap" comes as "good"; the models learn it. What was served in
that half is scored by the true verdicts: share right, traps let through, EUR a page.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from usecases.phishing import PHISHING, cost

ROUNDS = 8
Verdicts = Callable[[random.Random, bool], bool]
FLIPPED: dict[str, Verdicts] = {
    "labels as they are": lambda rng, trap: trap,
    "20 % of traps flipped": lambda rng, trap: trap and rng.random() >= 0.2,
    "50 % of traps flipped": lambda rng, trap: trap and rng.random() >= 0.5,
    "all labels turned": lambda rng, trap: not trap,
}


class Page:
    """What the KPI asks of an outcome."""

    def __init__(self, phishing: bool) -> None:
        self.phishing = phishing


def pages() -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """(Round, kind, fields): the recorded pages again and again, each round after the last."""
    assert PHISHING.recorded is not None
    rows = list(PHISHING.recorded())
    times = [f["event_time"] if kind == "event" else f["outcome_time"] for kind, f in rows]
    length = max(times) - min(times) + timedelta(hours=1)
    for n in range(ROUNDS):
        for kind, fields in rows:
            name = "event_time" if kind == "event" else "outcome_time"
            moved = {"event_id": f"{n}-{fields['event_id']}", name: fields[name] + n * length}
            yield n, kind, {**fields, **moved}


def served(case: UseCase, flip: Verdicts) -> tuple[float, float, float, list[str]]:
    """Share right, traps let through, EUR a page, and what the safeguards did."""
    backtest, rng = Backtest(case, 1, "bench"), random.Random(1)
    truth: dict[str, bool] = {}
    predictions: dict[str, bool] = {}
    acts: list[str] = []
    for n, kind, fields in pages():
        labelled = fields
        if kind == "outcome" and n >= ROUNDS // 2:
            truth[fields["event_id"]] = fields["phishing"]
            labelled = {**fields, "phishing": flip(rng, fields["phishing"])}
        for out in backtest.feed(kind, labelled):
            if out.kind == "predictions" and n >= ROUNDS // 2:
                value = orjson.loads(out.value)
                predictions[value["event_id"]] = value["value"]
            elif out.kind == "lifecycle":
                told = orjson.loads(out.value)
                if told["cause"] == "safeguard" and told["model"] == case.champion:
                    acts.append(f"{told['to_state']}: {told['why'].partition(';')[0]}")
    pairs = [(predictions[i], trap) for i, trap in truth.items() if i in predictions]
    right = sum(guess == trap for guess, trap in pairs) / len(pairs)
    missed = sum(trap and not guess for guess, trap in pairs) / sum(trap for _, trap in pairs)
    euros = sum(cost(None, Page(trap), guess) for guess, trap in pairs) / len(pairs)  # type: ignore[arg-type]
    return right, missed, euros, acts


def main() -> None:
    """Print the table."""
    print(f"{'':24s}{'':10s}{'right':>8s}{'missed':>8s}{'EUR':>8s}  what the safeguards did")
    for name, flip in FLIPPED.items():
        for on in (True, False):
            right, missed, euros, acts = served(replace(PHISHING, breaker=on), flip)
            guard = "guarded" if on else "without"
            shown = "; ".join(acts) or "nothing"
            print(
                f"{name:24s}{guard:10s}{right:8.1%}{missed:8.1%}{euros:8.2f}  {shown}", flush=True
            )


if __name__ == "__main__":
    main()
