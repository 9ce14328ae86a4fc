"""Use cases and streams at the edge of what is possible, for the fuzz of `apply`.

A `Case` is a choice of each part; from it and a seed follow a use case and its records, so that a
failing one is named by a few words. Values are those that break arithmetic: zeros, constants, the
least and the largest numbers, numbers that are not ones; text that is no text; all at one time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from random import Random
from typing import Any

import orjson
from hypothesis import strategies as st

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import COMMANDS, EVENTS, HISTORY, OUTCOMES
from models.spec.problem_types import OF_KIND
from models.spec.use_case import Contest, Kpi, Promotion, Segments, UseCase
from schemas.events import Event, Outcome
from tests.support.one_partition import at, command
from tests.support.task_runs import Given
from tests.support.use_cases.odd_models import (
    ANSWERS,
    CLASSES,
    MANY,
    NUMERIC,
    SaysClass,
    SaysNumber,
)

TINY, HUGE = 5e-324, 1e100
NUMBERS: dict[str, Callable[[Random, int], float]] = {
    "zero": lambda _r, _n: 0.0,
    "minus zero": lambda _r, _n: -0.0,
    "constant": lambda _r, _n: 7.0,
    "two": lambda r, _n: float(r.random() < 0.5),
    "rare": lambda r, _n: float(r.random() < 0.02),
    "tiny": lambda r, _n: r.choice((TINY, -TINY, 0.0, 1e-300)),
    "huge": lambda r, _n: r.choice((HUGE, -HUGE)),
    "past the limit": lambda r, _n: r.choice((1.7e308, -1.7e308, 1.1e100, 1.0)),
    "whole": lambda r, _n: r.choice((2**53 + 1, 2**64 - 1, -(2**63), 0)),
    "shift": lambda r, n: 7.0 if n < 400 else 500.0 + r.gauss(0, 1),
    "burst": lambda r, n: r.gauss(0, 1) if n % 500 else HUGE,
    "usual": lambda r, _n: r.gauss(10, 3),
    "all sizes": lambda r, _n: r.choice((-1, 1)) * 10.0 ** r.uniform(-323, 100),
}
TEXTS: dict[str, tuple[str | None, ...]] = {
    "none": (None,),
    "one": ("a",),
    "few": ("a", "b", None),
    "odd": ("", "\0", "é" * 40, "\u2028", "x" * 5_000, "nan", "💶", "a.b/[c]"),
}
TIMES: dict[str, Callable[[Random, int], float]] = {
    "one moment": lambda _r, _n: 0.0,
    "steps": lambda _r, n: 10.0 * n,
    "slow": lambda _r, n: 600.0 * n,
    "back and forth": lambda r, n: 10.0 * n - r.choice((0, 0, 500, 3_000)),
    "before 1970": lambda _r, n: -1_600_000_000.0 + 7.3 * n,
}


class Thing(Event):
    """Any event."""

    key: str = "k"
    size: float = 1.0
    count: int | None = None
    word: str | None = None


class Answer(Outcome):
    """Any outcome."""

    value: float | int = 0.0


@dataclass(frozen=True)
class Case:
    """One choice of each part."""

    kind: str
    metric: int
    label: str
    size: str
    count: str
    word: str
    times: str
    delay: str
    baseline: str
    honest: str
    odd: str
    champion: int
    cost: str
    target: str
    limits: str
    interval: float | None
    label_on_timeout: bool
    weight: str
    plausible: str
    segments: int
    contest: str
    on_drift: str
    contributions: int
    window: float
    horizon: float
    seed: int

    def __str__(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))


def of(choices: Any) -> st.SearchStrategy[Any]:
    """One of them."""
    return st.sampled_from(list(choices))


CASES = st.builds(
    Case,
    kind=of(OF_KIND),
    metric=st.integers(0, 2),
    label=of(NUMBERS),
    size=of(NUMBERS),
    count=of([*NUMBERS, "missing"]),
    word=of(TEXTS),
    times=of(TIMES),
    delay=of(["none", "short", "long", "mixed", "before"]),
    baseline=of(["zero", "constant", "size", "tiny", "huge", "fails", "sure", "half"]),
    honest=of(["linear", "raw", "tree"]),
    odd=of(ANSWERS),
    champion=st.integers(0, 1),
    cost=of(["error", "zero", "constant", "huge", "tiny", "fails"]),
    target=of(["label", "label - baseline"]),
    limits=of(["none", "narrow", "wide"]),
    interval=of([None, 0.9, 0.01, 0.999]),
    label_on_timeout=st.booleans(),
    weight=of(["none", "zero", "tiny", "huge", "size"]),
    plausible=of(["none", "narrow", "fails"]),
    segments=st.integers(0, 3),
    contest=of(["plain", "sampled", "experiment", "whole arm", "acting"]),
    on_drift=of(["alert", "reset", "challenger", "fallback"]),
    contributions=of([0, 3]),
    window=of([1.0, 600.0, 86_400.0]),
    horizon=of([1.0, 3_600.0, 864_000.0]),
    seed=st.integers(0, 2**32 - 1),
)


def use_case_of(case: Case) -> UseCase:
    """The use case of a choice."""
    numbers, binary = case.kind == "regression", case.kind == "binary"
    never: Any = 0.0 if numbers else False if binary else "never"
    honest = NUMERIC if numbers else CLASSES if binary else MANY
    says = SaysNumber if numbers else SaysClass
    names = {"honest": list(honest.values())[list(NUMERIC).index(case.honest)]}
    models = {**names, "odd": lambda: says(ANSWERS[case.odd])}
    models["odd2"] = models["odd"]
    metrics = OF_KIND[case.kind]
    return UseCase(
        name="edge",
        owner="tests",
        event=Thing,
        outcome=Answer,
        key="key",
        kind=case.kind,  # type: ignore[arg-type]
        label=_label(case),
        features={
            **Thing.fields("size", "count", "word"),
            "seen": over_events(by=("key", "word"), last=100, keys=3).count(),
            "sum": over_events(by="key", last=1_000).sum(lambda e, _x: e.size),
            "mean": over_outcomes(by=("key", "word"), half_life=0.001, keys=2).mean(
                lambda _e, o, _x: float(o.value), empty=0.0
            ),
            "most": over_outcomes(by="key", last=50).max(
                lambda _e, o, _x: float(o.value), empty=-0.0
            ),
            "shrunk": over_events(by="key", half_life=1e9).mean(
                lambda e, _x: e.size, prior="sum", weight=0
            ),
        },
        models=models,
        champion=("honest", "odd")[case.champion],
        baseline=_baseline(case),
        metric=metrics[case.metric % len(metrics)],  # type: ignore[arg-type]
        kpi=Kpi(
            _cost(case),
            unit="EUR",
            better="lower" if case.seed % 2 else "higher",
            range={"huge": (-HUGE, HUGE), "tiny": (0.0, 1e-100)}.get(case.cost, (0.0, 100.0)),
        ),
        horizon=case.horizon,
        target=case.target if numbers else "label",  # type: ignore[arg-type]
        limits={"none": None, "narrow": (6.0, 8.0), "wide": (-HUGE, HUGE)}[case.limits]
        if numbers
        else None,
        interval=case.interval,
        label_on_timeout=never if case.label_on_timeout else None,
        weight=_weight(case),
        plausible=_plausible(case, numbers),
        warmup=0 if case.seed % 3 else 2,
        segments=Segments(lambda e: str(e.word)[:9], limit=case.segments)
        if case.segments
        else None,
        slices={"word": lambda e: str(e.word)[:9], "by key": "key"},
        contest=_contest(case),
        promotion=Promotion(after=1),
        window=case.window,
        id_retention=case.horizon * (1 if case.seed % 5 else 4),
        on_drift=case.on_drift,  # type: ignore[arg-type]
        contributions=case.contributions,
        waiting_limit=1_000_000 if case.seed % 7 else 5,
        waiting_bytes=512 << 20 if case.seed % 13 else 2_000,
        early_limit=10_000 if case.seed % 11 else 2,
        early_bytes=32 << 20 if case.seed % 17 else 1_000,
        max_jump=1e10,
    )


def _label(case: Case) -> Callable[[Any, Any], Any]:
    if case.kind == "regression":
        return lambda _e, o: o.value
    if case.kind == "binary":
        return lambda _e, o: o.value > 7
    return lambda _e, o: f"{o.value:.3g}" if case.seed % 2 else int(o.value)


def _baseline(case: Case) -> Callable[[Any], Any]:
    numbers: dict[str, Callable[[Any], Any]] = {
        "zero": lambda _e: 0.0,
        "constant": lambda _e: 7.0,
        "size": lambda e: e.size,
        "tiny": lambda _e: TINY,
        "huge": lambda _e: HUGE,
        "fails": lambda e: 1.0 / e.size,
        "sure": lambda _e: -0.0,
        "half": lambda _e: 2**63,
    }
    if case.kind == "regression":
        return numbers[case.baseline]
    shares = {"zero": 0.0, "tiny": TINY, "half": 0.5, "sure": True, "huge": 1 - 1e-16}
    if case.kind == "binary":
        if case.baseline == "fails":
            return lambda e: 1.0 / e.size
        return lambda _e: shares.get(case.baseline, False)
    classes: dict[str, Any] = {
        "zero": {"7": 0.0, "0": 0.0},
        "half": {"7": 0.5, "0": 0.5},
        "tiny": {"7": TINY},
        "huge": {"7": HUGE},
        "fails": {},
        "size": "",
    }
    return lambda _e: classes.get(case.baseline, "7")


def _cost(case: Case) -> Callable[[Any, Any, Any], Any]:
    if case.cost == "error" and case.kind == "regression":
        return lambda _e, o, s: abs(s - o.value)
    costs: dict[str, Callable[[Any, Any, Any], Any]] = {
        "zero": lambda _e, _o, _s: 0.0,
        "huge": lambda _e, o, _s: o.value * 1e50,
        "tiny": lambda _e, _o, s: TINY if s else 0.0,
        "fails": lambda e, o, _s: o.value / e.size,
    }
    return costs.get(case.cost, lambda _e, _o, _s: 1.0)


def _weight(case: Case) -> Callable[[Any, Any], float] | None:
    weighs = case.honest == "tree" or (case.honest == "linear" and case.kind != "multiclass")
    if case.weight == "none" or not (weighs or case.kind == "regression"):
        return None
    sizes = {"zero": 0.0, "tiny": TINY, "huge": HUGE}
    return lambda e, _o: sizes.get(case.weight, e.size)


def _plausible(case: Case, numbers: bool) -> Any:
    if case.plausible == "none":
        return None
    if case.plausible == "fails":
        return lambda e, o: o.value / e.size >= 0
    return (0.0, 100.0) if numbers else lambda _e, o: o.value < 100


def _contest(case: Case) -> Contest:
    fields: dict[str, dict[str, Any]] = {
        "plain": {},
        "sampled": {"shadow": 0.5},
        "experiment": {"experiment": {"odd2": 0.3}, "holdout": 0.2, "unit": "key"},
        "whole arm": {"experiment": {"odd2": 0.99}, "unit": "word"},
        "acting": {"experiment": {"odd2": 0.5}, "acts_on_outcome": True},
    }
    return Contest(**fields[case.contest], alpha=0.05 if case.seed % 2 else 0.9)


def records(case: Case, count: int) -> Iterator[Given]:
    """Events and what follows on them, in the order in which they are taken; some are broken."""
    random = Random(case.seed)
    delays = {"none": (0.0,), "short": (1.0,), "long": (case.horizon * 1.5,), "before": (-30.0,)}
    later: list[tuple[int, Given]] = []
    for n in range(count):
        second = TIMES[case.times](random, n)
        event: dict[str, Any] = {
            "event_id": _id(n, random),
            "event_time": at(second),
            "key": random.choice("ab"),
            "size": NUMBERS[case.size](random, n),
            "word": random.choice(TEXTS[case.word]),
        }
        if case.count != "missing":
            event["count"] = int(max(-(2**63), min(NUMBERS[case.count](random, n), 2**64 - 1)))
        key = event["key"].encode()
        index = HISTORY if random.random() < 0.02 else EVENTS
        yield from _several(Given(index, key, _json(event)), random)
        delay = random.choice(delays.get(case.delay, (0.0, 1.0, 3_000.0, -5.0, case.horizon)))
        outcome = {
            "event_id": event["event_id"] if random.random() < 0.97 else f"nobody{n}",
            "outcome_time": at(second + delay),
            "value": NUMBERS[case.label](random, n),
        }
        if random.random() < 0.9:
            due = n + random.choice((0, 0, 1, 30))
            later.append((due, Given(OUTCOMES, key, _json(outcome))))
        for row in [row for row in later if row[0] <= n]:
            later.remove(row)
            yield from _several(row[1], random)
        if random.random() < 0.01:
            yield Given(COMMANDS, b"c", _json(_command(n, second, random)))


def _several(record: Given, random: Random) -> Iterator[Given]:
    """Once, mostly; or again, or broken."""
    yield record
    chance = random.random()
    if chance < 0.02:
        yield record
    elif chance < 0.04:
        cut = random.randrange(len(record.value))
        odd = (b"\xff", b"\\ud800", b"1e999", b"NaN", b"-", b"null", b'"')
        yield record._replace(value=record.value[:cut] + random.choice(odd) + record.value[cut:])


def _id(n: int, random: Random) -> str:
    chance = random.random()
    if chance < 0.9:
        return f"e{n}"
    odd = ("\0" * 3, " ", "x" * 256, "'; rm -rf", "\u2028", "💶", "\r\n")
    return random.choice(odd) + ("" if chance > 0.95 else str(n % 90))[:3]


def _json(value: Any) -> bytes:
    """As orjson writes it, and as Python's json where that cannot (it takes any number)."""
    if isinstance(value.get("value"), float) or "size" in value:
        value = {k: v for k, v in value.items() if not (isinstance(v, float) and math.isnan(v))}
    return orjson.dumps(value)


VERBS = (
    "promote", "rollback", "freeze", "unfreeze", "experiment", "drain", "retire", "reset",
    "release", "deliver", "set-watermark",
)  # fmt: skip


def _command(n: int, second: float, random: Random) -> dict[str, Any]:
    return command(
        f"c{n}",
        random.choice(VERBS),
        model=random.choice(("honest", "odd", "odd2", "nobody")),
        share=random.choice((0.0, 0.3, 1.0, TINY)),
        event_ids=[f"e{random.randrange(n + 1)}" for _ in range(20)],
        watermark=at(second - random.choice((0, 100, 5_000))),
    )
