from tests.support.one_partition import Partition, use_case


def played(late: int, jump: int, count: int) -> Partition:
    """A partition whose labels come `late` events later, and are other ones from `jump` on."""
    partition = Partition(use_case(interval=0.9, segments=None, slices={}))
    for k in range(count):
        partition.event(f"e{k}", float(k))
        if k >= late:
            took = 90.0 if k - late >= jump else 7.0 + k % 5
            partition.outcome(f"e{k - late}", float(k), took)
    return partition


def test_misses_of_issued_intervals_widen_the_next_ones_where_labels_are_late():
    """What a task learns of an interval is whether the one that was published held the label."""
    tracker = played(late=150, jump=200, count=450).task.intervals.tracker
    assert tracker.lag > 100
    assert tracker.stretch > 0.2


def test_labels_that_come_soon_leave_intervals_as_they_were():
    """Below a hundred labels of delay the bounds that follow the labels do all."""
    tracker = played(late=20, jump=200, count=450).task.intervals.tracker
    assert tracker.lag < 100
    assert tracker.stretch == 0.0
