"""One model learns from all partitions: its floats are River's, and nobody sees the future."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from river import feature_extraction, linear_model, metrics, naive_bayes

from models.inputs.decoder import MODELS, PlainRecord
from models.replay.backtest import Backtest, run
from models.serving.model_slot import ModelSlot
from models.spec.use_case import Freshness, UseCase
from models.training.model_structure import size_of
from models.training.version_schedule import VersionSchedule
from models.training.window_folds import WindowPool
from models.validation import mistakes
from schemas import records
from schemas.commands import Command
from schemas.topics import LEARNER
from tests.models.replay.test_river_equality import DATA, DELAYS, assert_same_answers
from tests.support.ledger.shared_flow import SharedFlow
from tests.support.one_partition import command
from tests.support.river_oracle import Said, moment, river_says, rows, use_case_for
from tests.support.task_runs import CASES, FEW, NO_JUMPS, Inputs, inputs
from usecases.phishing import PHISHING, logistic

pytestmark = pytest.mark.slow

EACH = Freshness(examples=1, numbers=math.inf, pause=0)
"""A version for each example."""
SHARED = {name: replace(case, learning="shared", freshness=EACH) for name, case in CASES.items()}
SHOPS = "abcdefgh"
PAGES = replace(
    PHISHING,
    learning="shared",
    models={"logistic": logistic, "bayes": naive_bayes.GaussianNB},
    champion="logistic",
)
"""Phishing with models that are quick to learn."""


def shared_says(
    data: Any, models: dict[str, Any], delay: Any, partitions: int, **other: Any
) -> Said:
    """The numbers of so many partitions on the same rows, each row under one of 97 keys."""
    case = replace(use_case_for(data, models), **{"learning": "shared", "freshness": EACH} | other)
    run = Backtest(case, partitions, "oracle")
    answers: dict[int, Any] = {}
    examples = []
    sites = {i: f"site {i % 97}" for i in range(len(data))}
    events = [(moment(i), 1, i) for i in range(len(data))]
    outcomes = [(moment(i) + (moment(delay(i)) - moment(0)), 0, i) for i in range(len(data))]
    for time, is_event, i in sorted(events + outcomes):
        fields = {"event_id": str(i), "site": sites[i]}
        if is_event:
            outputs = run.feed("event", {**fields, "event_time": time, **data[i][0]})
        else:
            outputs = run.feed("outcome", {**fields, "outcome_time": time, "y": data[i][1]})
        for output in outputs:
            if output.kind == "predictions":
                answers[i] = orjson.loads(output.value)
            elif output.kind == "examples":
                examples.append(orjson.loads(output.value))
            elif output.kind == "dead-letter":
                raise AssertionError(orjson.loads(output.value)["error"])
    return Said(answers, examples, run.task(0))


@pytest.mark.parametrize(
    "partitions",
    [*(pytest.param(n, marks=pytest.mark.soak) for n in (1, 4)), 16, 64],
)
@pytest.mark.parametrize(
    ("name", "family"),
    [("Phishing", "linear"), ("TrumpApproval", "linear"), ("ImageSegments", "bayes"),
     ("ChickWeights", "tree")],
)  # fmt: skip
def test_refreshed_after_every_example_the_floats_are_river_s(
    name: str, family: str, partitions: int
):
    """Same rows, same delays, any number of partitions: each answer and the metric are River's."""
    limit, models, metric = DATA[name]
    data, delay = rows(name, limit)[:200], DELAYS["a delay of its own"]
    river = river_says(data, models[family], metric(), delay)
    answers = shared_says(data, {family: models[family]}, delay, partitions)
    assert [int(row["event_id"]) for row in answers.examples] == river.order
    assert_same_answers(answers.answers, river, family)
    assert answers.metric(metric(), family) == river.value


def test_the_oracle_can_fail():
    """With copies that lag other floats come out: they are what answers."""
    data, delay = rows("TrumpApproval")[:350], DELAYS["10 seconds"]
    make = DATA["TrumpApproval"][1]["linear"]
    river = river_says(data, make, metrics.MAE(), delay)
    answers = shared_says(data, {"linear": make}, delay, 4, freshness=Freshness(share=0.1))
    assert answers.metric(metrics.MAE(), "linear") != river.value


