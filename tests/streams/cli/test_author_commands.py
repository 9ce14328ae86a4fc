"""From nothing to a use case that runs, as a new user would: new, check, backtest, profile."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from models.validation.data_profile import Profile
from tests.support.commands import Command, apart

pytestmark = pytest.mark.slow


# new


def test_a_newcomer_gets_from_nothing_to_a_backtest(tmp_path: Path) -> None:
    """Three commands, in processes of their own: each succeeds on what the first has written."""
    draft = apart(tmp_path, "new", "delivery_time")
    assert (draft.code, draft.out) == (0, "usecases/delivery_time.py\n")
    assert "riverrun check" in draft.err
    checked = apart(tmp_path, "check", "usecases/delivery_time.py")
    assert checked.code == 0, checked.out + checked.err
    assert "no mistakes" in checked.out
    assert "10 events and 10 outcomes" in checked.out
    tried = apart(tmp_path, "backtest", "delivery_time", "--json")
    run = tried.json["runs"][0]
    assert (run["scored"], run["refused"]) == (10, 0)
    assert run["scores"]["linear"]["metric"] < run["scores"]["baseline"]["metric"]


def test_the_starting_file_is_of_the_projects_own_style(riverrun: Command) -> None:
    """What newcomers copy is formatted, linted and typed like the rest."""
    riverrun("new", "delivery_time")
    config = str(Path(__file__).parents[3] / "pyproject.toml")
    path = str(riverrun.folder / "usecases" / "delivery_time.py")
    known = 'lint.isort.known-first-party=["riverrun"]'
    for arguments in (
        ["ruff", "check", "--config", config, "--config", known, path],
        ["ruff", "format", "--check", "--config", config, path],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_new_writes_over_nothing(riverrun: Command) -> None:
    """A second `new` of the same name leaves the file as it is."""
    path = riverrun.folder / "usecases" / "mine.py"
    assert riverrun("new", "mine").code == 0
    path.write_text("# mine\n")
    result = riverrun("new", "mine")
    assert result.code == 5
    assert "already exists" in result.err
    assert path.read_text() == "# mine\n"


def test_new_writes_where_it_is_told(riverrun: Command) -> None:
    """Folders are made; the name inside is the use case's."""
    assert riverrun("new", "mine", "--to", "deep/er/other.py").code == 0
    assert 'name="mine"' in (riverrun.folder / "deep" / "er" / "other.py").read_text()


@pytest.mark.parametrize("name", ["Mine", "my-case", "1st", "a.b", "ü"])
def test_new_refuses_a_name_that_no_topic_can_have(riverrun: Command, name: str) -> None:
    """And says what it may be."""
    result = riverrun("new", name)
    assert result.code == 5
    assert "Use lower-case letters" in result.err
    assert not (riverrun.folder / "usecases").exists()


# check


def _changed(riverrun: Command, old: str, new: str) -> Path:
    riverrun("new", "mine")
    path = riverrun.folder / "usecases" / "mine.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_check_tells_every_mistake_with_line_reason_and_mend(riverrun: Command) -> None:
    """As a table for people, exit code 5."""
    path = _changed(riverrun, 'champion="linear"', 'champion="liner"')
    path.write_text(path.read_text().replace('unit="EUR"', 'unit=""'))
    result = riverrun("check", str(path))
    assert result.code == 5
    line = path.read_text().splitlines().index('    champion="liner",') + 1
    row = next(row for row in result.out.splitlines() if "liner" in row)
    assert row.split()[0] == str(line)
    assert 'Did you mean "linear"?' in row
    assert "no unit" in result.out
    assert "2 mistakes" in result.err


def test_check_as_json_is_one_document(riverrun: Command) -> None:
    """Nothing but JSON on standard output, whatever is wrong."""
    path = _changed(riverrun, 'unit="EUR"', 'unit=""')
    result = riverrun("check", str(path), "--json")
    assert result.code == 5
    (mistake,) = result.json["mistakes"]
    assert set(mistake) == {"line", "reason", "hint"}
    assert result.json["ran"] is None


def test_check_tells_a_file_that_does_not_run(riverrun: Command) -> None:
    """The line in the author's file, not a traceback through riverrun."""
    path = _changed(riverrun, "from pydantic import Field", "from pydantic import Feild")
    result = riverrun("check", str(path), "--json")
    assert result.code == 5
    line = path.read_text().splitlines().index("from pydantic import Feild") + 1
    assert [m["line"] for m in result.json["mistakes"]] == [line]


