"""The commands on figures: tables, colours, completion, meaning."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from schemas.errors import ConfigError
from streams.cli.shared import text_tables
from streams.cli.shared.options import _completed
from streams.cli.shared.watch_option import again
from streams.config.use_case_loader import find
from streams.monitor.store.view_models import AlertRow
from tests.support.commands import Command

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
    Console(file=out, width=160, **console).print(text_tables.alerts([ALERT]))  # type: ignore[arg-type]
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
    assert _completed("flight_e") == ["flight_eta"]
    assert _completed("zzz") == []


def test_a_misspelt_use_case_or_command_is_answered_by_the_right_one(
    riverrun: Command,
) -> None:
    """Did you mean."""
    with pytest.raises(ConfigError, match="Did you mean 'flight_eta'"):
        find("flihgt_eta")
    result = riverrun("metrcis", "flight_eta")
    assert result.code == 2
    assert "metrics" in result.err


def test_a_wrong_grouping_or_time_is_refused_before_any_server_is_asked(
    riverrun: Command,
) -> None:
    """With what would be right."""
    assert riverrun("metrics", "flight_eta", "--by", "carrier").code == 2
    assert riverrun("metrics", "flight_eta", "--since", "yesterday").code == 5


def test_watching_looks_again_and_one_look_is_one() -> None:
    """Without --watch exactly one answer."""
    assert list(again(lambda: 3, watch=False)) == [3]
