"""Journal entries: what those who follow them read is what they say."""

from __future__ import annotations

import pytest

from models.inputs.decoder import PlainRecord
from models.inputs.journal import Journal
from models.inputs.json_bytes import encoded
from models.inputs.skipped_records import Skip
from streams.replay.journal_fold import Entry, Reached


@pytest.mark.parametrize("updates", [None, 7])
def test_how_far_a_task_has_come_is_read_without_the_runs(updates: int | None) -> None:
    """Thousands of runs in one entry are passed over, whatever text is among what was skipped."""
    journal = Journal(2)
    for offset in range(500):
        journal.take(offset % 2, PlainRecord("t", 0, offset, 0, b"k", b"v"))
    journal.skipped.append(Skip(0, 3, who="riverrun", why='{"next":[9],"clock_s":9}'))
    value = encoded(journal.seal("d1", 4, 12.5, updates))
    entry = Entry.decode(value)
    assert len(entry.runs) == 500
    assert Reached.decode(value) == (entry.seq, entry.clock_s, entry.next, entry.updates)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"7",
        b'"next":',
        b'{"next":3}',
        b"no JSON",
        b"[1]",
        b'{"a":1}',
        b'{"seq":1,"next":3}',
    ],
)
def test_what_is_no_entry_is_refused(value: bytes | None) -> None:
    """A forged record ends nobody: whoever follows the journal passes it by."""
    with pytest.raises(ValueError, match=r"."):
        Reached.decode(value)
