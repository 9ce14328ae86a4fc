"""Corrections of folded labels: on any number of partitions, local and shared, in any window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, optim

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import EVENTS, OUTCOMES
from models.replay.state_migration import carry
from models.spec.use_case import UseCase
from models.task.partition_task import PartitionTask
from models.validation import mistakes
from models.values.durations import hours
from models.windows.corrected import CorrectedWindow
from schemas import records
from schemas.topics import LEARNER
from tests.models.task.test_folded_labels import STEP, UNTIL, folded, sale
from tests.models.task.test_shared_learning import EACH
from tests.support.ledger.shared_flow import SharedFlow
from tests.support.one_partition import command, linear, order
from tests.support.task_runs import Given, given_record, timeless

pytestmark = pytest.mark.slow

FEWER = settings(max_examples=6, deadline=None)
SHOPS = "abcdefgh"
LATE_S = 3_600


def windows(by: str | tuple[str, ...]) -> dict[str, Any]:
    """Every kind of window over outcomes."""
    lasting, fading = over_outcomes(by=by, last=hours(9)), over_outcomes(by=by, half_life=900)
    label, kind = (lambda _e, o, _x: o.label), (lambda _e, o, _x: f"{o.label % 5:.0f}")
    return {
        "mean": lasting.mean(label, empty=5.0),
        "most": lasting.max(label, empty=0.0),
        "spread": lasting.std(label, empty=0.0),
        "half": lasting.quantile(label, 0.5, empty=0.0),
        "frequent": lasting.top(kind, empty="none"),
        "different": lasting.distinct(label),
        "fading": fading.mean(label, empty=5.0),
        "fading count": fading.count(),
        "fading spread": fading.std(label, empty=0.0),
        "fading half": fading.quantile(label, 0.5, empty=0.0),
        "fading top": fading.top(kind, empty="none"),
        "latest": over_outcomes(by=by).latest(label, lag=2, empty=0.0),
        "since": over_outcomes(by=by).time_since(
            lambda _e, o, _x: True if o.label > 3 else None, empty=-1.0
        ),
    }


def case_of(learning: str, by: str | tuple[str, ...] = "shop", **changes: Any) -> UseCase:
    """A correctable use case with every kind of window, that learns in this way."""
    plain: dict[str, Any] = {
        "horizon": hours(2),
        "learning": learning,
        "freshness": EACH,
        "features": {
            "weight": lambda e: e.weight,
            "recent": over_events(by="shop", last=600).count(),
            **windows(by),
        },
        "internal_features": ("frequent", "fading top"),
    }
    return folded(**(plain | changes))


def frozen(case: UseCase) -> UseCase:
    """Its model never answers and predicts the same, so that what is scored is the same."""
    return replace(
        case,
        models={"linear": lambda: linear_model.LinearRegression(optim.SGD(0), intercept_lr=0)},
        warmup=10**9,
        interval=None,
    )


LOCAL, SHARED = case_of("partition"), case_of("shared")
EVERYWHERE = case_of("shared", by="weight")
"""Its windows count the outcomes of all partitions."""
CASES = {
    "partition": LOCAL,
    "shared": SHARED,
    "shared windows": EVERYWHERE,
    "doubted": replace(SHARED, plausible=(0.0, 50.0)),
}
"""Labels with an outcome of 1e9 are held where they are doubted."""


class Sent(NamedTuple):
    """A record, and when it is delivered: seconds of the test's clock."""

    second: float
    kind: str
    record: Given


class Drawn(NamedTuple):
    """Events a minute apart, and the same outcomes delivered in two ways."""

    events: list[Sent]
    prompt: list[Sent]
    other: list[Sent]


