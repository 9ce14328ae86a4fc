"""The commands on figures: tables, colours, completion, meaning."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from schemas.errors import Misdeclared
from streams.cli import app, tables
from streams.cli.options import _completed
from streams.cli.repeating import again
from streams.loading import find
from streams.monitor.figures import AlertRow

ALERT = AlertRow(
    "a#1",
    "lag",
    "input [0]",
    "open",
    "alarm",
    "12 records",
    "riverrun status x",
    "2024-05-01T00:00:00Z",
    None,
)


def shown(**console: object) -> str:
    """The table of one alert as a terminal gets it."""
    out = io.StringIO()
    Console(file=out, width=160, **console).print(tables.alerts([ALERT]))  # type: ignore[arg-type]
    return out.getvalue()


def test_a_terminal_gets_colours_and_no_color_forbids_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NO_COLOR is respected; what is in brackets is text and no markup."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = shown(force_terminal=True, color_system="standard")
    assert "\x1b[31m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(force_terminal=True)
    assert "\x1b[31m" not in plain
    assert "input [0]" in plain


def test_names_of_use_cases_are_completed() -> None:
    """Those that a bare name can mean."""
    assert _completed("fli") == ["flight_eta"]
    assert _completed("zzz") == []


def test_a_misspelt_use_case_or_command_is_answered_by_the_right_one() -> None:
    """Did you mean."""
    with pytest.raises(Misdeclared, match="Did you mean 'flight_eta'"):
        find("flihgt_eta")
    result = CliRunner().invoke(app, ["metrcis", "flight_eta"])
    assert result.exit_code == 2
    assert "metrics" in result.output


def test_a_wrong_grouping_or_time_is_refused_before_any_server_is_asked() -> None:
    """With what would be right."""
    result = CliRunner().invoke(app, ["metrics", "flight_eta", "--by", "carrier"])
    assert result.exit_code == 2
    result = CliRunner().invoke(app, ["metrics", "flight_eta", "--since", "yesterday"])
    assert isinstance(result.exception, Misdeclared)


def test_watching_looks_again_and_one_look_is_one() -> None:
    """Without --watch exactly one answer."""
    assert list(again(lambda: 3, watch=False)) == [3]
