"""`riverrun backtest`: sums that are right, sources that are equal, and a gate that shuts."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, metrics, optim, preprocessing, stream

from models.replay.backtest import run
from streams.config.use_case_loader import LoadedUseCase, load
from streams.offline.backtest import backtest, compared
from streams.recordings import recording_of
from tests.support.commands import Command

pytestmark = pytest.mark.slow

PHISHING = str(Path(__file__).parents[3] / "usecases" / "phishing.py")


@pytest.fixture(scope="module")
def phishing() -> LoadedUseCase:
    """The small use case that comes along."""
    return load(PHISHING)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


@pytest.fixture(scope="module")
def rows(phishing: LoadedUseCase) -> list[tuple[str, dict[str, Any]]]:
    """Its records as JSON has them."""
    assert phishing.use_case.recorded is not None
    return [(kind, _plain(dict(fields))) for kind, fields in phishing.use_case.recorded()]


def test_the_sums_are_those_of_every_single_example(phishing: LoadedUseCase) -> None:
    """Accuracy and cost, counted one by one from the published examples, over all partitions."""
    assert phishing.use_case.recorded is not None
    for partitions in (1, 4):
        examples: list[dict[str, Any]] = []
        run(
            phishing.use_case,
            phishing.use_case.recorded(),
            partitions=partitions,
            definition="x",
            outputs=lambda out, rows=examples: (  # type: ignore[misc]
                rows.append(json.loads(out.value)) if out.kind == "examples" else None
            ),
        )
        result = backtest(phishing, phishing.use_case.recorded(), partitions)
        served = result.scores["served"]
        assert result.scored == len(examples) == 1250
        assert served.metric == sum(e["prediction"] == e["label"] for e in examples) / 1250
        assert served.kpi == pytest.approx(sum(e["kpi"] for e in examples) / 1250)
        assert served.kpi_sum == pytest.approx(served.kpi * 1250)
        baseline = sum(e["baseline"] == e["label"] for e in examples) / 1250
        assert result.scores["baseline"].metric == baseline


def test_the_champion_is_what_river_itself_measures(phishing: LoadedUseCase) -> None:
    """The same records, delays and model through River's own progressive validation."""
    assert phishing.use_case.recorded is not None
    asked: dict[str, datetime] = {}
    labels: dict[str, tuple[datetime, bool]] = {}
    signs: dict[str, dict[str, Any]] = {}
    for kind, fields in phishing.use_case.recorded():
        if kind == "event":
            asked[fields["event_id"]] = fields["event_time"]
            signs[fields["event_id"]] = {n: fields[n] for n in phishing.use_case.features}
        else:
            labels[fields["event_id"]] = (fields["outcome_time"], fields["phishing"])
    data = [({**x, "_id": event_id}, labels[event_id][1]) for event_id, x in signs.items()]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))
    metric = metrics.Accuracy()
    questions = stream.simulate_qa(
        data,
        moment=lambda x: asked[x["_id"]],
        delay=lambda x, y: labels[x["_id"]][0] - asked[x["_id"]],
    )
    answers: dict[int, Any] = {}
    for number, x, y, *_ in questions:
        if y is None:
            answers[number] = model.predict_one({n: x[n] for n in x if n != "_id"})
        else:
            if answers[number] is not None:
                metric.update(y, answers[number])
            model.learn_one({n: x[n] for n in x if n != "_id"}, y)
    ours = backtest(phishing, phishing.use_case.recorded(), 1).scores["logistic"].metric
    assert ours == metric.get()


def test_a_backtest_for_people_and_for_programs_say_the_same(riverrun: Command) -> None:
    """Two numbers of partitions; the table has what the JSON has."""
    completed = riverrun("backtest", PHISHING, "--partitions", "1,4", "--json")
    assert completed.code == 0
    assert [r["partitions"] for r in completed.json["runs"]] == [1, 4]
    shown = riverrun("backtest", PHISHING, "--partitions", "1,4").out
    for result in completed.json["runs"]:
        assert result["scored"] == result["events"] == 1250
        assert result["kpi_unit"] == "EUR"
        assert set(result["scores"]) == {"served", "logistic", "adaptive_tree", "baseline"}
        assert result["records_per_s"] > 0
        for score in result["scores"].values():
            assert f"{score['metric']:.5g}" in shown
            assert f"{score['kpi']:.5g}" in shown
    assert "logistic (champion)" in shown


