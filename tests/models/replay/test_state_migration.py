from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from river import forest, linear_model, optim, preprocessing, tree

from models.features.window_declarations import over_events
from models.pending.codec import PendingPrediction
from models.replay.state_migration import carry, carry_position, kept_models
from models.replay.structural_equality import alike
from models.serving.model_router import UNASKED
from models.spec.use_case import Kpi, Segments, UseCase
from models.task.partition_task import PartitionTask
from models.values.durations import hours, minutes
from schemas.errors import Incompatible
from tests.support.one_partition import FEATURES, Order, Partition, dump, linear, use_case

CASE = use_case(max_jump=1e9, segments=Segments("items", limit=3), interval=0.9, window=600.0)
RATE = 0.1


def with_rate() -> Any:
    """A model that reads a constant of its file."""
    return linear_model.LinearRegression(optim.SGD(RATE))


def task_of(case: UseCase, definition: str = "d2") -> PartitionTask:
    """A fresh one."""
    return PartitionTask(case, partition=0, partitions=1, definition=definition)


def lived(case: UseCase = CASE, count: int = 150) -> Partition:
    """One that has lived: segments, drift, breaker, waiting predictions, an early outcome."""
    feed = Partition(case)
    draw = Random(3)
    for n in range(count):
        feed.event(f"e{n}", n * 30.0, items=draw.randint(1, 4), weight=draw.random())
        if n > 3 and n % 4:
            feed.outcome(f"e{n - 3}", n * 30.0 + 10, draw.random())
    feed.outcome("early", count * 30.0)
    feed.task.seal()
    return feed


def waiting_of(task: PartitionTask) -> list[PendingPrediction]:
    """What waits for its outcome."""
    pending = map(task.ledger.find, task.ledger.entries)
    return [entry for entry in pending if isinstance(entry, PendingPrediction)]


def going_on(feed: Partition, task: PartitionTask) -> Partition:
    """Another task at the same place."""
    other = Partition(task.use_case)
    other.task, other.offsets = task, list(feed.offsets)
    return other


def more(feed: Partition, start: int = 150, count: int = 60) -> list[bytes]:
    """Go on; what it says."""
    draw = Random(4)
    before = len(feed.outputs)
    for n in range(start, start + count):
        feed.event(f"e{n}", n * 30.0, items=draw.randint(1, 4), weight=draw.random())
        feed.outcome(f"e{n - 3}", n * 30.0 + 10, draw.random())
    feed.event("early", (start + count) * 30.0)
    return [out.raw.value for out in feed.outputs[before:]]


def test_under_the_same_declaration_nothing_is_forgotten() -> None:
    """keep, to a definition of other text and the same meaning: it says the same bytes, but for
    the definition's name. So no part of the state is left out.
    """
    feed = lived()
    new = task_of(CASE)
    carry(lived().task, new)
    assert [output.replace(b"@d2#", b"@d1#").replace(b'"d2"', b'"d1"')
            for output in more(going_on(feed, new))] == more(feed)  # fmt: skip
    left, right = dump(feed.task), dump(new)
    for parts in (left, right):
        parts.pop("told")
        parts.pop("sealed")  # of the entry that begins the new definition
        parts.pop("accepted")  # by the definition's name
    assert left == right


def test_unchanged_models_go_on_and_changed_ones_begin_beside() -> None:
    """Trained examples of the one are kept, of the other none; what waits has no answer of it."""
    case = use_case(
        max_jump=1e9, models={"linear": linear, "tree": lambda: forest.ARFRegressor(seed=1)}
    )
    feed = lived(use_case(max_jump=1e9))
    learnt = feed.task.router.pooled["linear"].trained_on
    new = task_of(case)
    assert kept_models(feed.task, new) == ["linear"]
    carry(feed.task, new)
    assert new.router.pooled["linear"].trained_on == learnt > 50
    assert new.router.pooled["tree"].trained_on == 0
    waiting = waiting_of(new)
    assert waiting
    assert all(
        entry.predictions[1][0] is not None and entry.predictions[1][1] == UNASKED
        for entry in waiting
    )
    assert "tree" not in {n for cell in new.metrics.cells.values() for n in cell.scores}
    more(going_on(feed, new))
    assert new.router.pooled["tree"].trained_on > 20


def test_windows_stay_where_they_are_declared_as_before() -> None:
    """One is unchanged, one counts over another time; a new feature is there for what waits."""
    features = FEATURES | {
        "recent": over_events(by="shop", last=minutes(20)).count(),
        "double": lambda e: 2 * e.weight,
    }
    feed = lived()
    new = task_of(use_case(max_jump=1e9, features=features))
    before = feed.task.featurizer.states
    carry(feed.task, new)
    assert new.featurizer.states["usual"].cells == before["usual"].cells
    assert not new.featurizer.states["recent"].cells
    assert kept_models(feed.task, new) == []
    entry = waiting_of(new)[0]
    assert "double" in entry.x
    more(going_on(feed, new))


