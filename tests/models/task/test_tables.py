"""Reference tables: a row counts from its time on, the same on any number of partitions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.features.reference_tables import Table, TableState
from models.inputs.decoder import PlainRecord
from models.replay.backtest import Backtest
from models.task.checkpoint import parts_of, take_parts
from models.task.learner_task import LearnerTask
from models.validation import mistakes
from riverrun import rows_of
from schemas import records
from schemas.errors import ConfigError
from tests.support.one_partition import at, delivery, order
from tests.support.task_runs import CALM

SHOPS = "abcdefgh"


def rows() -> Iterator[dict[str, Any]]:
    """Each shop has a country; shop a moves at minute 30, b closes its entry nowhere."""
    for n, shop in enumerate(SHOPS[:-1]):
        yield {"shop": shop, "country": f"c{n % 3}", "size": n, "since": at(0)}
    yield {"shop": "a", "country": "elsewhere", "size": 99, "since": at(1_800)}


STORES = Table("stores", topic="ref.stores", key="shop", time="since", recorded=rows)
CASE = replace(
    CALM,
    features={
        **CALM.features,
        "country": STORES.field("country", by="shop", empty="nowhere"),
        "size": STORES.value(lambda row: float(row["size"]), by="shop"),
    },
)


def run(case: Any, partitions: int) -> tuple[Backtest, dict[str, dict[str, Any]]]:
    """The features of an order a minute of each shop in turn."""
    backtest, seen = Backtest(case, partitions, "d"), {}
    for n in range(60):
        fields = order(str(n), 60.0 * n, shop=SHOPS[n % 8])
        outputs = backtest.feed("event", fields)
        outputs += backtest.feed("outcome", delivery(str(n), 60.0 * n + 5, shop=SHOPS[n % 8]))
        for output in outputs:
            assert output.kind != "dead-letter", output.value
            if output.kind == "features":
                row = orjson.loads(output.value)
                seen[row["event_id"]] = row["features"]
    return backtest, seen


def test_a_row_counts_from_its_time_on_and_a_missing_one_is_left_out():
    """Shop a is elsewhere from minute 30 on; h has no row; the rest is as it was."""
    _, seen = run(CASE, 4)
    assert [seen[n]["country"] for n in ("0", "24", "32", "56")] == ["c0", "c0"] + ["elsewhere"] * 2
    assert [seen[n]["size"] for n in ("0", "24", "32")] == [0.0, 0.0, 99.0]
    assert seen["7"]["country"] == "nowhere"
    assert "size" not in seen["7"]


@pytest.mark.parametrize("partitions", [1, 16])
def test_the_number_of_partitions_changes_no_value(partitions: int):
    """All partitions look up the same rows at the same times."""
    case = replace(CASE, features={n: CASE.features[n] for n in ("country", "size")})
    assert run(case, partitions)[1] == run(case, 4)[1]


def test_rows_go_through_a_snapshot():
    """A restored task looks up what the other one did."""
    backtest, _ = run(CASE, 1)
    task = backtest.task(0)
    fresh = task.fresh()
    take_parts(fresh, *pickle.loads(pickle.dumps((parts_of(task), task.ledger.entries))))
    assert fresh.featurizer.tables[STORES.identity].saved() == (
        task.featurizer.tables[STORES.identity].saved()
    )
    assert fresh.featurizer.tables[STORES.identity].count == 8


def test_the_records_are_as_their_models_say():
    """A changed row, and one that was deleted, reach every partition on `models`."""
    learner = LearnerTask(CASE, partitions=2, definition="d")
    value = orjson.dumps({"rows": [[STORES.identity, "a", 1.5, {"shop": "a"}],
                                   [STORES.identity, "b", 2.0, None]]})  # fmt: skip
    records.TableRows.model_validate_json(value)
    index = learner.inputs.index(("table-rows", 0))
    record = PlainRecord("table-rows", 0, 0, 0, None, value)
    (update,) = [o for o in learner.apply(learner.read(index, record)) if b'"tables"' in o.value]
    records.ModelUpdate.model_validate_json(update.value)
    broken = PlainRecord("table-rows", 0, 1, 0, None, b'{"rows": [["x", "k", null, {}]]}')
    outputs = learner.apply(learner.read(index, broken))
    assert "Let only workers" in orjson.loads(outputs[0].value)["error"]


def test_old_rows_go_and_memory_is_bounded():
    """Of a key the row of now and those to come are held; of more keys the least recent go."""
    state = TableState(3)
    state.put("a", 10.0, {"n": 1}, 0.0)
    state.put("a", 20.0, {"n": 2}, 0.0)
    assert [state.get("a", now) for now in (5.0, 10.0, 25.0)] == [None, {"n": 1}, {"n": 2}]
    state.put("a", 30.0, {"n": 3}, 25.0)
    assert [time for time, _ in state.cells["a"]] == [20.0, 30.0]
    state.put("b", 1.0, {}, 25.0)
    state.put("c", 1.0, {}, 25.0)
    assert "a" not in state.cells
    assert state.count == 2
    state.put("b", 2.0, None, 25.0)
    assert state.get("b", 30.0) is None
    assert state.count == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning": "partition"}, 'learning="partition"'),
        ({"features": {"x": STORES.field("country", by="shopp")}}, "shop"),
        ({"features": {"x": Table("a b", topic="t", key="k").field("f", by="shop")}}, "name"),
        ({"features": {"x": Table("a", topic="", key="k").field("f", by="shop")}}, "topic"),
        ({"features": {"x": Table("a", topic="t", key="k", rows=0).field("f", by="shop")}}, "rows"),
        ({"features": {"x": STORES.value(lambda a, b: 1, by="shop")}}, "lambda row"),
        (
            {"features": {"x": STORES.field("country", by="shop"),
                          "y": Table("stores", topic="u", key="shop").field("size", by="shop")}},
            "twice",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_words(changes: dict[str, Any], words: str):
    """Each says what is wrong and how to mend it."""
    errors = [f"{m.reason} {m.hint}" for m in mistakes(replace(CASE, **changes))]
    assert any(words in text for text in errors), errors


def test_rows_come_from_files(tmp_path: Path):
    """CSV cells are what they say; texts that only look like numbers stay texts."""
    file = tmp_path / "stores.csv"
    file.write_text("shop,zip,size,open,note\na,007,2.50,true,\nb,10115,3,false,x\n")
    assert list(rows_of(file)()) == [
        {"shop": "a", "zip": "007", "size": 2.5, "open": True, "note": None},
        {"shop": "b", "zip": 10115, "size": 3, "open": False, "note": "x"},
    ]
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"shop": ["a"], "size": [1.5]}), tmp_path / "s.parquet")
    assert list(rows_of(tmp_path / "s.parquet")()) == [{"shop": "a", "size": 1.5}]
    with pytest.raises(ConfigError, match="neither CSV nor Parquet"):
        rows_of("stores.xlsx")
