"""`riverrun new --source`: a use case of one's own data, with the best simple rule as baseline."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.validation import mistakes
from streams.config.use_case_loader import load
from tests.support.commands import Command

START = datetime(2024, 1, 1, tzinfo=UTC)
LABELS = {
    "took": lambda n: {"north": 5.0, "south": 9.0, "east": 2.0}[shop(n)] + n % 3 / 10,
    "fraud": lambda n: str(shop(n) == "east").lower(),
    "carrier": lambda n: {"north": "ups", "south": "dhl", "east": "ups"}[shop(n)],
}


def shop(n: int) -> str:
    """One of three, in no order that time knows."""
    return ("north", "south", "east")[n * n * 7 % 11 % 3]


def recording(folder: Path, label: str) -> Path:
    """An hour between rows, labels known after two."""
    path = folder / f"{label}.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["event_id", "event_time", "shop", "size", "note", "outcome_time", label])
        for n in range(300):
            time = START + timedelta(hours=n)
            known = (time + timedelta(hours=2)).isoformat()
            note = "" if n % 2 else "x"
            rows.writerow(
                [f"r{n}", time.isoformat(), shop(n), n % 5, note, known, LABELS[label](n)]
            )
    return path


@pytest.mark.parametrize("label", LABELS)
def test_a_draft_runs_and_its_baseline_is_the_best_simple_rule(riverrun: Command, label: str):
    """Of numbers, yes or no, and classes: no mistakes, and the baseline's error is the rule's."""
    path = recording(riverrun.folder, label)
    draft = riverrun("new", f"my_{label}", "--source", path.name, "--label", label, "--key", "shop")
    assert draft.code == 0, draft.err
    assert f"--source {path.name}" in draft.err
    loaded = load(str(riverrun.folder / "usecases" / f"my_{label}.py"))
    assert not mistakes(loaded.use_case, loaded.source)

    rules = riverrun("profile", path.name, "--label", label, "--json").json["rules"]
    assert "shop" in rules[0]["rule"]
    assert rules[0]["rule"] in loaded.source
    file = f"usecases/my_{label}.py"
    tried = riverrun("backtest", file, "--source", path.name, "--partitions", "1", "--json")
    run = tried.json["runs"][0]
    assert (run["scored"], run["refused"]) == (300, 0)
    error = run["scores"]["baseline"]["metric"]
    error = error if label == "took" else 1 - error
    assert error == pytest.approx(rules[0]["error"], abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--source", "took.csv"), "both --source and --label"),
        (("--source", "none.csv", "--label", "took"), "no file none.csv"),
        (("--source", "took.csv", "--label", "tok"), "No row of took.csv"),
        (("--source", "took.csv", "--label", "took", "--key", "shopp"), "no field that could be"),
    ],
)
def test_what_is_no_draft_is_told_in_words(
    riverrun: Command, arguments: tuple[str, ...], words: str
):
    """Nothing is written then."""
    recording(riverrun.folder, "took")
    result = riverrun("new", "mine", *arguments)
    assert result.code == 5
    assert words in result.err
    assert not (riverrun.folder / "usecases" / "mine.py").exists()


def test_a_profile_of_another_label_says_so(riverrun: Command):
    """The rules need rows that have both a time and the label."""
    recording(riverrun.folder, "took")
    result = riverrun("profile", "took.csv", "--label", "tok")
    assert result.code == 5
    assert "has both a time and the label 'tok'" in result.err


ODD = (
    'a"b',
    "class",
    "copy",
    "fields",
    "ﬁ",
    "²",
    "self",
    "float",
    "rule",
    "rule_hour",
    "two words",
)


def odd_recording(folder: Path) -> Path:
    """A recording with columns whose names a field of Python cannot have, or only with care."""
    path = folder / "od'd.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["event_id", "event_time", "outcome_time", "shop", "took", "took-s", *ODD])
        for n in range(100):
            time = START + timedelta(hours=n)
            known = (time + timedelta(hours=2)).isoformat()
            took = n % 24 * 7 % 24
            rows.writerow(
                [f"r{n}", time.isoformat(), known, shop(n), took, took, *(n for _ in ODD)]
            )
    return path


def test_columns_that_cannot_be_fields_are_left_out_and_named(riverrun: Command):
    """The draft of such a recording has no mistakes."""
    path = odd_recording(riverrun.folder)
    drafted = riverrun("new", "odd", "--source", path.name, "--label", "took", "--key", "shop")
    assert drafted.code == 0, drafted.err
    loaded = load(str(riverrun.folder / "usecases" / "odd.py"))
    assert not mistakes(loaded.use_case, loaded.source)
    left_out = next(line for line in loaded.source.splitlines() if "# Left out" in line)
    assert all(repr(name) in left_out for name in ODD[:6])
    assert {"self", "rule", "rule_hour"} < set(loaded.use_case.event.model_fields)


def test_a_label_that_cannot_be_a_field_is_ranked_and_refused_as_a_draft(riverrun: Command):
    """`profile` has no code to write; `new` says what to do."""
    path = odd_recording(riverrun.folder)
    profile = riverrun("profile", path.name, "--label", "took-s", "--json")
    assert profile.json["rules"][0]["rule"] == "the field took as it is"
    refused = riverrun("new", "odd", "--source", path.name, "--label", "took-s")
    assert refused.code == 5
    assert "'took-s' cannot be the name of a field" in refused.err
