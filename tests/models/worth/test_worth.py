"""What a use case is worth: sums, intervals, verdicts, cost, slices, and the report."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.spec.use_case import Contest, Price, UseCase
from models.worth.closed_blocks import ClosedBlocks, together
from models.worth.worth import worth
from schemas.records import Evidence
from streams.offline.cpu_sampler import EXPLAINING, RIVERRUN, Cpu
from streams.reports import report_texts
from streams.reports.worth import page
from tests.support.commands import Command
from tests.support.one_partition import use_case

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def evidence(day: int, *, partition: int = 0, n: int = 400, **changes: Any) -> dict[str, Any]:
    """One settled day as it is on the topic: served 9, baseline 10 an event, and two models."""
    kpi = {"served": 9.0 * n, "baseline": 10.0 * n} | changes.pop("kpi", {})
    row: dict[str, Any] = {
        "use_case": "parcels",
        "partition": partition,
        "block_start": START + day * DAY,
        "block_s": 86_400.0,
        "settled_before": START + (day + 1) * DAY,
        "predictions": n + 4,
        "missing": 4,
        "kpi_n": n,
        "kpi": kpi,
        "paired_n": n,
        "paired": {"baseline": kpi["baseline"], "linear": kpi["served"], "tree": 11.0 * n},
        "sums": {"served": {"n": float(n), "abs": 3.0 * n, "sq": 20.0 * n, "bias": 0.0}},
        "arms": {},
        "champion": "linear",
        "champion_since": None,
        "experiment_since": None,
        "began": {},
        "withheld": {},
        "definition": "abc",
        "step": 1,
    }
    record = Evidence.model_validate(row | changes)
    values: dict[str, Any] = orjson.loads(record.model_dump_json())
    return values


def settled(days: int, gain: float, noise: float, seed: int = 1, n: int = 400) -> ClosedBlocks:
    """Days on which the model saves `gain` an event, give or take."""
    draw, blocks = random.Random(seed), ClosedBlocks()
    for day in range(days):
        saved = gain + draw.gauss(0.0, noise)
        blocks.add(evidence(day, n=n, kpi={"served": (10.0 - saved) * n}))
    return blocks


def case(**changes: Any) -> UseCase:
    """Lower is better, within 0 and 50."""
    plain = use_case(slices={})
    kpi = replace(plain.kpi, better="lower", range=(0.0, 50.0), unit="EUR")
    return replace(plain, kpi=kpi, **changes)


def test_what_was_saved_is_the_sum_of_paired_differences_and_its_interval_holds_the_truth() -> None:
    """90 days of 400 answers, 1 EUR saved on each: the total, 'worth it', an interval around 1."""
    result = worth(case(), settled(90, 1.0, 0.5))
    assert result.verdict == "worth it"
    assert result.labelled == 90 * 400
    assert result.gain.total == pytest.approx(result.gain.mean * 36_000)
    assert result.gain.lower is not None
    assert result.gain.upper is not None
    assert 0 < result.gain.lower < 1.0 < result.gain.upper
    assert result.gain.total_lower == pytest.approx(result.gain.lower * 36_000)
    assert result.points[-1].total == pytest.approx(result.gain.total)
    assert result.points[-1].lower == pytest.approx(result.gain.total_lower)
    assert report_texts.headline(result).startswith("parcels is worth it: it saved")


def test_a_baseline_that_is_better_is_said_so() -> None:
    """A model that costs more than it saves is not worth it; better="higher" turns the sign."""
    result = worth(case(), settled(90, -1.0, 0.5))
    assert result.verdict == "not worth it"
    assert "not worth it: it lost" in report_texts.headline(result)
    higher = replace(case(), kpi=replace(case().kpi, better="higher"))
    assert worth(higher, settled(90, -1.0, 0.5)).verdict == "worth it"


def test_a_verdict_is_of_today_and_not_of_the_best_day_so_far() -> None:
    """90 days that save 1 EUR an event, then 150 that lose 2: it is not worth it any longer."""
    days = settled(90, 1.0, 0.5)
    assert worth(case(), days).verdict == "worth it"
    draw = random.Random(2)
    for day in range(90, 240):
        lost = 2.0 + draw.gauss(0.0, 0.5)
        days.add(evidence(day, kpi={"served": (10.0 + lost) * 400}))
    result = worth(case(), days)
    assert result.gain.total < 0
    assert result.gain.lower is not None
    assert result.gain.lower < 0
    assert result.verdict != "worth it"


def test_what_is_not_known_yet_says_about_when_it_will_be() -> None:
    """After 15 days of a small gain there is no verdict; the forecast is about right."""
    result = worth(case(), settled(15, 0.5, 0.8))
    assert result.verdict == "not known yet"
    assert result.days_needed is not None
    later = worth(case(), settled(15 + 2 * round(result.days_needed), 0.5, 0.8))
    assert later.verdict == "worth it"
    assert "will be in about" in report_texts.headline(result)


def test_cost_is_taken_off_before_the_verdict() -> None:
    """1 EUR saved on each of 400 answers a day is not worth 600 EUR a day, and is worth 100."""
    days = settled(90, 1.0, 0.3)
    cpu_us = {"linear": 10.0, "tree": 30.0, RIVERRUN: 60.0}
    dear = worth(case(price=Price(per_day=600.0)), days, cpu_us)
    assert dear.verdict == "not worth it"
    assert dear.gain.verdict == "worth it"
    assert dear.net.total == pytest.approx(dear.gain.total - 90 * 600)
    cheap = worth(case(price=Price(per_cpu_hour=3.6, per_day=100.0)), days, cpu_us)
    assert cheap.verdict == "worth it"
    assert cheap.cost is not None
    # 100 µs an event at 3.6 an hour is 0.0000001 an event.
    assert cheap.cost.per_prediction == pytest.approx(1e-7)
    assert cheap.models[1].cpu_us == 30.0


def test_missing_outcomes_at_their_worst_are_shown_beside() -> None:
    """4 of 404 predictions without an outcome, each worth up to 50 EUR either way."""
    result = worth(case(), settled(90, 1.0, 0.3))
    assert result.missing == 90 * 4
    gain = result.gain
    assert gain.worst_lower is not None
    assert gain.lower is not None
    assert gain.worst_lower == pytest.approx(gain.lower * 400 / 404 - 50 * 4 / 404)


def test_a_verdict_says_what_it_assumes() -> None:
    """Of 90 days none can show a loss that comes once in 40; without a verdict nothing is said."""
    notes = worth(case(), settled(90, 1.0, 0.5)).notes
    assert any("no large loss comes less often than once in 9 blocks" in note for note in notes)
    assert not any("assumes" in note for note in worth(case(), settled(20, 1.0, 0.5)).notes)


def test_where_answers_change_the_outcome_nothing_is_claimed_without_a_holdout() -> None:
    """The baseline's KPI on the same events was never seen then."""
    result = worth(case(contest=Contest(acts_on_outcome=True)), settled(90, 1.0, 0.3))
    assert result.verdict == "not known yet"
    assert (result.gain.lower, result.models[0].gain.verdict) == (None, "not known yet")
    assert any("declare Contest(holdout=" in note for note in result.notes)


