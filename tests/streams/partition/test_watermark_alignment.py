"""Who waits for whom, where one model learns from all partitions."""

from __future__ import annotations

from models.outputs.output_records import Output
from streams.partition.announcement import Announcement
from streams.partition.watermark_alignment import (
    CATCH_UP_S,
    HELD_S,
    NEVER,
    STILL_S,
    LearnerPacing,
    PartitionPacing,
    Progress,
)
from streams.replay.journal_fold import Reached


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _entry(clock_s: float, *following: int, seq: int = 0) -> Reached:
    return Reached(seq, clock_s, list(following), None)


def _nothing() -> None:
    """Wake nobody."""


def _progress(clock: Clock, *clocks: float) -> Progress:
    progress = Progress(len(clocks), clock)
    for reach, at in zip(progress.partitions, clocks, strict=True):
        progress.entry(reach, _entry(at, 5, 5))
        reach.ends = [50, 50]
    return progress


def _told(progress: Progress, number: int, clock_s: float, *times: float | None) -> None:
    progress.entry(progress.partitions[number], _entry(clock_s, 6, 6), Announcement(*times))


def test_the_learner_waits_for_a_partition_that_is_behind() -> None:
    """Its next example may be due before those that are at hand."""
    pacing = LearnerPacing(_progress(Clock(), 10.0, 30.0), {1: 0, 2: 1})
    assert pacing.holds(1, 20.0)
    assert not pacing.holds(2, 20.0)
    assert not pacing.holds(0, 20.0)  # commands


def test_the_learner_does_not_wait_for_one_that_has_nothing_to_say_before() -> None:
    """Its next record is due later, as it announces."""
    progress = _progress(Clock(), 10.0)
    _told(progress, 0, 10.0, 20.0)
    assert not LearnerPacing(progress, {1: 0}).holds(1, 20.0)
    assert LearnerPacing(progress, {1: 0}).holds(1, 21.0)


def test_the_learner_waits_for_what_is_announced_and_not_fetched() -> None:
    """Examples and journal come by two connections: an example that is due before those at hand is
    waited for, even where its partition has come further; one that was learnt is not.
    """
    progress = _progress(Clock(), 10.0)
    _told(progress, 0, 30.0, 40.0, 12.0, 14.0)
    pacing = LearnerPacing(progress, {1: 0})
    assert pacing.limit(11.0, 20.0) == NEVER
    assert pacing.holds(1, 20.0)
    assert not pacing.holds(1, 12.0)
    assert pacing.limit(14.0, 20.0) == NEVER
    assert not pacing.holds(1, 20.0)


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


def test_one_that_catches_up_is_waited_for_longer() -> None:
    """Where a machine is busy, a task that is days behind may stand still for seconds."""
    clock = Clock()
    progress = _progress(clock, 10.0)
    pacing = LearnerPacing(progress, {1: 0})
    clock.now += STILL_S + 0.1
    assert pacing.holds(1, 11.0 + CATCH_UP_S)
    clock.now += progress.wait_s
    assert not pacing.holds(1, 11.0 + CATCH_UP_S)


def test_one_that_has_not_begun_is_waited_for_if_it_has_records() -> None:
    """Workers start one after another: the first one does not run ahead of the others."""
    clock = Clock()
    progress = Progress(2, clock)
    progress.partitions[1].ends = [50, 0]
    assert _partition(clock, progress, 0).limit(30.0, 31.0) == -NEVER
    assert progress.wanted, "what is in line is worth asking for"
    progress.partitions[1].ends = [0, 0]
    assert _partition(clock, progress, 0).limit(30.0, 31.0) == NEVER


def _partition(clock: Clock, progress: Progress, number: int) -> PartitionPacing:
    return PartitionPacing(progress, number, lead_s=5.0, wait_s=3.0, clock=clock)


def test_a_partition_runs_ahead_no_further_than_declared() -> None:
    """It stops five seconds ahead of the one behind; that one, furthest behind, is far below the
    limit that the others set.
    """
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    assert _partition(clock, progress, 1).limit(30.0, 31.0) == 15.0
    assert _partition(clock, progress, 0).limit(10.0, 11.0) == NEVER