def test_check_refuses_a_model_that_is_not_deterministic(riverrun: Command) -> None:
    """With the estimator that lacks its seed, at the model's line."""
    path = _changed(
        riverrun,
        'models={"linear": linear},',
        'models={"linear": lambda: tree.HoeffdingAdaptiveTreeRegressor()},',
    )
    text = path.read_text().replace("optim, preprocessing", "optim, preprocessing, tree")
    path.write_text(text)
    result = riverrun("check", str(path), "--json")
    (mistake,) = result.json["mistakes"]
    assert "HoeffdingAdaptiveTreeRegressor(seed=None)" in mistake["reason"]
    assert mistake["hint"] == "Give a seed, such as seed=42."
    assert "tree.Hoeffding" in text.splitlines()[mistake["line"] - 1]


def test_check_finds_what_depends_on_the_hash_seed(riverrun: Command) -> None:
    """A feature that is another in each process can never be verified."""
    path = _changed(
        riverrun,
        '"hour": local_hour(zone="Europe/Berlin"),  # where the depots are',
        '"hour": lambda event: hash(event.depot) % 7,',
    )
    result = riverrun("check", str(path), "--json")
    (mistake,) = result.json["mistakes"]
    assert "'hour' is another in each process" in mistake["reason"]
    assert "hash(event.depot)" in path.read_text().splitlines()[mistake["line"] - 1]


def test_check_without_recorded_data_says_what_is_untried(riverrun: Command) -> None:
    """That is no mistake, and not a clean bill either."""
    path = _changed(riverrun, "    recorded=recorded,\n", "")
    result = riverrun("check", str(path), "--json")
    assert result.code == 0
    assert "nothing was run" in result.json["warnings"][0]


def test_check_of_no_file_says_how_to_begin(riverrun: Command) -> None:
    """The way out is in the message."""
    result = riverrun("check", "nothing.py")
    assert result.code == 5
    assert "riverrun new" in result.err


# profile

ROWS: list[dict[str, Any]] = [
    {
        "event_id": f"e{n}",
        "event_time": f"2024-01-01T{n // 60:02}:{n % 60:02}:00Z",
        "shop": "ab"[n % 3 == 0],
        "zip": f"0{n % 7}",
        "price": None if n % 4 == 0 else n * 0.5,
        "items": n % 5,
    }
    for n in range(120)
]
OUTCOMES = [
    {"event_id": f"e{n}", "outcome_time": f"2024-01-02T{n // 60:02}:{n % 60:02}:00Z"}
    for n in range(0, 120, 2)
]


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _csv(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0])]
    lines += [",".join("NA" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _written(folder: Path, name: str) -> str:
    path = folder / name
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress((_csv(ROWS) if ".csv" in name else lines).encode()))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("inside.csv", _csv(ROWS))
    else:
        text = {"csv": _csv(ROWS), "json": json.dumps(ROWS)}.get(name.rpartition(".")[2], lines)
        path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.ndjson", "a.json", "a.csv", "a.jsonl.gz", "a.csv.gz", "a.csv.zip"]
)
def test_a_profile_is_the_same_in_every_format(riverrun: Command, name: str) -> None:
    """Types, ranges, missing values, rates, order, ids and keys."""
    report = riverrun("profile", _written(riverrun.folder, name), "--json").json
    assert report["records"] == 120
    fields = report["fields"]
    assert fields["price"]["types"] == {"decimal": 90}
    assert (fields["price"]["least"], fields["price"]["most"]) == (0.5, 59.5)
    assert fields["price"]["missing"] == 0.25
    assert fields["zip"]["types"] == {"text": 120}
    assert fields["items"]["distinct"] == 5
    assert report["time"]["field"] == "event_time"
    assert report["time"]["per_hour_most"] == 60
    assert report["time"]["out_of_order"] == 0
    assert report["ids"] == ["event_id"]
    assert [key["field"] for key in report["keys"]] == ["zip", "shop", "items"]
    assert report["delays"] is None


def test_a_profile_tells_label_delays(riverrun: Command) -> None:
    """From a file of outcomes, and from outcomes among the events."""
    events = _jsonl(riverrun.folder / "events.jsonl", ROWS)
    outcomes = _jsonl(riverrun.folder / "outcomes.jsonl", OUTCOMES)
    mixed = _jsonl(riverrun.folder / "mixed.jsonl", [*ROWS, *OUTCOMES])
    for arguments in ((events, "--outcomes", outcomes), (mixed,)):
        delays = riverrun("profile", *arguments, "--json").json["delays"]
        assert (delays["labelled"], delays["half"], delays["all"]) == (0.5, 86_400, 86_400)
        assert delays["horizon"] == "hours(24)"
    shown = riverrun("profile", mixed)
    assert "50.0% of the records have an outcome" in shown.out
    assert "horizon=hours(24)" in shown.out