@pytest.mark.parametrize("learning", [None, "partition"])
def test_shared_models_are_compared_with_those_of_each_partition_by_itself(
    riverrun: Command, tmp_path: Path, learning: str | None
) -> None:
    """Of a use case on several partitions that says nothing, and of one that shares no models."""
    declared = "" if learning is None else f', learning="{learning}"'
    text = Path(PHISHING).read_text().replace("partitions=1,", f"partitions=4{declared},")
    file = tmp_path / "phishing.py"
    file.write_text(text)
    result = riverrun("backtest", str(file), "--limit", "800", "--json")
    assert result.code == 0, result.err
    runs = [(r["partitions"], r["shared"]) for r in result.json["runs"]]
    assert runs == [(4, learning is None), (1, False), (4, learning is not None)]
    shown = riverrun("backtest", str(file), "--limit", "800").out
    lines = [line for line in shown.splitlines() if "models learn" not in line and "from " in line]
    learnt = [line.split("from ")[1].split("  ")[0].strip() for line in lines[-3:]]
    assert learnt == ["everything", "all partitions", "their own partition"]
    assert shown.count("4 partitions:") == 1


def _source(rows: list[tuple[str, dict[str, Any]]], folder: Path, shape: str) -> list[str]:
    """The same records as files of one shape; the arguments that name them."""
    events = [fields for kind, fields in rows if kind == "event"]
    outcomes = {fields["event_id"]: fields for kind, fields in rows if kind == "outcome"}

    def lines(name: str, records: list[dict[str, Any]]) -> str:
        path = folder / name
        path.write_text("".join(json.dumps(fields) + "\n" for fields in records))
        return str(path)

    def table(name: str, records: list[dict[str, Any]]) -> str:
        path = folder / name
        path.write_text(
            "\n".join([",".join(records[0]), *(",".join(map(str, f.values())) for f in records)])
        )
        return str(path)

    known = sorted(outcomes.values(), key=lambda f: (f["outcome_time"], f["event_id"]))
    if shape == "one file":
        return ["--source", lines("all.jsonl", [fields for _, fields in rows])]
    if shape == "one file, marked":
        marked = [{"kind": kind, **fields} for kind, fields in rows]
        return ["--source", lines("all.jsonl", marked)]
    if shape == "one file, outcomes last":
        return ["--source", lines("all.jsonl", [*events, *known])]
    if shape == "one row for both":
        both = [{**fields, **outcomes[fields["event_id"]]} for fields in events]
        return ["--source", table("all.csv", both)]
    if shape == "two files":
        return ["--source", lines("e.jsonl", events), "--outcomes", lines("o.jsonl", known)]
    return ["--source", table("e.csv", events), "--outcomes", table("o.csv", known)]