@st.composite
def streams(draw: Any, late: bool = False) -> Drawn:
    """Events of several shops; outcomes as they happen, and in another order, some twice: before
    their label is due, or with `late` up to an hour after that.
    """
    random: Random = draw(st.randoms(use_true_random=False))
    drawn, count = Drawn([], [], []), draw(st.integers(1, 10))
    for n in range(count):
        asked_at, shop = n * STEP, random.choice(SHOPS)
        drawn.events.append(asked(f"e{n}", asked_at, shop))
        end = asked_at + UNTIL + (LATE_S if late else 0)
        for m in range(random.randrange(4)):
            when = [asked_at + random.randrange(1, UNTIL)]
            if random.random() < 0.5:
                when.append(random.randrange(when[0], asked_at + UNTIL))
            for second in when:
                took = random.choice((1.0, 0.1, 1e9, 1 / 3, 7.0))
                record = given_record(OUTCOMES, (shop, _fields(f"e{n}", f"o{m}", second, took)))
                drawn.prompt.append(Sent(second, "outcomes", record))
                for _ in range(random.choice((1, 1, 2))):
                    time = random.uniform(second, end)
                    drawn.other.append(Sent(time, "outcomes", record))
    last = count * STEP + UNTIL + LATE_S + 600
    for n, shop in enumerate(SHOPS):
        drawn.events.append(asked(f"end{n}", last + n, shop))
    for n, shop in enumerate(SHOPS):  # beyond every horizon
        drawn.events.append(asked(f"after{n}", last + hours(3) + n, shop))
    return drawn


def _fields(event_id: str, name: str, second: float, took: float) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(sale(event_id, name, second, took).value)
    return fields


def asked(event_id: str, second: float, shop: str) -> Sent:
    """One event."""
    fields = order(event_id, second, weight=1.0 + second % 7, shop=shop)
    return Sent(second, "events", given_record(EVENTS, (shop, fields)))


def delivered(case: UseCase, partitions: int, sent: Iterable[Sent]) -> SharedFlow:
    """All tasks after these were delivered one after another, each to the end."""
    flow = SharedFlow(case, partitions)
    for _, kind, record in sorted(sent, key=lambda one: (one.second, one.kind == "outcomes")):
        flow.send(kind, [record])
        flow.run([])
    return flow


def outputs(flow: SharedFlow) -> list[Any]:
    """Everything that was said, by task."""
    for task in flow.tasks.values():
        task.report()
    return [timeless(flow.outputs[number]) for number in sorted(flow.tasks)]


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@given(drawn=streams())
@FEWER
def test_before_a_label_is_due_any_order_and_redelivery_gives_the_same_bytes(
    case: UseCase, partitions: int, drawn: Drawn
) -> None:
    """Predictions, examples, versions of models, windows, metrics and evidence are the same."""
    one = delivered(case, partitions, [*drawn.events, *drawn.prompt])
    two = delivered(case, partitions, [*drawn.events, *drawn.other])
    assert outputs(one) == outputs(two)
    assert {row["error_class"] for row in one.of("dead-letter")} <= {"quarantined"}


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@given(drawn=streams(late=True))
@FEWER
def test_a_correction_counts_as_if_it_had_come_first(
    case: UseCase, partitions: int, drawn: Drawn
) -> None:
    """Whenever corrections and late outcomes came: what every window says to the events after
    them, evidence, metrics and the newest example of each event are the same to the bit.
    """
    case = frozen(case)
    one = delivered(case, partitions, [*drawn.events, *drawn.prompt])
    two = delivered(case, partitions, [*drawn.events, *drawn.other])
    assert _features(one) == _features(two)
    assert _sums(one) == _sums(two)
    assert _newest(one) == _newest(two)
    assert {row["error_class"] for row in two.of("dead-letter")} <= {"quarantined"}


def _features(flow: SharedFlow) -> dict[str, Any]:
    rows = flow.of("features")
    last = [row for row in rows if row["event_id"].startswith(("end", "after"))]
    return {row["event_id"]: row["features"] for row in last}


def _sums(flow: SharedFlow) -> list[Any]:
    partitions = [task for task in flow.tasks.values() if isinstance(task, PartitionTask)]
    reports = [timeless(task.report(), "delays") for task in partitions]
    for _, _, row in (one for report in reports for one in report):
        row.pop("importance", None)
        row.pop("model_staleness_s", None)
    return [[{**row, "step": 0} for row in flow.of("evidence")], reports]


