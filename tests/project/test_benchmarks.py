"""The options that the benchmark beside other systems turns on, and what its check lets pass."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.side_by_side import results
from benchmarks.side_by_side.systems import PRICED, RIVERRUN, RIVERRUN_SYSTEMS, Where

FLIGHTS = Path(__file__).parents[2] / "benchmarks" / "riverrun_flights.py"
SETTINGS = ("interval", "contributions", "drift_features", "segments", "breaker")


def settings_of(system, tmp_path, monkeypatch):
    """Return what the use case of a row declares, and how many models it has."""
    _, environment = system.command(Path("python"), Where("", "", "b1", tmp_path))
    monkeypatch.setenv("BENCH_WITH", environment["BENCH_WITH"])
    spec = importlib.util.spec_from_file_location("bench_flights", FLIGHTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case = module.RIVERRUN_FLIGHTS
    return tuple(getattr(case, name) for name in SETTINGS), len(case.models)


@pytest.mark.parametrize("feature", PRICED)
def test_a_feature_with_a_price_is_turned_on(feature, tmp_path, monkeypatch):
    """Each row that prices a feature declares another use case than `riverrun`'s own row."""
    own = settings_of(RIVERRUN_SYSTEMS[0], tmp_path, monkeypatch)
    assert settings_of(PRICED[feature], tmp_path, monkeypatch) != own


def test_an_unknown_feature_ends_a_run(tmp_path, monkeypatch):
    """A name that the benchmark's use case does not know is no silent row without it."""
    command = RIVERRUN_SYSTEMS[0].command

    def misnamed(python, where):
        argv, environment = command(python, where)
        return argv, {**environment, "BENCH_WITH": "explain"}

    with pytest.raises(SystemExit, match="explain"):
        settings_of(replace(RIVERRUN_SYSTEMS[0], command=misnamed), tmp_path, monkeypatch)


def test_the_check_fails_where_riverrun_itself_was_not_measured(tmp_path, capsys):
    """Without a run of riverrun no ratio can fall, and the check does not pass for that."""
    committed = tmp_path / "results.json"
    committed.write_text(json.dumps({"ratios": {"Bytewax": 0.6}}))
    failed = {"ratios": {}, "missing": {RIVERRUN: "one prediction differs"}}
    assert results.check(failed, committed) == 1
    assert "one prediction differs" in capsys.readouterr().out
    assert results.check({"ratios": {}, "missing": {"Bytewax": "no wheel"}}, committed) == 0