SHAPES = [
    "one file",
    "one file, marked",
    "one file, outcomes last",
    "one row for both",
    "two files",
    "two tables",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_source_gives_the_floats_of_the_own_recording(
    riverrun: Command, phishing: LoadedUseCase, rows: list[tuple[str, dict[str, Any]]], shape: str
) -> None:
    """However the records are kept, they are taken in the order of their times."""
    result = riverrun("backtest", PHISHING, *_source(rows, riverrun.folder, shape), "--json")
    assert result.code == 0, result.err
    assert phishing.use_case.recorded is not None
    own = backtest(phishing, phishing.use_case.recorded(), 1).as_json()
    assert result.json["runs"][0]["scores"] == own["scores"]


def test_examples_are_written_as_the_stream_would_publish_them(
    riverrun: Command, tmp_path: Path
) -> None:
    """One JSON object a line with features, label and what was said; for one number of partitions,
    since it is one file.
    """
    file = tmp_path / "examples.jsonl"
    assert riverrun("backtest", PHISHING, "--limit", "400", "--examples", str(file)).code == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows
    assert {"event_id", "features", "label", "prediction"} <= rows[0].keys()
    asked = riverrun("backtest", PHISHING, "--partitions", "1,4", "--examples", str(file))
    assert asked.code == 2


def test_a_limit_reads_so_many_records(riverrun: Command) -> None:
    """Of the recording, whatever they are."""
    (result,) = riverrun("backtest", PHISHING, "--limit", "300", "--json").json["runs"]
    assert result["events"] + result["outcomes"] == 300
    assert result["waiting"] == result["events"] - result["outcomes"]


def test_what_is_refused_is_told(riverrun: Command, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """How many, why, and where."""
    path = riverrun.folder / "broken.jsonl"
    broken = [
        {**f, "https": "yes"} if "https" in f and n % 2 else f for n, (_, f) in enumerate(rows[:50])
    ]
    path.write_text("".join(json.dumps(fields) + "\n" for fields in broken))
    result = riverrun("backtest", PHISHING, "--source", str(path), "--json")
    read = result.json["recording"]
    assert read["refused"] == sum(f.get("https") == "yes" for f in broken)
    assert read["faults"][0]["column"] == "https"
    assert "not a PageOpened" in riverrun("backtest", PHISHING, "--source", str(path)).err


# The gate.


def _older(riverrun: Command, old: str, new: str) -> str:
    path = riverrun.folder / "other.py"
    text = Path(PHISHING).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def test_the_gate_opens_for_the_same_definition(riverrun: Command) -> None:
    """No change is no loss, with no margin either."""
    result = riverrun(
        "backtest", PHISHING, "--limit", "700", "--against", PHISHING, "--margin", "0", "--json"
    )
    assert result.code == 0
    assert result.json["against"]["passed"]
    assert [f["worse"] for f in result.json["against"]["figures"]] == [0, 0, 0]


def test_the_gate_shuts_on_a_worse_definition_and_opens_on_a_better(riverrun: Command) -> None:
    """Metric and KPI; exit code 1, and the reason on standard error."""
    worse = _older(riverrun, "optim.SGD(0.005)", "optim.SGD(0.00001)")
    result = riverrun("backtest", worse, "--limit", "700", "--against", PHISHING)
    assert result.code == 1
    assert "worse accuracy" in result.out
    assert "worse KPI, EUR an event" in result.out
    assert "worse by more than 1.00%" in result.err
    assert riverrun("backtest", PHISHING, "--limit", "700", "--against", worse).code == 0


def test_the_margin_is_what_is_still_accepted(riverrun: Command) -> None:
    """A loss within it passes, one beyond does not."""
    worse = _older(riverrun, "optim.SGD(0.005)", "optim.SGD(0.00001)")
    report = riverrun("backtest", worse, "--limit", "700", "--against", PHISHING, "--json")
    loss = max(figure["worse"] for figure in report.json["against"]["figures"])
    for margin, code in ((loss * 1.001, 0), (loss * 0.999, 1)):
        arguments = ("--limit", "700", "--against", PHISHING, "--margin", str(margin))
        assert riverrun("backtest", worse, *arguments).code == code


def test_both_are_measured_by_the_new_ones_kpi(riverrun: Command) -> None:
    """A definition cannot pass by changing what it is judged by."""
    cheaper = _older(riverrun, "return 80.0", "return 8.0")
    result = riverrun("backtest", cheaper, "--limit", "700", "--against", PHISHING, "--json")
    kpi = next(f for f in result.json["against"]["figures"] if "KPI" in f["what"])
    assert kpi["old"] == kpi["new"]
    assert result.code == 0


def test_refusing_what_is_hard_is_no_gain(phishing: LoadedUseCase, riverrun: Command) -> None:
    """A definition that answers fewer events is worse, however good the rest is."""
    path = _older(riverrun, "    https: float = Field(ge=0,", "    https: float = Field(ge=1,")
    result = riverrun("backtest", path, "--limit", "700", "--against", PHISHING, "--json")
    scored = next(f for f in result.json["against"]["figures"] if f["what"] == "scored")
    assert scored["new"] < scored["old"]
    assert not scored["passed"]
    assert result.code == 1


def test_a_figure_that_vanished_is_worse(phishing: LoadedUseCase) -> None:
    """Nothing scored is no reason to pass."""
    assert phishing.use_case.recorded is not None
    old = backtest(phishing, phishing.use_case.recorded(), 1)
    new = backtest(phishing, [], 1)
    assert [verdict.passed for verdict in compared(new, old, 0.5)] == [False, False, False]


WRONG = [
    (["--partitions", "0"], 2, "numbers from 1"),
    (["--partitions", "many"], 2, "numbers from 1"),
    (["--outcomes", "x.csv"], 5, "without --source"),
    (["--source", "nothing.csv"], 5, "There is no file"),
    (["--against", "nothing.py"], 5, "There is no file"),
]


@pytest.mark.parametrize(("arguments", "code", "reason"), WRONG)
def test_wrong_usage_is_told_in_words(
    riverrun: Command, arguments: list[str], code: int, reason: str
) -> None:
    """Exit code 2 for an option, 5 for a file."""
    result = riverrun("backtest", PHISHING, *arguments)
    assert result.code == code
    assert reason in result.err


def test_another_kind_of_question_is_not_compared(riverrun: Command) -> None:
    """A number against a yes or no."""
    riverrun("new", "mine")
    result = riverrun("backtest", PHISHING, "--against", "mine")
    assert result.code == 5
    assert "two definitions of one question" in result.err


def test_a_use_case_without_a_recording_asks_for_a_source(phishing: LoadedUseCase) -> None:
    """The remedy is in the message."""
    from dataclasses import replace

    from schemas.errors import ConfigError

    with pytest.raises(ConfigError, match="--source"):
        recording_of(replace(phishing.use_case, recorded=None), [], [], lambda _: [])
