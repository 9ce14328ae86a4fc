"""Trainers change no byte: of what is published, of the journal, of the state."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import orjson
import pytest
from river import base, compose, forest, linear_model, naive_bayes, optim, preprocessing, tree

from models.serving.model_slot import ModelSlot
from models.spec.use_case import Freshness, UseCase
from models.stats.drift_detection import DriftAlarm
from models.values.durations import hours
from streams.trainers.late_headers import LateHeaders
from streams.trainers.trainer_pool import TrainerPool
from tests.support.learner_run import (
    Given,
    LearnerRun,
    Put,
    Step,
    differences,
    steps_of,
    trainers,
)
from tests.support.one_partition import command, delivery, linear, order, use_case
from tests.support.task_runs import BINARY


class Fragile(base.Regressor):
    """The newest label; raises at a heavy parcel."""

    def __init__(self) -> None:
        self.newest = 0.0

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        """Learn one label."""
        if x["weight"] > 900:
            raise ValueError(f"too heavy: {x['weight']}")
        self.newest = y

    def predict_one(self, x: dict[str, Any]) -> float:
        """Return the newest label."""
        return self.newest


class Meddling(Fragile):
    """Changes the features that it is given."""

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        """Learn one label, and leave a trace."""
        self.newest = y
        if y > 11:
            x["weight"] = 0.0


class Boundless(Fragile):
    """Has no memory for a heavy parcel."""

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        """Learn one label."""
        if x["weight"] > 900:
            raise MemoryError
        self.newest = y


def adam() -> Any:
    """A linear model by Adam, which the fast path knows."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.Adam())


def numbers(model: Any) -> Any:
    """A model without the features that are words."""
    return compose.Discard("colour") | model


def small_forest() -> Any:
    """A forest of two."""
    return numbers(forest.ARFRegressor(n_models=2, seed=1, grace_period=20))


def small_tree() -> Any:
    """A tree that grows soon."""
    return numbers(tree.HoeffdingTreeRegressor(grace_period=20))


SHARED = {"learning": "shared", "partitions": 3, "segments": None, "max_jump": 1e9}
CASE = use_case(
    **SHARED,
    models={"adam": lambda: numbers(adam()), "linear": lambda: numbers(linear()),
            "tree": small_tree, "forest": small_forest},
    champion="adam",
    horizon=hours(100),
    warmup=20,
    window=hours(1),
    on_drift={"linear": "reset", "tree": "challenger", "adam": "fallback"},
)  # fmt: skip
CASES: dict[str, UseCase] = {
    "regression": CASE,
    "weights": replace(CASE, weight=lambda e, _o: float(e.items), models={
        "linear": lambda: numbers(linear()), "tree": small_tree}, champion="linear"),
    "no warm-up, a version for each example": replace(
        CASE, warmup=0, freshness=Freshness(examples=1, pause=0)
    ),
    "binary": replace(
        BINARY, **SHARED, on_drift="reset",
        models={"linear": lambda: numbers(BINARY.models["linear"]()), "bayes":
                lambda: numbers(naive_bayes.GaussianNB()), "tree":
                lambda: numbers(tree.HoeffdingTreeClassifier(grace_period=20))},
    ),
    "a model that raises": replace(CASE, models={**CASE.models, "fragile": Fragile}),
}  # fmt: skip


def orders(count: int, heavy: float = 0.01) -> list[tuple[str, dict[str, Any]]]:
    """Orders with their deliveries, in the order of time; and commands."""
    draw = Random(7)
    rows: list[tuple[float, str, dict[str, Any]]] = []
    for n in range(count):
        second = 60.0 * n
        weight = 1e3 if draw.random() < heavy else draw.uniform(1, 5)
        event = order(
            f"e{n}", second, shop=draw.choice("abcdef"), weight=weight, items=draw.randint(1, 4)
        )
        rows.append((second, "event", event))
        took = 2.0 * min(weight, 9) + draw.uniform(-1, 1) + (n > count / 2) * 5
        rows.append((second + 90, "outcome", delivery(f"e{n}", second + 90, took)))
    rows.append((60.0 * count * 0.4, "command", command("p", "promote", model="tree")))
    rows.append((60.0 * count * 0.5, "command", command("r", "rollback")))
    rows.append((60.0 * count * 0.6, "command", command("x", "reset", model="tree")))
    return [(kind, fields) for _, kind, fields in sorted(rows, key=lambda row: row[0])]


def alarm(model: str) -> DriftAlarm:
    """An alarm on a model's error."""
    return DriftAlarm(model, "error", "mean", 1.0, 5.0, "1", "5", 10, 12, 2e6, 1e6)