def _newest(flow: SharedFlow) -> dict[str, tuple[Any, ...]]:
    newest: dict[str, tuple[Any, ...]] = {}
    for row in flow.of("examples"):
        newest[row["event_id"]] = (row["label"], row["kpi"], row["outcomes"], row["learnt"])
    return {event_id: row for event_id, row in newest.items() if row[-1]}


@pytest.mark.parametrize("case", [SHARED, EVERYWHERE, CASES["doubted"]])
@given(drawn=streams(late=True), turns=st.lists(st.integers(-1, 3), max_size=60))
@FEWER
def test_every_journal_gives_corrections_again(
    case: UseCase, drawn: Drawn, turns: list[int]
) -> None:
    """Whoever is ahead, a fold of each journal says the same to the byte, and every record is as
    its schema says.
    """
    flow = SharedFlow(case, 4)
    for _, kind, record in sorted([*drawn.events, *drawn.other], key=lambda one: one.second):
        flow.send(kind, [record])
    flow.run(turns)
    for number in flow.tasks:
        again = flow.folded(number, lambda task, taken: task.apply(taken))
        assert [out[:3] for out in again] == [out[:3] for out in flow.outputs[number]]
    for row in flow.of("window-entries"):
        records.WindowEntries.model_validate(row)
    for row in flow.of("models"):
        records.ModelUpdate.model_validate(row)
    ids = [dict(out.headers)["ce_id"] for n in range(4) for out in flow.outputs[n]
           if out.kind == "window-entries"]  # fmt: skip
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@given(drawn=streams(late=True), share=st.floats(0, 1))
@FEWER
def test_tasks_cut_anywhere_go_on_with_what_may_be_corrected(
    case: UseCase, partitions: int, drawn: Drawn, share: float
) -> None:
    """Pickled and restored amid it, everybody says the same bytes."""
    sent = sorted([*drawn.events, *drawn.other], key=lambda one: one.second)
    at_record = round(share * len(sent))
    whole = delivered(case, partitions, sent[:at_record])
    restored = whole.resumed()
    counts = {number: len(whole.outputs[number]) for number in whole.tasks}
    for flow in (whole, restored):
        for _, kind, record in sent[at_record:]:
            flow.send(kind, [record])
            flow.run([])
    for number, count in counts.items():
        assert whole.outputs[number][count:] == restored.outputs[number]


@pytest.mark.parametrize("learning", ["partition", "shared"])
def test_a_corrected_example_is_learnt_once_more_by_every_model(learning: str) -> None:
    """It has the features of its event and the corrected label; breakers see it only once."""
    case = case_of(learning, features={"weight": lambda e: e.weight}, internal_features=())
    sent = [asked("e", 0, "a"), _outcome("e", 10, 3.0), asked("x", UNTIL + 1, "a")]
    flow = delivered(case, 1, [*sent, _outcome("e", 20, 5.0, UNTIL + 5)])
    labels = [(row["label"], row["revision"]) for row in flow.of("examples")]
    assert labels == [(3.0, 0), (5.0, 1)]
    expected = linear()
    for label in (3.0, 5.0):
        expected.learn_one({"weight": 1.0}, label)
    task: Any = flow.learner if learning == "shared" else flow.tasks[0]
    slot = task.router.pooled["linear"]
    assert slot.trained_on == 2
    assert slot.model.predict_one({"weight": 4.0}) == expected.predict_one({"weight": 4.0})
    if learning == "shared":
        assert flow.learner.counts["learnt"] == 2
        taught = [row["version"]["trained_on"] for row in map(orjson.loads, _models(flow))]
        assert taught[-1] == 2


def _models(flow: SharedFlow) -> list[bytes]:
    return [out.value for out in flow.outputs[LEARNER] if out.kind == "models"]


def _outcome(event_id: str, happened: float, took: float, second: float | None = None) -> Sent:
    fields = _fields(event_id, "o", happened, took)
    at_second = happened if second is None else second
    return Sent(at_second, "outcomes", given_record(OUTCOMES, ("a", fields)))