def test_it_waits_by_when_the_next_record_of_another_is_due() -> None:
    """Not by the time that the other one has come to: it may have nothing for hours."""
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    _told(progress, 0, 10.0, 28.0)
    assert _partition(clock, progress, 1).limit(30.0, 31.0) == 33.0


def test_who_is_furthest_behind_as_far_as_others_know_does_not_wait() -> None:
    """A record is held back by when it is due only if the others know of it, or will by the next
    commit; else by the time of the task, by which they wait for it.
    """
    clock = Clock()
    pacing = _partition(clock, _progress(clock, 10.0, 11.0), 0)
    assert pacing.position(10.0, 40.0, is_open=False) == 10.0
    assert pacing.position(10.0, 40.0, is_open=True) == 40.0
    pacing.announcement(40.0)
    assert pacing.position(10.0, 40.0, is_open=False) == 40.0
    assert pacing.position(10.0, 50.0, is_open=False) == 10.0
    assert pacing.position(None, 50.0, is_open=False) == -NEVER, "it begins"


def test_a_partition_waits_for_what_others_have_told_and_nobody_has_learnt() -> None:
    """Their journals say when the first example was known that the learner has not learnt."""
    clock = Clock()
    progress = _progress(clock, 50.0, 50.0)
    _told(progress, 0, 50.0, 55.0, 31.0, 33.0)
    pacing = _partition(clock, progress, 1)
    assert pacing.limit(50.0, 51.0) == 36.0
    progress.learner_entry(_entry(32.0, 1))
    assert pacing.limit(50.0, 51.0) == 36.0
    progress.learner_entry(_entry(33.0, 1))
    assert pacing.limit(50.0, 51.0) == NEVER


def test_a_partition_that_waited_long_enough_goes_on() -> None:
    """The wait is bounded, and starts over once it was within bounds."""
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    pacing = _partition(clock, progress, 1)
    assert pacing.limit(30.0, 31.0) == 15.0
    pacing.held(_nothing)
    clock.now += 3.1
    progress.entry(progress.partitions[0], _entry(11.0, 6, 6))
    assert pacing.limit(30.0, 31.0) == NEVER
    pacing.held(_nothing)
    assert pacing.limit(30.0, 32.0) == NEVER
    progress.entry(progress.partitions[0], _entry(28.0, 7, 7))
    assert pacing.limit(30.0, 32.0) == 33.0
    assert pacing.limit(30.0, 34.0) == 33.0


def test_a_partition_waits_for_the_learner() -> None:
    """What it has not learnt yet of what was made known before this worker followed the journals
    is missing in the versions at hand.
    """
    clock = Clock()
    progress = Progress(1, clock)
    progress.entry(progress.partitions[0], _entry(30.0, 5, 5, seq=7))
    progress.learner_entry(_entry(10.0, 0, 3))
    progress.learner.ends = [0, 40]
    pacing = _partition(clock, progress, 0)
    assert pacing.limit(30.0, 31.0) == 15.0
    progress.learner_entry(_entry(30.0, 0, 30))
    assert pacing.limit(30.0, 90.0) == NEVER, "of what is younger the journals tell"


def test_a_partition_waits_for_a_learner_that_has_not_begun() -> None:
    """Examples lie there, and nobody has learnt one: a while, but no longer."""
    clock = Clock()
    progress = Progress(1, clock)
    progress.entry(progress.partitions[0], _entry(30.0, 5, 5, seq=7))
    pacing = _partition(clock, progress, 0)
    assert pacing.limit(30.0, 31.0) == NEVER
    progress.learner.ends = [0, 40]
    assert pacing.limit(30.0, 31.0) == -NEVER
    pacing.held(_nothing)
    clock.now += 3.1
    assert pacing.limit(30.0, 31.0) == NEVER


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
    assert pacing.announcement(13.0) == Announcement(13.0, 10.0, 12.0)
    assert pacing.announcement(None) == Announcement()
    progress.learner_entry(_entry(10.0, 1))
    assert pacing.unlearnt_limit() == 17.0
    progress.learner_entry(_entry(12.0, 2))
    assert pacing.unlearnt_limit() == NEVER