def story(case: UseCase, count: int = 160) -> list[Step]:
    """What the learner is given: recorded data, alarms of drift, and a model that is put back."""
    steps: list[Step] = list(steps_of(case, orders(count)))
    old = ModelSlot(case.champion, None, case.models[case.champion]())
    for step in steps[:30]:
        if isinstance(step, Given) and step.index:
            example = orjson.loads(step.record.value or b"")
            old.learn(example["features"], example["label"], None)
    third = len(steps) // 3
    for at, what in (
        (third, alarm("linear")),
        (third + 30, alarm("tree")),
        (third + 40, alarm("adam")),
        (2 * third, Put(pickle.dumps(old))),
    ):
        steps.insert(at, what)
    return steps


@cache
def trained_in_place(name: str) -> tuple[list[Step], LearnerRun]:
    """A case's story, and the learner that was given it without trainers."""
    case = CASES[name]
    steps = story(case)
    run = LearnerRun(case)
    run.run(steps)
    return steps, run


@pytest.fixture(params=[1, 2, 3])
def wanted(request: pytest.FixtureRequest) -> int:
    """So many trainers."""
    return int(request.param)


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_trainers_makes_the_same_bytes(name: str, wanted: int) -> None:
    """Versions, roles, lifecycle, journal and state: those of a learner that trains in place."""
    case = CASES[name]
    steps, in_place = trained_in_place(name)
    with trainers(case, wanted) as pool:
        run = LearnerRun(case, pool)
        run.run(steps)
        assert differences(in_place, run) == []
        status = pool.status()
        assert len(status["trainers"]) == wanted
        assert status["cpu_s"] > 0
        assert bool(run.recoveries) == ("raises" in name)
    published = [output for output in in_place.outputs if output.kind == "models"]
    assert len(published) > 50
    assert len([output for output in in_place.outputs if output.kind == "lifecycle"]) > 5


def test_a_model_that_raised_is_trained_in_place_and_the_others_are_not() -> None:
    """One recovery for the first example that raises; its trainer has the other models."""
    case = CASES["a model that raises"]
    steps, _ = trained_in_place("a model that raises")
    with trainers(case, 2) as pool:
        run = LearnerRun(case, pool)
        run.run(steps)
        assert run.recoveries == 1
        status = pool.status()
        assert "too heavy" in status["in_place"]["fragile"]
        away = {name for trainer in status["trainers"] for name in trainer["models"]}
        assert away >= {"adam", "linear", "forest"}
        assert "fragile" not in away
        slot = run.task.router.pooled["fragile"]
        assert slot.faults > 1
        assert slot.trained_on < run.task.counts["learnt"]


@pytest.mark.parametrize("broken", ["settle", "headers"])
def test_a_planted_bug_is_found(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier that asks nobody, a version packed later than it was due: bytes differ."""
    case = CASES["a model that raises"]
    steps, in_place = trained_in_place("a model that raises")
    with trainers(case, 1) as pool:
        if broken == "settle":
            monkeypatch.setattr(TrainerPool, "settle", _settled)
            monkeypatch.setattr("streams.trainers.trainer_link.TrainerLink.check", lambda _: None)
        else:
            monkeypatch.setattr(pool, "_pack", _late(pool))
        run = LearnerRun(case, pool)
        run.run(steps)
        assert differences(in_place, run)


async def _settled(*_: Any) -> None:
    """Ask nobody."""


def _late(pool: TrainerPool) -> Any:
    def pack(base: Any, slot: Any, label: bytes) -> Any:
        # What the model is when the batch is settled, not when the version was due.
        late = LateHeaders(lambda: base(slot, label))
        pool._late.append(late)
        return late

    return pack


@pytest.mark.parametrize("at", [0, 5])
def test_a_trainer_that_is_killed_loses_and_doubles_nothing(at: int) -> None:
    """kill -9 amid a batch: what was not committed is done again from the snapshot."""
    steps, in_place = trained_in_place("regression")
    killed: list[int] = []
    with trainers(CASE, 2) as pool:
        run = LearnerRun(CASE, pool)

        def kill(begin: int) -> None:
            if begin == at * run.batch and not killed:
                pid = pool.status()["trainers"][0]["pid"]
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        run.run(steps, kill)
        assert run.recoveries == 1
        assert killed[0] not in {t["pid"] for t in pool.status()["trainers"]}
        assert differences(in_place, run) == []


@pytest.mark.parametrize(("model", "why"), [(Meddling, "changes"), (Boundless, "MemoryError")])
def test_what_cannot_be_assumed_is_done_in_place(model: Any, why: str) -> None:
    """Features that a model changes are seen by those after it, in place; and there a lack of
    memory ends the batch.
    """
    case = replace(CASE, models={"meddling": model, **CASE.models})
    steps = story(replace(case, models={**case.models, "meddling": Fragile}))
    in_place = LearnerRun(case)
    with trainers(case, 2) as pool:
        run = LearnerRun(case, pool)
        if model is Boundless:
            with pytest.raises(MemoryError):
                in_place.run(steps)
            with pytest.raises(MemoryError):
                run.run(steps)
        else:
            in_place.run(steps)
            run.run(steps)
            assert differences(in_place, run) == []
        assert run.recoveries == 1
        assert why in pool.status()["in_place"]["meddling"]