def test_a_window_with_corrections_holds_as_much_as_is_open() -> None:
    """What can no longer be corrected is kept as any window keeps it; keys are bounded, too."""
    window = over_outcomes(by="shop", half_life=60, keys=3).mean(lambda _e, o, _x: o, empty=0.0)
    case = replace(LOCAL, features={"w": window}, internal_features=())
    task = PartitionTask(case, partition=0, partitions=1, definition="d")
    state: Any = task.featurizer.states["w"]
    assert isinstance(state, CorrectedWindow)
    for n in range(2_000):
        state.add("abcd"[n % 4 if n < 8 else 0], float(n * 60), 1.0)
    assert len(state.open) == 3
    assert len(state.open["a"]) == hours(2) / 60 + 1


def test_redefine_counts_anew_what_was_counted_without_corrections() -> None:
    """A window that is the same but may be corrected from now on, or no longer, starts over: its
    state is another one. All else is kept.
    """
    final = case_of("partition", horizon=UNTIL)
    for before, after in ((final, LOCAL), (LOCAL, final)):
        old = delivered(
            before, 1, [asked("e", 0, "a"), _outcome("e", 9, 3.0), asked("x", 999, "a")]
        )
        new = PartitionTask(after, partition=0, partitions=1, definition="d2")
        carry(old.tasks[0], new)  # type: ignore[arg-type]
        assert new.featurizer.states["mean"].cells
        assert not new.featurizer.states["fading"].cells
        fields = order("y", 1_000)
        record = given_record(EVENTS, ("a", fields))
        flow = SharedFlow(after, 1)
        flow.tasks[0] = new
        new.journal.next = [-1] * len(new.journal.next)
        flow.send("events", [record])
        flow.run([])
        (row,) = [row for row in flow.of("features") if row["event_id"] == "y"]
        assert (row["features"]["mean"], row["features"]["fading"]) == (3.0, 5.0)


def test_all_that_a_fold_could_not_do_passes_check() -> None:
    """Shared learning, and every kind of window over outcomes."""
    for case in CASES.values():
        assert not [str(m) for m in mistakes(case) if "label" in str(m) or "window" in str(m)]


def test_a_label_that_is_not_plausible_is_held_until_released_or_corrected() -> None:
    """It is a dead letter that says how; what was counted before is taken back, on `examples`, too;
    a default label is not learnt in its place.
    """
    case = case_of("partition", plausible=(0.0, 50.0), label_on_timeout=9.0)
    sent = [asked("e", 0, "a"), _outcome("e", 10, 3.0), asked("x", UNTIL + 1, "a")]
    sent += [_outcome("e", 20, 77.0, UNTIL + 5)]
    flow = delivered(case, 1, sent)
    (letter,) = flow.of("dead-letter")
    assert letter["error_class"] == "quarantined"
    assert "riverrun release" in letter["error"]
    rows = [(row["label"], row["revision"], row["learnt"]) for row in flow.of("examples")]
    assert rows == [(3.0, 0, True), (77.0, 1, False)]
    task: Any = flow.tasks[0]
    assert not task.featurizer.states["mean"].sums("a", 1e10)[1]
    corrected = delivered(case, 1, [*sent, _outcome("e", 30, 4.0, UNTIL + 6)])
    rows = [(row["label"], row["revision"], row["learnt"]) for row in corrected.of("examples")]
    assert rows[2:] == [(4.0, 2, True)]
    flow.command(orjson.dumps(command("c", "release", event_ids=["e", "x"])))
    flow.run([])
    assert [(row["label"], row["revision"]) for row in flow.of("examples")][2:] == [(77.0, 2)]
    (told,) = [row for row in flow.of("lifecycle") if row["to_state"] == "released"]
    assert told["evidence"]["released"] == ["e"]
    late = delivered(case, 1, [*sent, asked("z", hours(3), "a"), _outcome("e", 30, 4.0, hours(4))])
    assert [row["label"] for row in late.of("examples")] == [3.0, 77.0, 0.0]
    assert ["is closed" in row["error"] for row in late.of("dead-letter")] == [False, True]