def arms(gain: float, noise: random.Random, holdout: int = 6, champion: int = 12) -> dict[str, Any]:
    """A day's arms, 32 groups of units each: the holdout costs 10 an event, others `gain` less."""
    results = {}
    for name, n, mean in (("holdout", holdout, 10.0), ("champion", champion, 10.0 - gain)):
        groups = [(n, n * (mean + noise.gauss(0.0, 0.5))) for _ in range(32)]
        results[name] = {
            "predictions": 32 * n,
            "n": 32 * n,
            "kpi": sum(kpi for _, kpi in groups),
            "sums": {},
            "groups": groups,
        }
    return results


def test_where_answers_change_the_outcome_a_holdout_tells_what_they_are_worth() -> None:
    """Units that the baseline answers cost 0.5 more: that is the gain, whatever shadows say."""
    noise, blocks, none = random.Random(4), ClosedBlocks(), ClosedBlocks()
    for day in range(60):
        blocks.add(evidence(day, arms=arms(0.5, noise)))
        none.add(evidence(day, arms=arms(0.0, noise)))
    told = worth(case(contest=Contest(acts_on_outcome=True, holdout=0.3)), blocks)
    assert told.verdict == "worth it"
    assert told.gain.mean == pytest.approx(0.5, abs=0.1)
    assert told.gain.lower is not None
    assert told.gain.upper is not None
    assert 0 < told.gain.lower < 0.5 < told.gain.upper
    assert told.gain.labelled == 60 * 32 * 12
    assert told.points[-1].total == pytest.approx(told.gain.total)
    equal = worth(case(contest=Contest(acts_on_outcome=True, holdout=0.3)), none)
    assert equal.verdict == "not known yet"
    assert "not known yet" in page(equal)


def test_nothing_settled_is_an_answer_too() -> None:
    """No evidence: not known, no total, and a report all the same."""
    result = worth(case(), ClosedBlocks())
    assert result.verdict == "not known yet"
    assert result.labelled == 0
    assert "no block is closed" in page(result)


def test_a_block_counts_once_every_partition_has_settled_it() -> None:
    """Whoever is quick waits for the slowest."""
    blocks = ClosedBlocks()
    for day in range(5):
        blocks.add(evidence(day, partition=0))
    blocks.add(evidence(0, partition=1))
    blocks.add(evidence(1, partition=1))
    assert [block.predictions for block in blocks.blocks()] == [808, 808]
    assert blocks.slowest == 1
    notes = " ".join(worth(case(), blocks).notes)
    assert "wait for partition 1, which is 3 days behind" in notes


