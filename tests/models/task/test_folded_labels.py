"""Labels that are folded of several outcomes: any order and correction gives the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, stats

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import EVENTS, OUTCOMES
from models.replay.state_migration import carry
from models.spec.label_fold import LabelFold
from models.spec.use_case import Kpi, UseCase
from models.task.checkpoint import parts_of, take_parts
from models.validation import mistakes
from models.values.durations import hours, minutes
from schemas.events import Outcome
from streams.unpickling.safe_unpickler import Allowed, unpickle
from tests.support.one_partition import START, Order, delivery, linear, order, use_case
from tests.support.task_runs import NO_JUMPS, Given, Run, given_record, timeless

UNTIL = 300
FEWER = settings(max_examples=10, deadline=None)
STEP = 60


class Sale(Outcome):
    """A customer bought something."""

    outcome_id: str
    took: float


def folded(how: Any = "sum", **changes: Any) -> UseCase:
    """A use case whose label is a fold; the label is final when it is known unless changed."""
    fold = LabelFold(how, None if callable(how) else (lambda e, o: o.took), until=UNTIL)
    plain: dict[str, Any] = {
        "outcome": Sale,
        "label": fold,
        "horizon": UNTIL,
        "id_retention": hours(200),
        "features": {
            **Order.fields("weight"),
            "recent": over_events(by="shop", last=minutes(10)).count(),
            "usual": over_outcomes(by="shop", last=hours(9)).mean(
                lambda _e, o, _x: o.label, empty=5.0
            ),
        },
        "models": {"linear": linear},
        "kpi": Kpi(
            lambda _e, o, prediction: abs(prediction - o.label),
            unit="EUR",
            better="lower",
            range=(0, 1e3),
        ),
        "segments": None,
        "slices": {},
        "limits": (-1e6, 1e6),
    }
    return use_case(**NO_JUMPS, **(plain | changes))


CORRECTABLE = folded(horizon=hours(100))


def sale(event_id: str, name: str, second: float, took: float) -> Given:
    """One outcome."""
    fields = delivery(event_id, second, took, outcome_id=name)
    return given_record(OUTCOMES, ("a", fields))


def asked(event_id: str, second: float) -> Given:
    """One event."""
    return given_record(EVENTS, ("a", order(event_id, second, weight=1.0 + second % 7)))


Sent = tuple[float, Given]
"""An outcome, and when it is delivered: seconds of the test's clock."""


@st.composite
def streams(draw: Any, late: bool = False) -> tuple[list[Given], list[Sent], list[Sent]]:
    """Events a minute apart, and the same outcomes delivered in two ways: as they happen, and in
    another order, some twice. Each comes after it happened, and before its label is due; with
    `late`, corrections and some first outcomes come up to an hour after that in the second way.
    """
    random = draw(st.randoms(use_true_random=False))
    events, prompt, other = [], [], []
    for n in range(draw(st.integers(1, 14))):
        asked_at = n * STEP
        events.append(asked(f"e{n}", asked_at))
        for m in range(random.randrange(4)):
            second = asked_at + random.randrange(1, UNTIL)
            versions = [sale(f"e{n}", f"o{m}", second, random.choice((1.0, 0.1, 1e9, 1 / 3)))]
            when = [second]
            if random.random() < 0.4:
                when.append(random.randrange(int(second), asked_at + UNTIL))
                versions.append(sale(f"e{n}", f"o{m}", when[-1], random.choice((2.0, 0.7))))
            end = asked_at + UNTIL + (3_600 if late else 0)
            for happened, record in zip(when, versions, strict=True):
                prompt.append((happened, record))
                times = (random.uniform(happened, end) for _ in range(random.choice((1, 1, 2))))
                other += [(time, record) for time in times]
    last = len(events) * STEP + UNTIL + 7_200
    events += [asked(f"end{n}", last + n * STEP) for n in range(3)]
    return events, prompt, other


def merged(events: Sequence[Given], sent: Sequence[Sent]) -> list[Given]:
    """Events and outcomes in the order in which they are delivered."""
    times = [orjson.loads(e.value)["event_time"] for e in events]
    assert times == sorted(times)
    starts = [_second(time) for time in times]
    rows = [(second, 0, n, e) for n, (second, e) in enumerate(zip(starts, events, strict=True))]
    rows += [(second, 1, n, o) for n, (second, o) in enumerate(sent)]
    return [record for *_, record in sorted(rows, key=lambda row: row[:3])]


def _second(time: str) -> float:
    return (datetime.fromisoformat(time) - START).total_seconds()


def run(case: UseCase, records: Sequence[Given]) -> Run:
    """A task that was given these."""
    task = Run(case)
    task.give(records)
    return task


