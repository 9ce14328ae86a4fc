"""Questions that take a while, and figures made from what was read."""

from __future__ import annotations

from time import monotonic

from streams.ops.histograms import _binned
from streams.ops.inquiries import SETTLED_S, Inquiries, Inquiry
from streams.settings import Settings


async def test_what_changes_no_more_is_not_asked_again_and_again() -> None:
    """A view asks whenever it is looked at: a proof is made once, what may change anew."""
    inquiries, words = Inquiries(), ("topics",)
    done = Inquiry(words, answer={"proved": True}, done=True, ended=monotonic() - 60)
    inquiries._known[words] = done
    assert inquiries.ask(Settings(), *words, fresh_s=SETTLED_S) is done
    again = inquiries.ask(Settings(), *words)
    assert again is not done
    assert inquiries.ask(Settings(), *words) is again, "it is under way"
    await inquiries.close()


def test_whole_numbers_have_a_bar_each() -> None:
    """Bars that no value can fall into would look like gaps in the data."""
    edges, then, now = _binned([0, 1, 2, 3] * 10, [0, 3, 3, 3] * 10)
    assert edges == ["0", "1", "2", "3"]
    assert (then, now) == ([0.25] * 4, [0.25, 0.0, 0.0, 0.75])
