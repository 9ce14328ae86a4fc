"""What a partition takes in: inboxes, their alignment, and the watchdog over them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.faust_transport import Batch
from streams.partition.input_queue import InputQueue
from streams.partition.intake import Intake
from streams.partition.stalled_inputs import Watchdog
from tests.support.ledger.ledger import Ledger
from tests.support.runner_life import batch_of

# The inbox.


def test_an_inbox_knows_a_lost_batch() -> None:
    """A batch that starts past what is expected is refused, and nothing of it is queued."""
    inbox = InputQueue()
    inbox.reset(5)
    assert inbox.accept(batch_of(5, 8))
    assert not inbox.accept(batch_of(9, 12))
    assert (inbox.expected, len(inbox.records)) == (8, 3)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=40))
def test_an_inbox_gives_each_record_once_in_order(cuts: list[tuple[int, int]]) -> None:
    """Whatever overlaps, repeats or is lost: what comes out is a run without holes."""
    inbox = InputQueue()
    inbox.reset(0)
    for start, length in cuts:
        inbox.accept(batch_of(start, start + length))
    out = []
    while (record := inbox.pop()) is not None:
        out.append(record.offset)
    assert out == list(range(inbox.expected))
    assert inbox.bytes == 0


def test_an_inbox_passes_gaps_inside_a_batch() -> None:
    """A jump inside a batch is aborted or control records, and so is an empty batch."""
    inbox = InputQueue()
    inbox.reset(0)
    assert inbox.accept(batch_of(0, 10, step=3))
    assert inbox.accept(Batch("in0", 0, 10, 14, 14, []))
    assert inbox.expected == 14
    assert [r.offset for r in inbox.records] == [0, 3, 6, 9]


# Alignment.


class Ends:
    """What is known of the inputs' ends."""

    def __init__(self, *stable: int | None) -> None:
        self.known = stable

    def stable(self, tp: object) -> int | None:
        """Return an answer by the topic's number."""
        return self.known[int(str(tp.topic)[2:])]  # type: ignore[attr-defined]


def _intake(
    ends: Ends,
    wait_s: float = 0.5,
    unseen_s: float = float("inf"),
    settled_s: float = 0.0,
    clock: Callable[[], float] = lambda: 0.0,
) -> tuple[Intake, Ledger]:
    from models.inputs.merge_order import choose

    intake = Intake(
        0,
        ["in0", "in1"],
        ends,
        choose=choose,
        aligned=(0, 1),
        alignment_wait_s=wait_s,
        clock=clock,
        unseen_s=unseen_s,
        settled_s=settled_s,
    )
    task = Ledger(2)
    intake.reset(task, [0, 0])
    return intake, task


def test_an_input_that_may_surprise_holds_the_others_back() -> None:
    """While outcomes are known to lie on the topic and have not come, no event is taken."""
    intake, task = _intake(Ends(3, 2))
    intake.accept(batch_of(0, 3))
    assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.1) == pytest.approx(0.4)
    intake.accept(batch_of(0, 2, "in1"))
    assert intake.take(100, 1.0) == 5
    assert task.late == 0


def test_an_input_at_its_end_holds_nobody_back() -> None:
    """Known to be at its end: not a moment is lost."""
    intake, task = _intake(Ends(3, 0))
    intake.accept(batch_of(0, 3))
    assert intake.take(100, 1.0) == 3
    assert task.step == 3


def test_the_wait_for_an_input_ends() -> None:
    """After alignment_wait the others go on, until that input has something again."""
    intake, _ = _intake(Ends(3, None))
    intake.accept(batch_of(0, 3))
    assert intake.blocked_s(0.0) == float("inf")
    assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.6) == 0.0


def test_an_empty_batch_tells_the_end() -> None:
    """Trailing control records move an input to its end although it gives no record."""
    intake, task = _intake(Ends(3, 4))
    intake.accept(batch_of(0, 3))
    intake.accept(Batch("in1", 0, 0, 4, 4, []))
    assert intake.take(100, 1.0) == 3
    assert task.step == 3


