"""One topic for all partitions of a worker: each reader has each record once, from its offset."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP

from streams.kafka.faust_transport import Batch
from streams.partition.shared_topic import SharedReader, SharedTopic
from tests.support.runner_life import batch_of

MODELS = TP("models", 0)


class Fetcher:
    """Gives what is asked for, in batches of ten."""

    def __init__(self) -> None:
        self.position: int | None = None

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """Stand there."""
        self.position = positions[MODELS]

    def stable(self, tp: TP) -> int | None:
        """A hundred."""
        return 100

    def fetch_position(self, tp: TP) -> int | None:
        """Where it stands."""
        return self.position

    def fetch(self) -> Batch:
        """The next batch."""
        assert self.position is not None
        batch = batch_of(self.position, self.position + 10, "models")
        self.position += 10
        return batch


def _reader(topic: SharedTopic) -> tuple[SharedReader, list[int]]:
    seen: list[int] = []

    def accept(batch: Batch) -> None:
        seen.extend(r.offset for r in batch.records if not seen or r.offset > seen[-1])

    return topic.reader(accept), seen


async def test_a_reader_that_begins_earlier_rewinds_the_others_unseen() -> None:
    """Both have all from where they began; none has anything twice."""
    topic, fetcher = SharedTopic(MODELS), Fetcher()
    topic.consumer = fetcher
    first, of_first = _reader(topic)
    second, of_second = _reader(topic)
    await first.seek_and_open(20)
    topic.route(fetcher.fetch())
    await second.seek_and_open(5)
    for _ in range(4):
        topic.route(fetcher.fetch())
    assert of_first == list(range(20, 45))
    assert of_second == list(range(5, 45))


async def test_a_reader_that_was_shut_goes_on_where_it_stopped() -> None:
    """What came meanwhile is fetched again for it."""
    topic, fetcher = SharedTopic(MODELS), Fetcher()
    topic.consumer = fetcher
    full, of_full = _reader(topic)
    other, of_other = _reader(topic)
    await full.seek_and_open(0)
    await other.seek_and_open(0)
    topic.route(fetcher.fetch())
    full.shut()
    topic.route(fetcher.fetch())
    await full.open()
    for _ in range(2):
        topic.route(fetcher.fetch())
    assert of_full == list(range(30))
    assert of_other == list(range(30))
    other.close()
    topic.route(fetcher.fetch())
    assert of_other == list(range(30))
