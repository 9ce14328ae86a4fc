"""Files in the archive, and heads in Redis, that nobody signed: they decide nothing."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest

from models.task.partition_task import PartitionTask
from streams.snapshots.archive import Archive
from streams.snapshots.delta import write
from streams.snapshots.signed_format import Origin, Reader, UnusableSnapshot, opened
from streams.unpickling.safe_unpickler import Allowed
from tests.support.one_partition import Partition, dump, use_case

KEY = b"a key"
CASE = use_case()
ALLOWED = Allowed(CASE.models.values(), CASE.event.__module__)
HERE = Origin("group", "cluster", "journal")


def file_of(task: PartitionTask, origin: Origin = HERE, written_s: float | None = None) -> bytes:
    """The snapshot of a task, whole."""
    file = io.BytesIO()
    write(task, file, None, KEY, time.time() if written_s is None else written_s, origin)
    return file.getvalue()


def archive(folder: Path) -> Archive:
    """The archive of this environment."""
    return Archive(str(folder), "group", KEY, 3_600.0, lambda: HERE)


def filled(folder: Path, count: int = 3, written_s: float | None = None) -> list[str]:
    """An archive of so many entries; gives each state."""
    feed, states = Partition(CASE), []
    for n in range(count):
        feed.event(f"e{n}", n * 10.0, items=1, weight=0.5)
        feed.task.seal()
        data = file_of(feed.task, written_s=written_s)
        archive(folder).put(opened(Reader(data).signed, KEY), data)
        states.append(dump(feed.task))
    return states


def fresh() -> PartitionTask:
    """A task that has seen nothing."""
    return PartitionTask(CASE, partition=0, partitions=1, definition="d1")


JUNK = {
    "empty": b"",
    "text": b"junk" * 20_000,
    "lengths that lie": b"riverrun snapshot\n" + b"x" * 100 + b"\xff" * 16,
    "a header without a signature": b"riverrun snapshot\n"
    + b"{}" * 40
    + bytes([0] * 7 + [80] + [0] * 8),
}


@pytest.mark.parametrize("what", JUNK)
async def test_junk_with_newer_names_hides_nothing(tmp_path: Path, what: str) -> None:
    """However many, they are passed over, told of, and never cost a good one its place."""
    states = filled(tmp_path)
    folder = tmp_path / "group" / "0"
    for n in range(40):
        name = f"{10_000 + n:020d}-{4_000_000_000 + n}-d1.snapshot"
        (folder / name).write_bytes(JUNK[what])
    snapshots, problems = archive(tmp_path), list[str]()
    assert [snapshot.seq for snapshot in snapshots.of(0, problems)] == [3, 2, 1]
    assert problems[0].startswith("40 files are passed over in the archive, the first ")
    assert dump(await snapshots.near(fresh(), 99)) == states[2]
    assert dump(await snapshots.near(fresh(), 2)) == states[1]
    snapshots._interval_s = 0.0
    assert snapshots.due(0), "a junk file's date must not put the next one off"


async def test_junk_makes_nothing_be_dropped(tmp_path: Path) -> None:
    """What is kept is decided by signed headers: a day's newest is not a file without one."""
    day_s = 86_400.0
    filled(tmp_path, 5, written_s=time.time() - 10 * day_s)
    folder = tmp_path / "group" / "0"
    for n in range(20):
        name = f"{100 + n:020d}-{int(time.time() - n * day_s)}-d1.snapshot"
        (folder / name).write_bytes(b"junk")
    before = {snapshot.path for snapshot in archive(tmp_path).of(0)}
    feed = Partition(CASE)
    feed.event("e", 10.0, items=1, weight=0.5)
    feed.task.seal()
    data = file_of(feed.task)
    archive(tmp_path).put(opened(Reader(data).signed, KEY), data)
    after = {snapshot.path for snapshot in archive(tmp_path).of(0)}
    assert max(before) in after


async def test_a_good_file_under_another_name_counts_as_none(tmp_path: Path) -> None:
    """It could stand before a newer one."""
    states = filled(tmp_path)
    first = min((tmp_path / "group" / "0").iterdir())
    first.rename(first.with_name(first.name.replace(first.name[:20], f"{77:020d}")))
    snapshots = archive(tmp_path)
    assert [snapshot.seq for snapshot in snapshots.of(0)] == [3, 2]
    assert dump(await snapshots.near(fresh(), 99)) == states[2]


@pytest.mark.parametrize(
    "other",
    [HERE._replace(group="other"), HERE._replace(cluster="x"), HERE._replace(journal="y")],
)
def test_a_snapshot_of_another_environment_is_refused_and_told(
    tmp_path: Path, other: Origin
) -> None:
    """The same key, use case, definition and position: only where it is from differs."""
    filled(tmp_path)
    feed = Partition(CASE)
    for n in range(9):
        feed.event(f"x{n}", n * 10.0, items=3, weight=9.5)
        feed.task.seal()
    data = file_of(feed.task, other)
    header = opened(Reader(data).signed, KEY)
    name = f"{header.seq:020d}-{int(header.written_s)}-d1.snapshot"
    (tmp_path / "group" / "0" / name).write_bytes(data)
    snapshots, problems = archive(tmp_path), list[str]()
    assert [snapshot.seq for snapshot in snapshots.of(0, problems)] == [3, 2, 1]
    assert "another environment" in problems[0]
    one: Any = snapshots.of(0)[0]._replace(path=str(tmp_path / "group" / "0" / name))
    with pytest.raises(UnusableSnapshot, match=r"its (group|Kafka cluster|journal) is "):
        snapshots.restore(one, fresh(), ALLOWED)