@pytest.mark.parametrize("how", ["last", "sum", "function"])
@given(drawn=streams())
@FEWER
def test_any_order_and_redelivery_says_the_same_bytes(
    how: str, drawn: tuple[list[Given], list[Sent], list[Sent]]
) -> None:
    """Of outcomes that come before their label is due neither order nor repetition matters: every
    prediction, example, window, metric and evidence is the same.
    """
    events, prompt, other = drawn
    case = folded(
        (lambda _e, outcomes: sum(o.took for o in outcomes) if outcomes else None)
        if how == "function"
        else how
    )
    one, two = run(case, merged(events, prompt)), run(case, merged(events, other))
    assert timeless(one.outputs) == timeless(two.outputs)
    assert timeless(one.task.report()) == timeless(two.task.report())
    assert not [out for out in one.outputs if out.kind == "dead-letter"]


@given(drawn=streams(late=True))
@FEWER
def test_a_correction_counts_as_if_it_had_come_first(
    drawn: tuple[list[Given], list[Sent], list[Sent]],
) -> None:
    """Metrics, KPI and windows at the end are the same to the bit whenever corrections and late
    outcomes came, and the newest example of each event has the same label.
    """
    events, prompt, other = drawn
    one, two = (run(frozen(CORRECTABLE), merged(events, sent)) for sent in (prompt, other))
    assert _metrics(one) == _metrics(two)
    assert _windows(one) == _windows(two)
    assert _newest(one) == _newest(two)


def frozen(case: UseCase) -> UseCase:
    """Its model never answers and predicts the same, so that what is scored is the same."""

    return replace(
        case,
        models={"linear": lambda: dummy.StatisticRegressor(stats.Count())},
        warmup=10**9,
        interval=None,
    )


def _metrics(task: Run) -> Any:
    return [row for row in timeless(task.task.report()) if row[2].get("model") != "linear"]


def _windows(task: Run) -> Any:
    state: Any = task.task.featurizer.states["usual"]
    return {key: sorted(cell) for key, cell in state.cells.items()}, state.sums("a", 1e12)


def _newest(task: Run) -> dict[str, tuple[Any, ...]]:
    newest: dict[str, tuple[Any, ...]] = {}
    for example in task.of("examples"):
        assert example["revision"] >= 0
        newest[example["event_id"]] = (example["label"], example["kpi"], example["outcomes"])
    return newest


@pytest.mark.parametrize("case", [folded(), CORRECTABLE], ids=["final", "correctable"])
@given(drawn=streams(late=True), share=st.floats(0, 1))
@FEWER
def test_a_task_cut_anywhere_goes_on_as_if_it_had_not_been(
    case: UseCase, drawn: tuple[list[Given], list[Sent], list[Sent]], share: float
) -> None:
    """What was collected is part of the state: pickled and restored, the rest is the same bytes."""
    events, _, other = drawn
    records = merged(events, other)
    cut = round(share * len(records))
    whole = run(case, records[:cut])
    parts, ids = pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    restored = Run(case)
    take_parts(restored.task, parts, ids)
    restored.offsets = list(whole.offsets)
    assert restored.give(records[cut:]) == whole.give(records[cut:])
    whole.task.metrics.touch()
    restored.task.metrics.touch()
    assert restored.task.report() == whole.task.report()


def test_an_example_tells_when_its_label_was_known_and_how_often_it_was_corrected() -> None:
    """First the label as of `until`, then the corrected one, each with the time it was known."""
    task = run(
        CORRECTABLE,
        [
            asked("e", 0),
            sale("e", "o", 10, 1.0),
            sale("e", "p", 20, 2.0),
            asked("x", UNTIL + 1),
            sale("e", "o", 900, 5.0),
            sale("e", "o", 900, 5.0),
        ],
    )
    first, second = (row for row in task.of("examples") if row["event_id"] == "e")
    assert (first["label"], first["revision"], first["outcomes"]) == (3.0, 0, 2)
    assert (first["delay_s"], first["known_time"][11:19]) == (UNTIL, "00:05:00")
    assert (second["label"], second["revision"], second["outcomes"]) == (7.0, 1, 2)
    assert (second["delay_s"], second["known_time"][11:19]) == (900, "00:15:00")
    assert task.task.counts["corrected"] == 1
    assert task.task.counts["repeats"] == 1
    ids = [dict(out.headers)["ce_id"] for out in task.outputs if out.kind == "examples"]
    assert ids == [b"e", b"e/1"]


def test_what_happened_after_the_fold_is_a_dead_letter_and_not_lost() -> None:
    """A new outcome later than `until` is told at the horizon, an outcome after the horizon at
    once; a repetition is counted.
    """
    case = folded(horizon=2 * UNTIL)
    task = run(
        case,
        [
            asked("e", 0),
            sale("e", "o", 10, 1.0),
            sale("e", "new", UNTIL + 5, 2.0),
            asked("x", 2 * UNTIL + 1),
            sale("e", "o", 10, 1.0),
            sale("e", "o", 20, 4.0),
        ],
    )
    letters = task.of("dead-letter")
    assert ["longer `until`" in letters[0]["error"], "is closed" in letters[1]["error"]] == [
        True
    ] * 2
    assert len(letters) == 2
    assert task.task.counts["repeats"] == 1
    assert [row["label"] for row in task.of("examples") if row["event_id"] == "e"] == [1.0]


