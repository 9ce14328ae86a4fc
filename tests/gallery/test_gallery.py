import pickle

import pytest

from models.stats.confidence_sequence import Comparison
from tests.gallery import __main__ as gallery
from tests.gallery.claims.claim import SHORT, Result, Run, Size, failures_allowed, judged
from tests.gallery.claims.verdict_claims import false_winners, mark_of
from tests.gallery.registry import CLAIMS, STREAMS
from tests.gallery.streams.answers import BROKEN_AT
from tests.gallery.streams.stream import Blocks
from tests.gallery.table import Cell, measured, summary

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

    length = BROKEN_AT + 20 if stream.name.startswith(("champion", "labels ")) else 20
    assert sample(1, length) == sample(1, length)
    # Events of 1 in 20,000 show in long samples only.
    differs = any(sample(1, size) != sample(2, size) for size in (length, 20_000))
    assert differs or stream.name.startswith(("identical models", "one constant for another"))


def test_failures_beyond_the_limit_are_told_unless_they_were_marked():
    """The judgement can fail: 25 of 300 is too much for 5 %, 24 is not."""

    def result(marked, unmarked):
        failed = [Run(True, unmarked=False, mark=f"because of {n}") for n in range(marked)]
        failed += [Run(True, unmarked=True)] * unmarked
        good = [Run(False, unmarked=False)] * (300 - len(failed))
        return judged(failed + good, 0.05)

    assert failures_allowed(300, 0.05) == 24
    assert result(0, 24).status == "pass"
    assert result(2, 25).status == "fail"
    assert result(10, 16).status == "fail"
    assert result(10, 15) == Result("not promised", "25 of 300, 10 marked", "because of 0")


def test_what_a_verdict_assumes_counts_only_where_the_stream_breaks_it():
    """Losses once in 40 blocks are assumed away until 400 blocks; no other stream is excused."""
    comparison = Comparison(alpha=0.05, bound=50.0)
    for day in range(100):
        comparison.update(100, 100 * (0.1 + 0.01 * (-1) ** day))
    assert mark_of(comparison, {}) is None
    assert mark_of(comparison, {"loss_once_in": 10}) is None
    assert mark_of(comparison, {"loss_once_in": 40})[0] == f"assumes {comparison.assumes}"
    assert mark_of(comparison, {"months": True})[1]


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("a disaster in 40 blocks, calm", "no large loss comes less often than"),
        ("4 % missing by outcome", "of the outcomes are missing"),
        ("day effect AR(.95)", "hang together"),
        ("long memory, d = .4", "hang together"),
    ],
)
def test_where_nothing_is_promised_the_verdict_itself_says_why(name, mark):
    """No stream is exempt by its name: what fails unmarked is within the budget."""
    stream = next(stream for stream in STREAMS if stream.name == name)
    runs = false_winners(stream, Size(runs=100, length=120, full=False))
    marks = [run.mark for run in runs if run.mark is not None]
    assert sum(run.unmarked for run in runs) <= failures_allowed(100, 0.05)
    assert len([text for text in marks if mark in text]) > 0.9 * len(marks) > 0


def test_the_page_takes_single_claims_and_counts_all(tmp_path, monkeypatch):
    """`--write --claim` replaces the section of that claim; the other claims stay as they are."""
    page = tmp_path / "DECISIONS.md"
    monkeypatch.setattr(gallery, "PAGE", page)
    first, second = CLAIMS[0], CLAIMS[2]
    page.write_text(f"before\n{gallery.BEGIN}\nold\n{gallery.END}\nafter\n")
    stream = STREAMS[0]
    gallery.write(
        [Cell(first, stream, Result("fail", "1")), Cell(second, stream, Result("pass", "2"))]
    )
    gallery.write([Cell(first, stream, Result("not promised", "3", "why"))])
    text = page.read_text()
    assert "2 claims on 1 streams: 1 pass, 1 not promised, 0 fail." in text
    assert f"| {first.name} | 1 | 0 | 1 | 0 |" in text
    assert text.count(f"**{second.name}**") == text.count(f"**{first.name}**") == 1
    assert (text[:6], text[-6:]) == ("before", "after\n")