def test_what_waits_for_its_own_time_is_no_lag() -> None:
    """An idle partition takes no versions of shared models, and is not behind for that."""
    intake, task = _intake(Ends(2, 40))
    task.choose = lambda times: None if times[0] is None else 0  # type: ignore[attr-defined]
    intake.reset(task, [0, 0])
    intake.accept(batch_of(0, 3, "in1"))
    assert intake.take(100, 1.0) == 0
    assert intake.lag() == 2  # the first input's, which were not fetched yet
    intake.accept(batch_of(0, 2))
    assert intake.take(1, 1.0) == 1
    assert intake.lag() > 30  # while the partition has something to do, all counts


class Answered(Ends):
    """The same, with answers to fetches: when the newest came, and what is written next."""

    def __init__(self, *stable: int | None) -> None:
        super().__init__(*stable)
        self.answers = [(0, end or 0) for end in stable]

    def answered(self, tp: object) -> tuple[int, int]:
        """By the topic's number."""
        return self.answers[int(str(tp.topic)[2:])]  # type: ignore[attr-defined]

    def answer(self, written: int | None = None) -> None:
        """Let one more answer come to each, with what is written of the second."""
        for i, (at, end) in enumerate(self.answers):
            self.answers[i] = at + 1, written if i == 1 and written is not None else end


def test_a_record_that_leads_by_much_waits_until_the_others_were_looked_at() -> None:
    """An input that was at its end before the record came is asked twice since; records that
    follow within `unseen_s` do not wait again.
    """
    ends = Answered(9, 0)
    intake, task = _intake(ends, unseen_s=3.0)
    intake.accept(batch_of(0, 3))
    assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.1) > 0
    for _ in range(2):
        assert not intake.take(100, 1.0)
        ends.answer()
    assert intake.take(100, 1.0) == 3
    intake.accept(batch_of(3, 5))  # the second leads by four seconds
    assert intake.take(100, 1.0) == 1
    ends.answer()
    assert intake.blocked_s(0.1) > 0
    intake.accept(batch_of(0, 1, "in1"))  # what came a moment later, of an earlier time
    assert intake.take(100, 1.0) > 0
    assert task.counts[1] == 1


def test_a_burst_onto_several_partitions_is_waited_for() -> None:
    """However quickly the others answer that they have nothing: it may come a moment later."""
    ends, now = Answered(9, 0), [10.0]
    intake, _ = _intake(ends, unseen_s=3.0, settled_s=0.5, clock=lambda: now[0])
    intake.accept(batch_of(0, 3))
    for _ in range(4):
        assert intake.take(100, 11.0) == 0
        ends.answer()
    now[0] = 10.5
    assert intake.take(100, 11.0) == 3


def test_an_open_transaction_on_another_input_is_waited_for_and_not_for_ever() -> None:
    """What is written there and not committed may be earlier; after alignment_wait others go on."""
    ends = Answered(9, 0)
    intake, _ = _intake(ends, unseen_s=0.5)
    intake.accept(batch_of(0, 3))
    for _ in range(4):
        ends.answer(written=7)
        assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.1) == pytest.approx(0.4)
    assert intake.blocked_s(0.6) == 0.0
    assert intake.take(100, 1.0) > 0


def test_a_watchdog_seeks_then_gives_up() -> None:
    """Fetched elsewhere than expected, idle for 3 s: lost once, stalled the second time."""
    intake, _ = _intake(Ends(9, 9))
    watchdog = Watchdog(intake, stall_s=3)
    assert watchdog.look({0: 5}, now=0.0) is None
    assert not intake.lost
    assert watchdog.look({0: 5}, now=3.1) is None
    assert intake.lost == {0}
    intake.take_lost()
    watchdog.look({0: 5}, now=4.0)
    assert "fetched at 5" in str(watchdog.look({0: 5}, now=7.1))


def test_a_watchdog_is_not_disturbed_by_batches_on_their_way() -> None:
    """Under load the two positions differ at every look: not a stall while something comes."""
    intake, _ = _intake(Ends(99, 99))
    watchdog = Watchdog(intake, stall_s=3)
    for second in range(10):
        assert watchdog.look({0: intake.inboxes[0].expected + 5}, now=float(second)) is None
        intake.inboxes[0].expected += 5
    assert not intake.lost