def flow_of(
    case: UseCase,
    drawn: Inputs,
    partitions: int = 4,
    pool: WindowPool | Literal["own"] | None = "own",
) -> SharedFlow:
    """Tasks with these inputs before them."""
    flow = SharedFlow(case, partitions, pool)
    flow.send("events", drawn.events)
    flow.send("outcomes", drawn.outcomes)
    for one in drawn.commands:
        flow.command(one.value)
    return flow


TURNS = st.lists(st.sampled_from([LEARNER, LEARNER, 0, 1, 2, 3]), max_size=120)


@pytest.mark.parametrize("case", SHARED)
@given(drawn=inputs(SHOPS), turns=TURNS)
@FEW
def test_every_record_is_as_its_model_says_and_both_journals_give_it_again(
    case: str, drawn: Inputs, turns: list[int]
):
    """Whoever is ahead, a fold of each journal says the same to the byte."""
    flow = flow_of(SHARED[case], drawn)
    flow.run(turns)
    for number, task in flow.tasks.items():
        again = flow.folded(number, lambda task, taken: task.apply(taken))
        assert [o[:3] for o in again] == [o[:3] for o in flow.outputs[number]]
        task.report()
    kinds: dict[str, type[BaseModel]] = {"models": records.ModelUpdate, "examples": records.Example}
    for kind, model in kinds.items():
        for row in flow.of(kind):
            model.model_validate(row)
    numbers = [row["number"] for row in flow.of("models")]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("case", ["calm", "binary"])
@given(drawn=inputs(SHOPS), turns=TURNS, share=st.floats(0, 1), seed=st.integers(0, 99))
@FEW
def test_no_prediction_uses_a_label_from_its_future(
    case: str, drawn: Inputs, turns: list[int], share: float, seed: int
):
    """All labels after a moment are other ones, and no answer up to it has another float. A late
    event is answered at its partition's watermark, with what was known by then.

    Partitions run ahead of each other by any number of records, and so does the learner.
    """
    outcomes = [(orjson.loads(one.value), one) for one in drawn.outcomes if one.value != b"garbage"]
    times = sorted(row["outcome_time"] for row, _ in outcomes)
    moment = times[min(int(share * len(times)), len(times) - 1)] if times else ""
    random = Random(seed)
    later = [
        one
        if row["outcome_time"] <= moment
        else one._replace(value=orjson.dumps(row | {"took": random.choice((4.0, 9.0, 12.0))}))
        for row, one in outcomes
    ]
    calm = replace(SHARED[case], plausible=None, label_on_timeout=None, **NO_JUMPS)
    predictions = []
    for these in ([one for _, one in outcomes], later):
        flow = flow_of(calm, drawn._replace(outcomes=these, commands=[]))
        flow.run(turns)
        until = datetime.fromisoformat(moment).timestamp() if moment else 0
        rows = flow.until("predictions", until)
        for row in rows:
            del row["seq"], row["step"]
        predictions.append(rows)
    assert predictions[0] == predictions[1]


@pytest.mark.parametrize("case", SHARED)
@given(drawn=inputs(SHOPS), turns=TURNS, share=st.floats(0, 1))
@FEW
def test_partitions_and_learner_cut_anywhere_go_on_as_if_they_had_not_been(
    case: str, drawn: Inputs, turns: list[int], share: float
):
    """Their parts, pickled and put into fresh tasks: all that follows is the same."""
    cut = round(share * len(turns))
    whole = flow_of(SHARED[case], drawn)
    for number in turns[:cut]:
        whole.step(number)
    for number in whole.tasks:
        whole.seal(number)
    restored = whole.resumed()
    whole.outputs.clear()
    whole.run(turns[cut:])
    restored.run(turns[cut:])
    for number in whole.tasks:
        assert [o[:3] for o in restored.outputs[number]] == [o[:3] for o in whole.outputs[number]]


# What is decided once.


def lifecycle(backtest: Backtest, *verbs: str, model: str) -> list[dict[str, Any]]:
    """What all tasks say on `lifecycle` to commands about a model."""
    outputs = []
    for n, verb in enumerate(verbs):
        fields = command(f"{verb}-{n}", verb, model=model)
        outputs += backtest.command(Command.model_validate_json(orjson.dumps(fields)))
    rows = [orjson.loads(output.value) for output in outputs if output.kind == "lifecycle"]
    assert not [output for output in outputs if output.kind == "dead-letter"]
    return rows


