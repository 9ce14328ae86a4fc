"""Trainers that hang, cannot be had, are slow, or are let go of; and what is told of them."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.serving.model_slot import ModelSlot
from streams.telemetry.prometheus import PrometheusExporter
from streams.trainers.trainer_link import StateLost
from tests.streams.trainers.test_equal_bytes import (
    CASE,
    Fragile,
    adam,
    alarm,
    numbers,
    small_tree,
    story,
)
from tests.support.learner_run import Given, LearnerRun, Step, differences, trainers

LIGHT = replace(
    CASE, models={"adam": lambda: numbers(adam()), "tree": small_tree}, on_drift="challenger"
)


@cache
def light_steps() -> tuple[Step, ...]:
    """What the learner of the light case is given: examples, and no command."""
    steps = story(LIGHT, 100)
    return tuple(step for step in steps if isinstance(step, Given) and step.index)


class Slow(Fragile):
    """Takes its time."""

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        """Learn one label, a hundredth of a second long."""
        time.sleep(0.01)
        self.newest = y


def test_a_trainer_that_hangs_is_ended_and_nothing_is_lost() -> None:
    """SIGSTOP: its silence ends it, the state is recovered, new trainers go on."""
    steps = light_steps()
    in_place = LearnerRun(LIGHT)
    in_place.run(steps)
    stopped: list[int] = []
    with trainers(LIGHT, 2, silent_s=0.5) as pool:
        run = LearnerRun(LIGHT, pool)

        def stop(begin: int) -> None:
            if begin == 2 * run.batch and not stopped:
                stopped.append(pool.status()["trainers"][1]["pid"])
                os.kill(stopped[0], signal.SIGSTOP)

        run.run(steps, stop)
        assert run.recoveries == 1
        assert stopped[0] not in {trainer["pid"] for trainer in pool.status()["trainers"]}
        assert differences(in_place, run) == []


def test_where_no_trainer_can_be_had_the_learner_trains_by_itself() -> None:
    """The fork server has ended: the same bytes, and the status says why."""
    steps = light_steps()[:100]
    in_place = LearnerRun(LIGHT)
    in_place.run(steps)
    with trainers(LIGHT, 2) as pool:
        os.kill(pool._server.pid, signal.SIGKILL)
        os.waitpid(pool._server.pid, 0)
        run = LearnerRun(LIGHT, pool)
        run.run(steps)
        assert pool.status()["trainers"] == []
        assert "starts trainers" in pool.status()["error"]
        assert differences(in_place, run) == []


async def test_while_trainers_work_the_process_answers() -> None:
    """A batch of slow examples: the loop turns while it is settled."""
    case = replace(LIGHT, models={"slow": Slow, **LIGHT.models})
    steps = story(replace(case, models={"slow": Fragile, **LIGHT.models}))[:40]
    turns = 0

    async def answer() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with trainers(case, 1) as pool:
        run = LearnerRun(case, pool)
        for step in steps:
            run._apply(step)
        assert pool.status()["trainers"][0]["waiting"] > 0
        answering = asyncio.create_task(answer())
        await pool.settle(run.task)
        answering.cancel()
        assert turns > 10
        assert pool.status()["trainers"][0]["waiting"] == 0
        assert run.task.router.pooled["slow"].trained_on > 10


def test_models_rest_as_pickles_and_go_on_with_other_trainers() -> None:
    """What is kept at a clean end needs no trainer: a snapshot has it, and the next life."""
    steps = light_steps()
    half = len(steps) // 2 // LearnerRun.batch * LearnerRun.batch
    in_place = LearnerRun(LIGHT)
    in_place.run(steps)
    with trainers(LIGHT, 1) as pool:
        run = LearnerRun(LIGHT, pool)
        run.run(steps[:half])
        asyncio.run(pool.rest(run.task))
        pool.close()
        assert len(run.written()) > 1_000
        with trainers(LIGHT, 2) as other:
            run.pool = other
            run._prepare(live=False)
            run._prepare(live=True)
            run.run(steps[half:])
            assert differences(in_place, run) == []
            away = [name for trainer in other.status()["trainers"] for name in trainer["models"]]
            assert sorted(away) == ["adam", "tree"]


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.01)


async def test_a_snapshot_waits_for_a_model_and_is_of_the_batch_s_end() -> None:
    """Asked for at a commit, the pickle comes with the next batch's end, or while nothing comes."""
    steps = light_steps()
    with trainers(LIGHT, 1) as pool:
        run = LearnerRun(LIGHT, pool)
        slots: Any = run.task.router.pooled
        for step in steps[:40]:
            run._apply(step)
        await pool.settle(run.task)
        if slots["tree"].is_at_hand():  # the trainer was quicker than this process
            slots["tree"].link.is_wanted = True
        for step in steps[40:60]:
            run._apply(step)
        await pool.settle(run.task)
        assert slots["tree"].is_at_hand()
        slot = pickle.loads(slots["tree"].pickled() or b"")
        assert (type(slot), slot.trained_on) == (ModelSlot, slots["tree"].trained_on)
        run._apply(steps[60])
        await _until(slots["tree"].is_at_hand)  # the learner stands still
        slot = pickle.loads(slots["tree"].pickled() or b"")
        assert slot.trained_on == slots["tree"].trained_on