def test_warmed_it_is_as_if_it_had_always_been_there() -> None:
    """The models of the new definition are those that it would have; what was said stays said."""
    case = use_case(max_jump=1e9, models={"linear": linear, "tree": lambda: with_rate()})
    feed, always = lived(use_case(max_jump=1e9)), lived(case)
    new = task_of(case)
    carry(feed.task, new, lived(case).task)
    left, right = dump(new), dump(always.task)
    for part in ("slot/linear", "slot/tree", "windows", "earning", "breaker", "drift"):
        assert left[part] == right[part]
    migrated = [e.predictions[3] for e in waiting_of(new)]
    original = [e.predictions[3] for e in waiting_of(feed.task)]
    assert migrated == original
    more(going_on(feed, new))


def test_clean_keeps_the_place_and_what_was_obeyed() -> None:
    """Nothing that was learnt or waits; the next entry is the next entry."""
    feed = lived()
    feed.command("c1", "freeze")
    feed.task.seal()
    new = task_of(CASE)
    carry_position(feed.task, new)
    assert (new.seq, new.step, new.next) == (feed.task.seq, feed.task.step, feed.task.next)
    assert "c1" in new.router.applied_commands
    assert not new.ledger.entries
    assert not any(slot.trained_on for slot in new.router.slots())
    assert new.watermark.time is None


def test_what_is_compared_begins_anew_only_if_it_changed() -> None:
    """Another owner restarts no comparison; another model restarts its own; another KPI, label or
    bound restarts all; so does `clean`.
    """

    def began(case: UseCase) -> set[str]:
        new = task_of(case)
        feed = lived()
        carry(feed.task, new)
        assert set(new.router.began.values()) <= {feed.task.watermark.time}
        return set(new.router.began)

    assert began(replace(CASE, owner="bea@example.com", contributions=0)) == set()
    other = {**CASE.models, "tree": lambda: tree.HoeffdingTreeRegressor(grace_period=77)}
    assert began(replace(CASE, models=other)) == {"tree"}
    dearer = Kpi(lambda e, o, prediction: 2 * abs(prediction - o.took), "EUR", "lower", (0, 100))
    for changed in ({"kpi": dearer}, {"label": lambda e, o: o.took + 1}, {"limits": (0, 7)}):
        assert began(replace(CASE, **changed)) == {"linear", "tree"}
    clean = task_of(CASE)
    carry_position(lived().task, clean)
    assert set(clean.router.began) == {"linear", "tree"}


class Stricter(Order):
    """Another event, that what waits cannot be read as."""

    insured: bool


class Laxer(Order):
    """Another event, whose new field has a default."""

    insured: bool = False


def test_what_waits_must_be_readable() -> None:
    """A new mandatory field, or another kind of label: said before anything happens."""
    with pytest.raises(Incompatible, match="insured"):
        carry(lived().task, task_of(use_case(max_jump=1e9, event=Stricter)))
    carry(lived().task, task_of(use_case(max_jump=1e9, event=Laxer)))
    other = use_case(max_jump=1e9, target="label - baseline")
    with pytest.raises(Incompatible, match="learns something else"):
        carry(lived().task, task_of(other))


def _other(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    exec(source, names)
    return names


HELPED = """
from river import linear_model, optim
RATE = {rate}
def helper(e): return e.weight * {factor}
def model(): return linear_model.LinearRegression(optim.SGD(RATE))
feature = lambda e: helper(e) + 1
"""


def test_likeness_sees_through_what_a_function_refers_to() -> None:
    """A constant or a helper that changed is a change; the same text in another file is none."""
    one, same = _other(HELPED.format(rate=0.1, factor=2)), _other(HELPED.format(rate=0.1, factor=2))
    rate, helper = (
        _other(HELPED.format(rate=0.2, factor=2)),
        _other(HELPED.format(rate=0.1, factor=3)),
    )
    assert alike(one["feature"], same["feature"])
    assert not alike(one["feature"], helper["feature"])
    assert alike(one["model"](), same["model"]())
    assert not alike(one["model"](), rate["model"]())
    assert not alike(one["model"], rate["model"])


@pytest.mark.parametrize(
    "make",
    [
        linear,
        lambda: forest.ARFRegressor(seed=1),
        lambda: preprocessing.OneHotEncoder() | tree.HoeffdingTreeClassifier(),
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.Adam(0.1)),
    ],
)
def test_a_model_made_twice_is_alike(make: Any) -> None:
    """And another seed, rate or step is not."""
    assert alike(make(), make())
    assert not alike(make(), with_rate())


def test_parameters_tell_models_apart() -> None:
    """Deep inside, too."""
    assert not alike(forest.ARFRegressor(seed=1), forest.ARFRegressor(seed=2))
    assert not alike(
        linear_model.LinearRegression(optim.SGD(0.1)), linear_model.LinearRegression(optim.SGD(0.2))
    )
    assert not alike(over_events(by="a", last=hours(1)), over_events(by="a", last=hours(2)))
    assert alike(
        over_events(by="a", last=hours(1)).count(), over_events(by="a", last=hours(1)).count()
    )