def test_a_promotion_is_told_once_and_every_partition_answers_by_it():
    """The learner obeys; each partition follows with its own next record."""
    backtest = Backtest(replace(PAGES, warmup=0), 16, "d")
    recorded = list(PHISHING.recorded())  # type: ignore[misc]
    for kind, fields in recorded[:1_200]:
        backtest.feed(kind, fields)
    told = lifecycle(backtest, "promote", model="bayes")
    assert [(row["partition"], row["model"], row["to_state"]) for row in told] == [
        (LEARNER, "logistic", "shadow"),
        (LEARNER, "bayes", "champion"),
    ]
    outputs = [
        output for kind, fields in recorded[1_200:] for output in backtest.feed(kind, fields)
    ]
    after = [orjson.loads(o.value) for o in outputs if o.kind == "predictions"]
    assert {row["model"].partition("@")[0] for row in after} == {"bayes"}
    answered = {row["partition"] for row in after}
    assert len(answered) > 8
    assert {backtest.tasks[number].router.champion for number in answered} == {"bayes"}
    assert not [o for o in outputs if o.kind == "lifecycle"]


def test_a_reset_begins_anew_once_and_everywhere():
    """Until the model is warm again, the baseline answers for it on every partition."""
    backtest = Backtest(replace(PAGES, warmup=50), 16, "d")
    recorded = list(PHISHING.recorded())  # type: ignore[misc]
    for kind, fields in recorded[:1_600]:
        backtest.feed(kind, fields)
    lifecycle(backtest, "reset", model="logistic")
    assert backtest.learner is not None
    assert backtest.learner.router.pooled["logistic"].trained_on == 0
    outputs = [o for kind, fields in recorded[1_600:1_660] for o in backtest.feed(kind, fields)]
    rows = [orjson.loads(o.value) for o in outputs if o.kind == "predictions"]
    assert rows
    assert {row["served_by"] for row in rows} == {"baseline"}
    assert all("of 50 examples" in row["reason"] for row in rows)


def test_a_command_of_the_partitions_is_theirs():
    """`release`, `skip` and `set-watermark` are obeyed by each partition, and told by each."""
    backtest = Backtest(PAGES, 4, "d")
    for kind, fields in list(PHISHING.recorded())[:50]:  # type: ignore[misc]
        backtest.feed(kind, fields)
    fields = command("r", "release", event_ids=["page-0001"])
    outputs = backtest.command(Command.model_validate_json(orjson.dumps(fields)))
    rows = [orjson.loads(output.value) for output in outputs if output.kind == "lifecycle"]
    assert [row["partition"] for row in rows] == [0, 1, 2, 3]


def test_a_version_that_was_overtaken_changes_nothing():
    """A record of `models` that does not follow is passed by: a zombie's, or one sent twice."""
    backtest = Backtest(replace(PAGES, freshness=EACH), 2, "d")
    seen = []
    for kind, fields in list(PHISHING.recorded())[:700]:  # type: ignore[misc]
        seen += [o for o in backtest.feed(kind, fields) if o.kind == "models"]
    task = next(iter(backtest.tasks.values()))
    assert task.shared is not None
    before = task.shared.state()
    old = PlainRecord("models", 0, 0, 10**13, seen[0].key, seen[0].value, seen[0].headers)
    assert task.apply(task.read(MODELS, old)) == []
    assert task.shared.state() == before


@pytest.mark.parametrize("partitions", [pytest.param(4, marks=pytest.mark.soak), 64])
def test_quality_does_not_depend_on_the_number_of_partitions(partitions: int):
    """The champion's error on so many partitions is within 1 % of that on one."""
    alone = accuracy(replace(PAGES, learning="partition"), 1)
    assert alone > 0.87
    assert 1 - accuracy(PAGES, partitions) <= 1.01 * (1 - alone)
    assert accuracy(replace(PAGES, learning="partition"), partitions) < 0.85


def accuracy(case: UseCase, partitions: int) -> float:
    """Of the pages, the share of which the champion was right."""
    assert case.recorded is not None
    backtest = run(case, case.recorded(), partitions=partitions, definition="d")
    right = total = 0.0
    for task in backtest.tasks.values():
        row = task.metrics.total().scores[case.champion]
        total, right = total + row[0], right + row[2]
    return right / total