def test_a_row_with_a_time_of_its_own_name_and_a_label_is_both(riverrun: Command) -> None:
    """With --time, as with event_time; such rows were counted as outcomes of no event."""
    path = riverrun.folder / "sales.csv"
    rows = [f"s{n},2024-06-0{n}T08:00:00Z,2024-06-0{n}T09:00:00Z" for n in range(1, 6)]
    path.write_text("\n".join(["sale,sold_at,outcome_time", *rows]) + "\n")
    report = riverrun("profile", str(path), "--time", "sold_at", "--id", "sale", "--json").json
    assert report["records"] == 5
    assert (report["delays"]["labelled"], report["delays"]["half"]) == (1.0, 3_600)


def test_a_profile_for_people_fits_a_narrow_screen(
    riverrun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field's name is there in full."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = riverrun("profile", _written(riverrun.folder, "a.jsonl")).out
    assert all(name in shown for name in ROWS[0])


def test_a_profile_tells_disorder() -> None:
    """How many come after a later one, and by how much."""
    disorder = Profile()
    for minute in (0, 10, 5, 20, 20):
        disorder.event({"event_time": f"2024-01-01T00:{minute:02}:00Z"})
    time = disorder.report()["time"]
    assert (time["out_of_order"], time["out_of_order_s_most"]) == (0.2, 300)


def test_a_profile_takes_times_as_numbers() -> None:
    """Kafka's milliseconds and Unix's seconds."""
    for at in (1_700_000_000, 1_700_000_000_000, 1_700_000_000.0):
        numeric = Profile(time="at")
        numeric.event({"at": at})
        assert numeric.report()["time"]["from"].startswith("2023-11-14T22:13:20")


def test_a_profile_of_nothing_is_empty(riverrun: Command) -> None:
    """An empty file is no failure."""
    path = riverrun.folder / "none.jsonl"
    path.write_text("")
    assert riverrun("profile", str(path), "--json").json["records"] == 0
    assert riverrun("profile", str(path)).code == 0


BROKEN = [
    ("broken.jsonl", '{"a"\n', "line 1: it is not JSON"),
    ("list.jsonl", "[1, 2]\n", "line 1: it is a number, not an object"),
    ("what.parquet", "PAR1", "is not whole Parquet"),
]


@pytest.mark.parametrize(("name", "text", "reason"), BROKEN)
def test_a_file_that_cannot_be_read_says_where(
    riverrun: Command, name: str, text: str, reason: str
) -> None:
    """In one line, exit code 5."""
    path = riverrun.folder / name
    path.write_text(text)
    result = riverrun("profile", str(path))
    assert result.code == 5
    assert reason in result.err
    assert "Traceback" not in result.err


def test_a_file_that_is_not_there_is_no_topic(riverrun: Command) -> None:
    """A typing error in a file's name is not looked for on Kafka."""
    result = riverrun("profile", "visits.csv")
    assert result.code == 5
    assert "There is no file visits.csv" in result.err


# schema, topics


def test_the_schema_of_predictions_is_written_in_the_format_that_is_declared(
    riverrun: Command,
) -> None:
    """Print it for code generators; `topics` names the format and the topic of the schema."""
    riverrun("new", "mine")
    path = riverrun.folder / "usecases" / "mine.py"
    text = path.read_text().replace("    owner=", '    prediction_format="avro",\n    owner=')
    path.write_text(text)
    avro = json.loads(riverrun("schema", "mine", "--format", "avro").out)
    assert (avro["name"], avro["namespace"]) == ("RegressionPrediction", "riverrun")
    done = riverrun("schema", "mine", "--format", "protobuf", "--to", "contract")
    assert done.out.strip() == "contract/predictions.proto"
    text = (riverrun.folder / "contract" / "predictions.proto").read_text()
    assert "message RegressionPrediction {" in text
    rows = {row["kind"]: row for row in riverrun("topics", "mine", "--json").json}
    assert rows["predictions"]["value"] == "Prediction (avro)"
    assert "schemas" in rows
    assert "relay" not in rows


def test_a_format_that_is_none_is_a_mistake(riverrun: Command) -> None:
    """Name those that there are."""
    riverrun("new", "mine")
    path = riverrun.folder / "usecases" / "mine.py"
    text = path.read_text().replace("    owner=", '    prediction_format="xml",\n    owner=')
    path.write_text(text)
    done = riverrun("check", "mine")
    assert done.code == 5
    assert "Give one of json, avro, protobuf." in done.out
