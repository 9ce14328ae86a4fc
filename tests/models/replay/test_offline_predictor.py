"""A task that is asked aside says what it would say, and does not remember it."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from models.inputs.decoder import EVENTS, PlainRecord
from models.replay.offline_predictor import OfflinePredictor
from models.spec.use_case import Contest
from models.values.durations import minutes
from schemas.errors import Malformed
from tests.support.one_partition import Partition, order, use_case

CASES = {
    "plain": {},
    "corrects the baseline": {"target": "label - baseline"},
    "no segments": {"segments": None, "interval": 0.8},
    "a holdout and an experiment": {
        "contest": Contest(shadow=0.7, holdout=0.2, experiment={"tree": 0.3})
    },
}


def aside(partition: Partition, fields: dict[str, Any], model: str | None = None) -> dict[str, Any]:
    """What is said of an event without giving it."""
    key = str(fields["shop"]).encode()
    record = PlainRecord("file", 0, 0, 10**13, key, orjson.dumps(fields))
    return OfflinePredictor(partition.task, model).say(record)


@pytest.mark.slow
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_what_is_said_aside_is_what_is_then_published(changes: dict[str, Any]) -> None:
    """Every field but the reasons, to the last bit; and a twin that nobody asked goes on alike."""
    asked, twin = (Partition(use_case(window=minutes(30), **changes)) for _ in range(2))
    draw, open_ = random.Random(5), []
    by = set()
    for n in range(400):
        second = 30.0 * n
        fields = {"items": draw.randrange(1, 4), "weight": draw.uniform(0.5, 9)}
        fields["colour"] = draw.choice(("red", "blue", None))
        predictions = aside(asked, order(f"o{n}", second, **fields))
        published = asked.event(f"o{n}", second, **fields)
        twin.event(f"o{n}", second, **fields)
        [prediction] = [out.value for out in published if out.kind == "predictions"]
        # A segment that begins with this very event has no model yet to be silent about.
        same = {name: orjson.loads(orjson.dumps(value)) for name, value in predictions.items()}
        for name in ("value", "interval", "segment", "served_by", "model", "shadows"):
            assert same[name] == prediction[name], (n, name)
        assert predictions["step"] == prediction["step"] - 1
        by.add(predictions["served_by"])
        open_.append((f"o{n}", 3 + fields["weight"] * fields["items"]))
        if len(open_) > 5:
            event_id, took = open_.pop(0)
            for partition in (asked, twin):
                partition.outcome(event_id, second + 1, took)
    assert [out.raw for out in asked.outputs] == [out.raw for out in twin.outputs]
    assert len(by) > 1


def test_one_model_alone_is_its_own_shadow() -> None:
    """What it says, whoever is champion; before it is warm, the baseline answers."""
    partition = Partition(use_case())
    early = aside(partition, order("x", 0), "tree")
    assert (early["served_by"], early["value"]) == ("baseline", 5.0)
    for n in range(50):
        partition.event(f"o{n}", 60 * n, weight=float(n % 7))
        partition.outcome(f"o{n}", 60 * n + 30, took=float(n % 7))
    whole, alone = (aside(partition, order("x", 3_100, weight=3.0), m) for m in (None, "tree"))
    assert alone["value"] == whole["shadows"]["tree"]
    assert alone["shadows"] == {"linear": None, "tree": alone["value"]}
    assert (alone["served_by"], alone["interval"]) == ("challenger", None)


def test_what_the_stream_would_refuse_is_refused() -> None:
    """In the same words."""
    partition = Partition(use_case())
    with pytest.raises(Malformed, match="weight"):
        aside(partition, order("x", 0, weight="heavy"))
    record = PlainRecord("file", 0, 0, 0, b"other", orjson.dumps(order("x", 0)))
    with pytest.raises(Malformed, match="must be equal"):
        OfflinePredictor(partition.task).say(record)
    assert partition.task.step == 0
    assert partition.read(EVENTS, order("x", 0)).error is None
