import pickle

import pytest

from tests.gallery.answers import BROKEN_AT
from tests.gallery.claim import SHORT, Claim, Result, Size, failures_allowed, judged
from tests.gallery.registry import CLAIMS, STREAMS
from tests.gallery.stream import Blocks
from tests.gallery.table import measured, summary

pytestmark = pytest.mark.slow

SHORT_STREAMS = (
    "independent",
    "rare large losses",
    "day effect AR(.6)",
    "small blocks gain",
    "4 % missing by outcome",
    "gain falls at once",
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_of_decisions_holds_on_a_part_of_the_gallery(claim, record_property):
    """A short run of what `make decisions` measures: no claim fails."""
    streams = [s for s in STREAMS if s.payload is not Blocks or s.name in SHORT_STREAMS]
    cells = list(measured(SHORT, [claim], streams))
    record_property(f"gallery, {claim.name}", summary(cells))
    assert [cell for cell in cells if cell.result.status == "fail"] == []


def test_the_gallery_has_forty_streams_and_no_name_twice():
    """At least forty generators, each under a name of its own."""
    names = [stream.name for stream in STREAMS]
    assert len(names) >= 40
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_is_the_same_for_the_same_seed(stream):
    """A failure can be replayed, and another seed is another sample, where anything is drawn."""

    def sample(seed, length):
        # Pickled: the text of a long array leaves out its middle.
        return pickle.dumps(stream.sample(seed, 2, length))

    length = BROKEN_AT + 20 if stream.name.startswith("champion") else 20
    assert sample(1, length) == sample(1, length)
    # Events of 1 in 20,000 show in long samples only.
    differs = any(sample(1, size) != sample(2, size) for size in (length, 20_000))
    assert differs or stream.name.startswith(("identical models", "one constant for another"))


def test_failures_beyond_the_limit_are_told_unless_they_were_marked():
    """The judgement can fail: 25 of 300 is too much for 5 %, 24 is not."""
    assert failures_allowed(300, 0.05) == 24
    assert judged(24, 0, 300, 0.05, "why").status == "pass"
    assert judged(25, 23, 300, 0.05, "why").status == "fail"
    assert judged(25, 24, 300, 0.05, "why") == Result("not promised", "25 of 300, 24 marked", "why")


def test_an_exemption_is_for_a_failure_only():
    """A stream that is exempt and passes is shown as passing."""
    stream = STREAMS[0]

    def claim(status):
        return Claim(
            "c", "s", Blocks, lambda *_: Result(status, "1"), exempt={stream.name: "rare"}
        ).check(stream, Size(1, 1))

    assert claim("pass").status == "pass"
    assert claim("fail") == Result("not promised", "1", "rare")
