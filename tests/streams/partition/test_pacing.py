"""Who waits for whom, where one model learns from all partitions."""

from __future__ import annotations

from models.outputs.output_records import Output
from streams.partition.pacing import NEVER, STILL_S, LearnerPacing, PartitionPacing, Progress
from streams.replay.journal_fold import Reached


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _entry(clock_s: float, *following: int) -> Reached:
    return Reached(clock_s, list(following), None)


def _progress(clock: Clock, *clocks: float) -> Progress:
    progress = Progress(len(clocks), clock)
    for reach, at in zip(progress.partitions, clocks, strict=True):
        progress.entry(reach, _entry(at, 5, 5))
        reach.ends = [50, 50]
    return progress


def test_the_learner_waits_for_a_partition_that_is_behind() -> None:
    """Its next example may be due before those that are at hand."""
    pacing = LearnerPacing(_progress(Clock(), 10.0, 30.0), {1: 0, 2: 1})
    assert pacing.holds(1, 20.0)
    assert not pacing.holds(2, 20.0)
    assert not pacing.holds(0, 20.0)  # commands


def test_the_learner_does_not_wait_for_one_that_has_read_all() -> None:
    """Nothing is in line for it, but for the marker that ends a transaction."""
    progress = _progress(Clock(), 10.0)
    progress.partitions[0].ends = [6, 5]
    assert not LearnerPacing(progress, {1: 0}).holds(1, 20.0)


def test_nobody_waits_for_one_that_stands_still() -> None:
    """Without an entry for a while it has stopped, or recovers."""
    clock = Clock()
    pacing = LearnerPacing(_progress(clock, 10.0), {1: 0})
    clock.now += STILL_S + 0.1
    assert not pacing.holds(1, 20.0)


def _partition(clock: Clock, progress: Progress, number: int) -> PartitionPacing:
    return PartitionPacing(progress, number, lead_s=5.0, wait_s=3.0, clock=clock)


def test_a_partition_runs_ahead_no_further_than_declared() -> None:
    """It stops five seconds ahead of the one behind; that one, furthest behind, never waits."""
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    assert _partition(clock, progress, 1).limit(30.0) == 15.0
    assert _partition(clock, progress, 0).limit(10.0) == NEVER


def test_a_partition_that_waited_long_enough_goes_on() -> None:
    """The wait is bounded, and begins anew once it was within bounds."""
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    pacing = _partition(clock, progress, 1)
    assert pacing.limit(30.0) == 15.0
    clock.now += 3.1
    progress.entry(progress.partitions[0], _entry(11.0, 6, 6))
    assert pacing.limit(30.0) == NEVER
    progress.entry(progress.partitions[0], _entry(28.0, 7, 7))
    assert pacing.limit(30.0) == NEVER
    progress.entry(progress.partitions[0], _entry(29.0, 8, 8))
    assert pacing.limit(40.0) == 34.0


def test_a_partition_waits_for_the_learner() -> None:
    """What the learner has not learnt yet is missing in the versions at hand."""
    clock = Clock()
    progress = _progress(clock, 30.0)
    progress.entry(progress.learner, _entry(10.0, 0, 3))
    progress.learner.ends = [0, 40]
    assert _partition(clock, progress, 0).limit(30.0) == 15.0


def test_a_partition_waits_for_a_learner_that_has_not_begun() -> None:
    """Examples lie there, and nobody has learnt one: a while, but no longer."""
    clock = Clock()
    progress = _progress(clock, 30.0)
    pacing = _partition(clock, progress, 0)
    assert pacing.limit(30.0) == NEVER
    progress.learner.ends = [0, 40]
    assert pacing.limit(30.0) == -NEVER
    clock.now += 3.1
    assert pacing.limit(30.0) == NEVER


def _example(value: bytes = b'{"training":{"clock_s":1}}') -> Output:
    return Output("examples", b"k", value, ())


def test_a_partition_knows_without_asking_what_is_not_learnt() -> None:
    """Of its own examples the oldest that the learner has not learnt holds it back, in the same
    batch and before anything is known of others; one that is not to be learnt does not.
    """
    clock = Clock()
    progress = _progress(clock, 10.0)
    pacing = _partition(clock, progress, 0)
    pacing.published([_example(b"{}"), Output("features", b"k", b"", ())], 9.0)
    assert pacing.unlearnt_limit() == NEVER
    pacing.published([_example()], 10.0)
    pacing.published([_example()], 12.0)
    assert pacing.unlearnt_limit() == 15.0
    progress.entry(progress.learner, _entry(10.0, 1))
    assert pacing.unlearnt_limit() == 17.0
    progress.entry(progress.learner, _entry(12.0, 2))
    assert pacing.unlearnt_limit() == NEVER


def test_where_nobody_learns_it_goes_on_after_a_while() -> None:
    """It has waited as long as it may; once the learner is back, it waits for it again."""
    clock = Clock()
    progress = _progress(clock, 10.0)
    pacing = _partition(clock, progress, 0)
    pacing.published([_example()], 10.0)
    pacing.held()
    clock.now += 3.1
    assert pacing.unlearnt_limit() == NEVER
    pacing.published([_example()], 30.0)
    assert pacing.unlearnt_limit() == NEVER
    progress.entry(progress.learner, _entry(11.0, 1))
    assert pacing.unlearnt_limit() == 35.0


def test_an_example_is_learnt_once_the_versions_of_its_entry_have_arrived() -> None:
    """The learner's journal may come before the version that was published with its entry."""
    progress = _progress(Clock(), 10.0)
    progress.arrived(6)
    progress.learner_entry(_entry(20.0)._replace(updates=8))
    assert progress.learner.clock_s is None
    progress.arrived(7)
    assert progress.learner.clock_s == 20.0
    progress.learner_entry(_entry(21.0)._replace(updates=8))
    assert progress.learner.clock_s == 21.0
