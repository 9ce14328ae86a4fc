"""The agenda gives ids in the order of their times, whatever came when and was let go of."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pending import expiry_queue
from models.pending.expiry_queue import END, ExpiryQueue

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcdefghijkl"), st.integers(0, 30)),
        st.tuples(st.just("gone"), st.sampled_from("abcdefghijkl"), st.just(0)),
        st.tuples(st.just("pop"), st.just(""), st.just(0)),
        st.tuples(st.just("sweep"), st.just(""), st.just(0)),
    ),
    max_size=120,
)


def alive(heap: list[tuple[float, str]], times: dict[str, float]) -> list[tuple[float, str]]:
    """What is still on it, in order, once each."""
    return sorted({(time, event_id) for time, event_id in heap if times.get(event_id) == time})


@given(steps=STEPS, bucket=st.integers(1, 3))
@settings(max_examples=120, deadline=None)
def test_it_is_a_heap_but_for_ids_that_are_no_longer_on_it(
    steps: list[tuple[str, str, int]], bucket: int
):
    """Beside a heap of (time, id): the same order, ties by id, over buckets of any length; ids may
    go, and be used again with another time.
    """
    times: dict[str, float] = {}
    heap: list[tuple[float, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expiry_queue, "BUCKET_SIZE", bucket)
        queue = ExpiryQueue(times.get)
        for verb, event_id, time in steps:
            if verb == "add" and event_id not in times:
                times[event_id] = float(time)
                heappush(heap, (float(time), event_id))
                queue.add(float(time), event_id)
            elif verb == "gone":
                times.pop(event_id, None)
            elif verb == "sweep":
                queue.sweep()
                assert queue.size == len(alive(heap, times))
            elif verb == "pop":
                first = next(iter(alive(heap, times)), None)
                while queue.size and times.get(queue.first[1]) != queue.first[0]:
                    queue.pop()
                assert (queue.pop() if queue.size else None) == first
                while heap and first is not None and heappop(heap) != first:
                    pass
                if first is not None:
                    times.pop(first[1])
            assert queue.size >= len(alive(heap, times))
            assert (queue.first == END) == (not queue.size)
        rest = [queue.pop() for _ in range(queue.size) if queue.first != END]
    assert [
        p for n, p in enumerate(rest) if p in alive(heap, times) and p not in rest[:n]
    ] == alive(heap, times)


def test_one_id_used_again_and_again_takes_no_more_room_than_once():
    """What is left of its earlier lives is swept away, also from the bucket that it is on."""
    times = {f"e{n}": float(n) for n in range(3_000)}
    queue = ExpiryQueue(times.get)
    for event_id, time in times.items():
        queue.add(time, event_id)
    for n in range(2_000):
        times["again"] = 2_500 + n / 2_000
        queue.add(times["again"], "again")
    queue.sweep()
    assert queue.size == len(times)


@pytest.mark.parametrize("order", ["in order", "any order", "all at once"])
def test_a_hundred_thousand_ids_leave_in_order(order: str):
    """Over many buckets, also if all have one time."""
    ids = [f"e{n:06d}" for n in range(100_000)]
    times = {
        event_id: 0.0 if order == "all at once" else float(n) for n, event_id in enumerate(ids)
    }
    came = list(ids)
    if order != "in order":
        Random(1).shuffle(came)
    queue = ExpiryQueue(times.get)
    for event_id in came:
        queue.add(times[event_id], event_id)
    assert [queue.pop()[1] for _ in range(queue.size)] == ids