def test_a_partition_that_fell_silent_does_not_hold_up_the_others_for_ever() -> None:
    """More than its patience behind, it is passed over and named; what it had said counts."""
    blocks = ClosedBlocks(patience_s=8 * 86_400.0)
    for day in range(20):
        blocks.add(evidence(day, partition=0))
    blocks.add(evidence(0, partition=1))
    assert blocks.laggards == [1]
    assert [block.predictions for block in blocks.blocks()] == [808] + [404] * 19
    assert "Partitions [1] are too far behind" in " ".join(worth(case(), blocks).notes)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_and_repetitions_change_no_float(shuffle: random.Random) -> None:
    """Any order, any repetition: the same blocks, to the last bit."""
    rows = [
        evidence(day, partition=p, n=100 + p, kpi={"served": 0.1 * (day + 1) * (p + 1)})
        for day in range(4)
        for p in range(3)
    ]
    due = ClosedBlocks()
    for row in rows:
        due.add(row)
    blocks = ClosedBlocks()
    for row in shuffle.sample(rows * 2, len(rows) * 2):
        blocks.add(row)
    assert blocks.blocks() == due.blocks()
    assert together(blocks.blocks()).kpi_n == 4 * 303


def test_segments_and_slices_are_told_apart_with_the_gap_between_best_and_worst() -> None:
    """Every metric per slice; a slice of few labels is shown and takes no part in the gap."""
    blocks = settled(30, 1.0, 0.3)
    for day in range(30):
        blocks.add(evidence(day, segment="DE", n=200))
        for name, n, error in (("red", 200, 2.0), ("blue", 150, 5.0), ("odd", 1, 90.0)):
            sums = {"served": {"n": float(n), "abs": error * n, "sq": error**2 * n, "bias": 0.0}}
            blocks.add(evidence(day, slice=f"colour={name}", n=n, sums=sums))
    told = worth(case(slices={"colour": "colour"}), blocks)
    assert [row.name for row in told.segments] == ["DE"]
    part = worth(case(price=Price(per_day=60.0)), blocks, group=("DE", None))
    assert (part.labelled, part.segments, len(part.points)) == (6_000, [], 30)
    assert part.kpi == {"served": 9.0, "baseline": 10.0}
    assert part.cost is not None
    # It bears its share of the days: 204 of the 404 predictions.
    assert part.cost.total == pytest.approx(60.0 * 30 * 204 / 404)
    assert "parcels for DE" in report_texts.headline(part)
    (colour,) = told.slices
    assert [part.value for part in colour.parts] == ["blue", "odd", "red"]
    gap = next(gap for gap in colour.gaps if gap.figure == "mae")
    assert (gap.best, gap.worst, gap.gap) == ("red", "blue", pytest.approx(3.0))
    assert {gap.figure for gap in colour.gaps} == {"mae", "rmse"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "line", "circle", "polyline", "polygon"):
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)
        self.loads += [f"{k}={v}" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_file_that_loads_nothing_and_escapes_what_it_is_given() -> None:
    """Well-formed, no script, no address, and a hostile segment's name is text."""
    blocks = settled(40, 1.0, 0.3)
    for day in range(40):
        blocks.add(evidence(day, segment="<script>alert(1)</script>"))
    text = page(worth(case(price=Price(per_day=1.0)), blocks))
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.loads == []
    assert "<script" not in text
    assert "http" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<svg") >= 6
    assert "nan" not in text.lower().replace("finan", "")


def test_cpu_is_found_where_it_is_used() -> None:
    """A model that computes for long has most of the samples; the rest is riverrun's."""
    from models.serving.model_slot import ModelSlot
    from models.spec.problem_types import KINDS

    class Slow:
        def predict_one(self, x: dict[str, Any]) -> float:
            return float(sum(i * i for i in range(30_000)))

    slot = ModelSlot("slow", None, Slow())
    with Cpu() as cpu:
        for _ in range(150):
            slot.ask(KINDS["regression"], {})
    shares = cpu.shares()
    assert shares["slow"] > 0.8 * cpu.seconds
    assert sum(shares.values()) == pytest.approx(cpu.seconds)
    assert EXPLAINING not in shares


@pytest.mark.slow
def test_worth_of_recorded_data_from_the_command_line(riverrun: Command) -> None:
    """Text, JSON and the report from one run without Kafka; the figures agree."""
    file = riverrun.folder / "worth.html"
    run = riverrun("worth", "phishing", "--from-backtest", "--json", "--html", str(file))
    assert run.code == 0, run.err
    result = run.json
    assert result["verdict"] == "not known yet"
    assert result["labelled"] == sum(point["labelled"] for point in result["points"])
    saved = result["kpi"]["baseline"] - result["kpi"]["served"]
    assert result["gain"]["mean"] == pytest.approx(saved)
    assert result["gain"]["total_lower"] is None
    assert set(result["cost"]["cpu_us"]) >= {"logistic", "adaptive_tree", RIVERRUN}
    assert "not known yet" in file.read_text()
    none = riverrun("worth", "phishing", "--from-backtest", "--segment", "DE")
    assert "no segments" in none.err
    assert riverrun("cost", "phishing", "--json", "--limit", "1000").json["events"] > 400
