"""Reports as people see them: in a real Chromium, on a phone and on a screen."""

from __future__ import annotations

import re
import subprocess
from html import escape, unescape
from pathlib import Path

import orjson
import pytest

from models.replay.learning_curve import curve
from models.spec.use_case import Contest, Price
from models.worth.worth import worth
from streams.reports import learning_curve
from streams.reports import worth as report
from tests.models.replay.test_learning_curve import told
from tests.models.worth.test_worth import case, evidence, settled
from tests.support.servers.programs import CHROMIUM, path_of

MEASURE = """
<pre id="found"></pre><script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement;
    const seen = (e) => e.getClientRects().length > 0 && e.getBoundingClientRect().height > 20;
    return {
      width: root.clientWidth, needed: root.scrollWidth,
      drawings: [...page.querySelectorAll("figure svg")].filter(seen).length,
      smallest: Math.min(...[...page.querySelectorAll("figure svg")].filter(seen).map(
        (e) => e.getBoundingClientRect().width / e.viewBox.baseVal.width)),
      headline: page.querySelector("h1").textContent,
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>
"""


def seen(text: str, folder: Path) -> list[dict[str, object]]:
    """What a browser makes of a page at 360 and 1,280 pixels."""
    frames = "".join(
        f'<iframe width="{width}" height="800" srcdoc="{escape(text)}"></iframe>'
        for width in (360, 1_280)
    )
    file = folder / "both.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{frames}{MEASURE}", "utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/user"]
    done = subprocess.run(
        [
            path_of(*CHROMIUM, package="chromium"),
            *options,
            "--virtual-time-budget=5000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stdout[-500:]
    pages: list[dict[str, object]] = orjson.loads(unescape(match[1]))
    return pages


@pytest.mark.slow
def test_both_reports_fit_a_phone_and_a_screen(tmp_path: Path) -> None:
    """Nothing sticks out sideways at 360 and 1,280 pixels, and no drawing is scaled below 90 %."""
    blocks = settled(40, 1.0, 0.3)
    for day in range(40):
        for name in ("a segment with a rather long name", "DE"):
            blocks.add(evidence(day, segment=name))
        for value in ("red", "blue"):
            blocks.add(evidence(day, slice=f"colour={value}"))
    case_of = case(price=Price(per_day=1.0), slices={"colour": "colour"})
    pages = {
        "worth": (report.page(worth(case_of, blocks)), 3),
        "curve": (learning_curve.page(curve(case(), told({0.25: 0.2, 0.5: 0.8, 1.0: 1.2}))), 1),
    }
    for text, drawings in pages.values():
        for page in seen(text, tmp_path):
            assert page["needed"] == page["width"]
            assert page["drawings"] == drawings
            assert float(str(page["smallest"])) > 0.9
            assert "parcels" in str(page["headline"])


@pytest.mark.parametrize("days", [5, 20])
@pytest.mark.parametrize("contest", [Contest(), Contest(acts_on_outcome=True)])
def test_a_report_of_worth_says_nothing_twice(days: int, contest: Contest) -> None:
    """Outlook, price and notes are different sentences, also where there is no interval."""
    page = report.page(worth(case(contest=contest), settled(days, 1.0, 0.3)))
    _, outlook = page.split("<h2>Outlook</h2>")
    paragraphs = re.findall("<p>(.+?)</p>", outlook)
    assert len(paragraphs) == len(set(paragraphs)) > 3
    assert page.count("No price is declared") == 1
    assert page.count("Not promised here") <= 1
    assert page.count("Only a holdout can tell") == contest.acts_on_outcome