@pytest.mark.parametrize("learning", ["shared", "partition"])
def test_a_model_that_changes_when_it_is_asked_cannot_be_shared(learning: Any):
    """Its copies would say something else than it; each partition may still have its own."""
    models = {
        "random": lambda: feature_extraction.RBFSampler(seed=1) | linear_model.LogisticRegression(),
    }
    case = replace(PHISHING, learning=learning, models=models, champion="random")
    errors = [str(mistake) for mistake in mistakes(case)]
    assert [text for text in errors if "RBFSampler" in text] == (
        [] if learning == "partition" else errors
    )


def test_a_freshness_that_bounds_nothing_is_refused_in_words():
    """Each bound is a positive number."""
    case = replace(PHISHING, freshness=Freshness(examples=0, share=-1, pause=-1))
    errors = [str(mistake) for mistake in mistakes(case)]
    assert len(errors) == 3
    assert sum("above 0" in text for text in errors) == 2


def test_a_large_model_s_versions_are_as_far_apart_as_its_size_asks():
    """One number of its state for each example: a model of 100 numbers waits for 100 examples."""
    schedule = VersionSchedule(Freshness(examples=1, numbers=1, pause=0))
    slot = ModelSlot("it", None, linear_model.LinearRegression())
    slot.model.weights_by_name = dict.fromkeys(map(str, range(500)), 1.0)
    size = size_of(slot.model)
    assert schedule.due("it", 0.0, slot)
    schedule.note("it", 0, 0.0)
    slot.trained_on = size - 1
    assert not schedule.due("it", 1e9, slot)
    slot.trained_on = size
    assert schedule.due("it", 0.0, slot)


def test_versions_are_a_pause_of_event_time_apart_unless_much_is_learnt_meanwhile():
    """At any rate of outcomes two a second; where all have one time, each twenty times as much."""
    schedule = VersionSchedule(Freshness(examples=1, pause=0.5))
    slot = ModelSlot("it", None, linear_model.LinearRegression())

    def published(count: int, per_second: float) -> int:
        versions, first = 0, slot.trained_on
        for _ in range(count):
            slot.trained_on += 1
            at = (slot.trained_on - first) / per_second
            if schedule.due("it", at, slot):
                schedule.note("it", slot.trained_on, at)
                versions += 1
        schedule.forget("it")
        return versions

    assert published(100, 0.1) == 100
    assert published(100, 10.0) == pytest.approx(20, abs=1)
    assert published(10_000, 1e9) == pytest.approx(500, abs=1)


@pytest.mark.parametrize(
    ("name", "family", "limit"),
    [
        pytest.param("ImageSegments", "bayes", None, marks=pytest.mark.soak),
        ("Bananas", "bayes", 2_500),
    ],
)
def test_the_default_freshness_costs_less_than_a_hundredth(name: str, family: str, limit: int):
    """On 64 partitions the error is within 1 % of River's on one stream, labels ten rows late."""
    models, data = DATA[name][1], rows(name, limit)
    metric = metrics.Accuracy()
    river = river_says(data, models[family], metric, DELAYS["10 seconds"])
    answers = shared_says(
        data, {family: models[family]}, DELAYS["10 seconds"], 64, freshness=Freshness()
    )
    (reached,) = answers.metric(metrics.Accuracy(), family)
    assert 1 - reached <= 1.01 * (1 - river.value[0])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_flights_keyed_by_aircraft_are_predicted_as_well_on_64_partitions():
    """The benchmark's champion: its mean absolute error is within 1 % of that on one."""
    from benchmarks.riverrun_flights import RIVERRUN_FLIGHTS
    from usecases.data.nycflights import flights

    def error(case: UseCase, partitions: int) -> float:
        recorded = (
            (kind, {name: str(v) if name in ("hour", "weekday") else v for name, v in row.items()})
            for kind, row in flights(20_000)
            if kind == "outcome" or (row["tailnum"] and row["temp"] is not None)
        )
        backtest = run(case, recorded, partitions=partitions, definition="d")
        rows = [task.metrics.total().scores["adam"] for task in backtest.tasks.values()]
        return sum(row[2] for row in rows) / sum(row[0] for row in rows)

    alone = error(replace(RIVERRUN_FLIGHTS, learning="partition"), 1)
    assert error(replace(RIVERRUN_FLIGHTS, learning="shared"), 64) <= 1.01 * alone
