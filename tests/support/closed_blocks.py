"""Closed blocks as partitions say them, and a decider that folds them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from models.promotion.block_merger import BlockMerger, seconds
from models.promotion.decider import Decided, Decider
from models.promotion.standings import standings
from models.spec.use_case import Kpi, Promotion, UseCase
from models.values.durations import days, hours
from schemas.records import Evidence
from tests.support.one_partition import linear, use_case

DAY = days(1)
BEGIN = seconds("2020-01-01T00:00:00+00:00")


def case(mode: str = "manual", **changes: Any) -> UseCase:
    """Three models; the KPI is a cost."""
    promotion = {"after": 1_000} | changes.pop("promotion", {})
    plain: dict[str, Any] = {
        "models": {"linear": linear, "tree": linear, "slow": linear},
        "promotion": Promotion(mode, **promotion),  # type: ignore[arg-type]
        "kpi": Kpi(lambda _e, o, s: abs(s - o.took), unit="EUR", better="lower", range=(0, 100)),
        "window": DAY,
        "horizon": hours(6),
    }
    return use_case(**(plain | changes))


def moment(time: float | None) -> str | None:
    """As a record has it."""
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat()


def evidence(partition: int, day: int, **changes: Any) -> dict[str, Any]:
    """One partition's record of one day: costs a prediction of each model, and noise of the day."""
    fields: dict[str, Any] = {
        "n": 300, "cost": {"baseline": 12.0, "linear": 10.0, "tree": 10.0, "slow": 10.0},
        "served": None, "champion": "linear", "champion_since": None, "began": {}, "arms": {},
        "experiment_since": None, "missing": 0, "definition": "d1", "noise": 0.3, "mae": {},
        "withheld": {}, "diverged": {},
    } | changes  # fmt: skip
    n = fields["n"]
    draw = random.Random(f"{partition} {day}")
    level = draw.gauss(0, 1.0)
    costs = {
        name: n * (cost + level + draw.gauss(0, fields["noise"]))
        for name, cost in fields["cost"].items()
    }
    served = fields["served"] or fields["champion"]
    start = BEGIN + day * DAY
    record = {
        "use_case": "parcels",
        "partition": partition,
        "block_start": moment(start),
        "block_s": DAY,
        "settled_before": moment(start + DAY),
        "segment": None,
        "slice": None,
        "predictions": n + fields["missing"],
        "missing": fields["missing"],
        "kpi_n": n,
        "kpi": {"served": costs[served], "baseline": costs["baseline"]},
        "paired_n": n,
        "paired": costs,
        "sums": {
            name: {"n": n, "abs": fields["mae"].get(name, 1.0) * n, "sq": 0.0, "bias": 0.0}
            for name in costs
        },
        "arms": fields["arms"],
        "withheld": fields["withheld"],
        "diverged": fields["diverged"],
        "champion": fields["champion"],
        "champion_since": moment(fields["champion_since"]),
        "experiment_since": moment(fields["experiment_since"]),
        "began": {name: moment(time) for name, time in fields["began"].items()},
        "definition": fields["definition"],
        "step": day,
    }
    Evidence.model_validate(record)
    return record


def fold(
    use_case: UseCase, records: Sequence[dict[str, Any]], partitions: int = 1
) -> list[Decided]:
    """All blocks that these records give, decided."""
    return [decided for _, decided in _decided(use_case, records, partitions)]


def standings_by_block(
    use_case: UseCase, records: Sequence[dict[str, Any]], partitions: int = 1
) -> list[Any]:
    """All standings, block by block, as bytes."""
    return [orjson.dumps(standings(*one)) for one in _decided(use_case, records, partitions)]


def _decided(
    use_case: UseCase, records: Sequence[dict[str, Any]], partitions: int
) -> Iterator[tuple[Decider, Decided]]:
    """The decider after each block, and what it decided on it."""
    assembly, decider = BlockMerger(partitions, use_case.horizon), Decider(use_case)
    for record in records:
        assembly.take(record)
        for block in assembly.release():
            yield decider, decider.take(block)


GAIN = {"baseline": 12.0, "linear": 10.0, "tree": 9.6, "slow": 10.0}