def test_where_nobody_learns_it_goes_on_after_a_while() -> None:
    """It has waited as long as it may; once the learner is back, it waits for it again."""
    clock = Clock()
    progress = _progress(clock, 10.0)
    pacing = _partition(clock, progress, 0)
    pacing.published([_example()], 10.0)
    pacing.held(_nothing)
    clock.now += 3.1
    assert pacing.unlearnt_limit() == NEVER
    pacing.published([_example()], 30.0)
    pacing.limit(30.0, 31.0)
    assert pacing.unlearnt_limit() == NEVER
    progress.learner_entry(_entry(11.0, 1))
    pacing.limit(30.0, 31.0)
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


def test_a_learner_that_does_not_move_while_examples_wait_is_stalled() -> None:
    """Every worker sees it in the journals; what was passed by or learnt waits for nobody."""
    clock = Clock()
    progress = _progress(clock, 10.0)
    assert progress.stalled_s() == 0.0
    _told(progress, 0, 12.0, None, 11.0, 12.0)
    assert progress.stalled_s() == 0.0
    clock.now += 7.0
    assert progress.stalled_s() == 7.0
    assert progress.wanted
    progress.learner.ends, progress.learner.next = [0, 9], [-1, 8]  # a marker is no example
    assert progress.stalled_s() == 0.0
    progress.learner.next = [-1, 5]
    assert progress.stalled_s() == 7.0
    progress.arrived(-1)
    progress.learner_entry(_entry(11.0, -1, 6))
    assert progress.stalled_s() == 0.0
    clock.now += 3.0
    assert progress.stalled_s() == 3.0
    progress.learner_entry(_entry(12.0, -1, 8))
    clock.now += 9.0
    assert progress.stalled_s() == 0.0


def test_an_announcement_is_read_as_it_was_written_and_nothing_of_what_is_none() -> None:
    """A journal without it, of an older worker, announces nothing."""
    announced = Announcement(5.0, None, 2.5)
    assert Announcement.of(announced.headers()) == announced
    assert Announcement.of((("ahead", b"nonsense"), ("other", b""))) == Announcement()
    assert Announcement().headers() == ()


def test_who_is_held_back_is_woken_once_when_the_rearmost_goes_on() -> None:
    """By a partition that was the rearmost or by the learner, and not by each entry of others."""
    clock, woken = Clock(), []
    progress = _progress(clock, 10.0, 30.0)
    pacing = _partition(clock, progress, 1)

    def went(number: int, to: float) -> int:
        woken.clear()
        reach = progress.partitions[number]
        progress.entry(reach, Reached(1, to, [], None))
        return len(woken)

    def wake() -> None:
        woken.append(1)

    pacing.held(wake)
    assert went(0, 12.0) == 1
    assert went(0, 13.0) == 0, "it looks again, and says so if it is held still"
    pacing.held(wake)
    pacing.held(wake)
    assert went(0, 14.0) == 1
    pacing.held(wake)
    assert went(1, 31.0) == 0
    progress.learner_entry(Reached(1, 9.0, [], None))
    assert len(woken) == 1


def test_the_learner_hurries_while_a_partition_is_held_back_and_shortly_after() -> None:
    """Not on its own account."""
    clock = Clock()
    progress = _progress(clock, 10.0, 30.0)
    LearnerPacing(progress, {1: 0}).held(_nothing)
    assert not progress.is_waited_for
    _partition(clock, progress, 1).held(_nothing)
    assert progress.is_waited_for
    clock.now += HELD_S
    assert not progress.is_waited_for


def test_ends_are_asked_for_only_where_nothing_was_announced() -> None:
    """What comes next is known then."""
    progress = _progress(Clock(), 10.0, 30.0)
    _told(progress, 0, 11.0, 12.0)
    assert progress.behind(progress.partitions[0], 20.0)
    assert not progress.wanted
    _told(progress, 0, 11.0)
    assert progress.behind(progress.partitions[0], 20.0)
    assert progress.wanted