def test_a_model_beside_its_fresh_copy_is_in_place_until_that_is_decided() -> None:
    """Both are asked at each example; the others stay with their trainers."""
    steps = light_steps()
    with trainers(LIGHT, 1) as pool:
        run = LearnerRun(LIGHT, pool)
        run.run([*steps[:60], alarm("tree"), *steps[60:]])
        assert "tree" in run.task.router.replacements
        assert pool.status()["trainers"][0]["models"] == ["adam"]


def test_a_fold_learns_in_place_and_a_lost_trainer_is_told_in_it() -> None:
    """A kept state whose journal goes on: its models come home; none can where one has died."""
    steps = light_steps()
    with trainers(LIGHT, 1) as pool:
        run = LearnerRun(LIGHT, pool)
        run.run(steps[:46])
        run._prepare(live=False)
        run._apply(steps[46])
        assert pool.status()["trainers"][0]["waiting"] == 0
        run._prepare(live=True)
        for step in steps[47:50]:
            run._apply(step)
        asyncio.run(pool.settle(run.task))
        os.kill(pool.status()["trainers"][0]["pid"], signal.SIGKILL)
        run._prepare(live=False)
        with pytest.raises(StateLost, match="trainer 1"):
            run._apply(steps[50])


def test_a_state_whose_trainer_was_replaced_is_not_gone_on_with() -> None:
    """A commit failed, meanwhile a trainer died and was replaced: the models that it had are lost,
    and what they would have learnt is never taken for learnt.
    """
    steps = light_steps()
    with trainers(LIGHT, 2) as pool:
        run = LearnerRun(LIGHT, pool)
        for step in steps[:30]:
            run._apply(step)
        asyncio.run(pool.settle(run.task))
        run._prepare(live=False)
        link = pool._links[0]
        os.kill(link.pid, signal.SIGKILL)
        while link.error is None:
            link._pump()
        with pytest.raises(StateLost):
            run._prepare(live=True)


def test_what_trainers_do_is_on_metrics() -> None:
    """CPU and what waits of each trainer, and models that none can train."""
    case = replace(LIGHT, models={"fragile": Fragile, **LIGHT.models})
    with trainers(case, 2) as pool:
        run = LearnerRun(case, pool)
        run.run(story(case))
        text = (
            PrometheusExporter(case, "d")
            .render(
                [], {}, None, None, {"runner": None, "stalled_s": 0.0, "training": pool.status()}
            )
            .decode()
        )
    samples = {
        (sample.name, sample.labels.get("trainer")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["riverrun_trained_in_place", None] == 1
    assert samples["riverrun_trainer_cpu_seconds_total", "2"] > 0
    assert samples["riverrun_trainer_waiting", "1"] == 0
