"""Which archived snapshots are kept."""

from __future__ import annotations

from streams.snapshots.archive import ALL_S, DAILY_S, LEAST, ArchivedSnapshot, outlived

DAY_S = 86_400.0
NOW_S = 1_000 * DAY_S


def archived(seq: int, age_s: float, definition: str = "a") -> ArchivedSnapshot:
    """One, by name."""
    return ArchivedSnapshot(seq, NOW_S - age_s, definition, 0, f"{seq}")


def test_of_old_ones_the_newest_of_each_day_is_kept() -> None:
    """All of the last day, one a day for ninety, then only the newest few."""
    hours = [archived(10_000 - n, n * 3_600.0) for n in range(200 * 24)]
    dropped = {snapshot.seq for snapshot in outlived(hours, NOW_S)}
    left = [snapshot for snapshot in hours if snapshot.seq not in dropped]
    assert all(snapshot in left for snapshot in hours[:24])
    days = {int((NOW_S - snapshot.written_s) // DAY_S) for snapshot in left}
    assert max(days) <= DAILY_S / DAY_S
    assert len(left) <= ALL_S / 3_600 + DAILY_S / DAY_S + 3
    assert not outlived(hours[-LEAST:], NOW_S)


def test_the_first_of_each_definition_is_kept() -> None:
    """What came after a change is proved from there, also where what ran before cannot be."""
    before = [archived(n, (500 - n) * DAY_S) for n in range(10)]
    after = [archived(10 + n, (400 - n) * DAY_S, "b") for n in range(10)]
    dropped = {snapshot.seq for snapshot in outlived([*before, *after], NOW_S)}
    assert {0, 10} & dropped == set()
    assert {1, 11} <= dropped
