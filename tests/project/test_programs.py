"""What a run says of tests that lack a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers.programs import CHROMIUM, path_of, summary


def reason(*names: str, package: str) -> str:
    """Why a test is skipped that asks for one of these programs."""
    with pytest.raises(pytest.skip.Exception) as skipped:
        path_of(*names, package=package)
    return f"Skipped: {skipped.value}"


def test_missing_programs_are_told_in_one_line_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However many tests lack them; whatever else is skipped has a line of its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    browser = reason(*CHROMIUM, package="chromium")
    reasons = [reason("promtool", package="prometheus"), browser, browser]
    assert summary(reasons) == [
        "3 tests skipped for want of a program: apt-get install chromium prometheus"
    ]
    assert summary([browser, "Skipped: not today"]) == [
        "Skipped: not today",
        "1 test skipped for want of a program: apt-get install chromium",
    ]
    assert summary([]) == []


def test_a_program_that_is_there_is_found_under_any_of_its_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first that is on the path."""
    program = tmp_path / "google-chrome"
    program.touch(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert path_of(*CHROMIUM, package="chromium") == str(program)