def test_an_event_without_outcomes_counts_none_or_expires() -> None:
    """Nothing sums up to 0 when it is due; of nothing there is no mean, so it expires."""
    records = [asked("e", 0), asked("x", UNTIL + 1), asked("y", 5 * UNTIL)]
    summed = run(folded(), records)
    assert [row["label"] for row in summed.of("examples")] == [0.0, 0.0]
    assert summed.of("examples")[0]["outcomes"] == 0
    meant = run(folded("mean"), records)
    assert meant.of("examples") == []
    assert meant.task.counts["expired"] == 2


def test_an_event_may_have_so_many_outcomes_and_no_more() -> None:
    """Past `limit` an outcome is a dead letter that says so; corrections are taken."""
    fold = LabelFold("sum", lambda e, o: o.took, until=UNTIL, limit=2)
    records = [
        asked("e", 0),
        *(sale("e", name, 10, 1.0) for name in "abc"),
        sale("e", "a", 11, 9.0),
    ]
    task = run(folded(label=fold), [*records, asked("x", UNTIL + 1)])
    assert "2 outcomes already" in task.of("dead-letter")[0]["error"]
    assert task.of("examples")[0]["label"] == 10.0


def test_an_outcome_of_which_nothing_can_be_made_is_refused_as_it_comes() -> None:
    """The fold, the KPI and the windows are tried at once; the others' label is not harmed."""

    def fussy(_event: Any, outcomes: Sequence[Any]) -> float:
        return 1.0 / min(outcome.took for outcome in outcomes)

    task = run(
        folded(fussy),
        [asked("e", 0), sale("e", "o", 1, 0.0), sale("e", "p", 2, 4.0), asked("x", UNTIL + 1)],
    )
    assert "ZeroDivisionError" in task.of("dead-letter")[0]["error"]
    assert [row["label"] for row in task.of("examples")] == [0.25]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": LabelFold("sum", until=UNTIL)}, "the sum of nothing"),
        ({"label": LabelFold("total", lambda e, o: 1.0, until=UNTIL)}, "folded by 'total'"),
        ({"label": LabelFold("count", until=0)}, "ends at until=0"),
        ({"label": LabelFold("count", until=UNTIL + 1)}, "nothing waits for longer"),
        ({"label": LabelFold("count", until=UNTIL, id="number")}, "not a field of Sale"),
        ({"label": LabelFold("count", until=UNTIL, limit=0)}, "limit=0 outcomes"),
        ({"label": LabelFold(lambda e: 1.0, until=UNTIL)}, "given (event, outcomes)"),
    ],
)
def test_check_says_what_does_not_go_with_a_fold(changes: dict[str, Any], message: str) -> None:
    """Each is found before anything runs."""
    assert any(message in str(mistake) for mistake in mistakes(folded(**changes)))
    assert not [m for m in mistakes(folded()) if "label" in str(m)]


def test_exact_sums_survive_a_snapshot() -> None:
    """What a correctable use case sums up passes the allow-list that snapshots are read by."""
    task = run(CORRECTABLE, [asked("e", 0), sale("e", "o", 1, 0.1), asked("x", UNTIL + 1)])
    cells: Any = task.task.metrics.cells
    allowed = Allowed(CORRECTABLE.models.values(), CORRECTABLE.event.__module__)
    read: Any = unpickle([pickle.dumps(cells, 5)], allowed)
    for key, cell in cells.items():
        assert read[key].scores == cell.scores
        rows = zip(cell.scores.values(), read[key].scores.values(), strict=True)
        assert all(a.units == b.units for one, two in rows for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("case", [folded(), CORRECTABLE], ids=["final", "correctable"])
@given(drawn=streams(), share=st.floats(0, 1))
@FEWER
def test_a_state_carried_to_the_same_declaration_goes_on_with_its_outcomes(
    case: UseCase, drawn: tuple[list[Given], list[Sent], list[Sent]], share: float
) -> None:
    """`redefine --how keep`: what was collected, is due or was corrected stays, and what is said
    afterwards is the same bytes.
    """
    events, prompt, _ = drawn
    records = merged(events, prompt)
    at = int(share * len(records))
    one, two = run(case, records[:at]), run(case, records[:at])
    for task in (one, two):
        task.task.seal()
    new = two.task.fresh()
    carry(two.task, new)
    two.task = new
    lengths = len(one.outputs), len(two.outputs)
    one.give(records[at:])
    two.give(records[at:])
    assert timeless(one.outputs[lengths[0] :]) == timeless(two.outputs[lengths[1] :])
