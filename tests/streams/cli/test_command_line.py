"""The command line as a whole: what each command owes to who types it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.reference import tree

SILENT = {"down", "worker", "monitor", "new", "check", "lint", "schema", "score"}
"""Commands that report nothing that a program would read, or are JSON anyhow."""


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    for word, command in group.commands.items():
        full = f"{name} {word}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


ALL = dict(commands(tree()))


@pytest.mark.parametrize("name", ALL)
def test_a_commands_help_has_an_example_of_it(name: str) -> None:
    """Its own words follow `riverrun` in its help."""
    help = " ".join((ALL[name].help or "").split())
    assert "Example" in help
    assert f"riverrun {name}" in help


@pytest.mark.parametrize("name", sorted(ALL.keys() - SILENT))
def test_what_reports_also_reports_as_json(name: str) -> None:
    """--json on everything that reports."""
    assert any("--json" in option.opts for option in ALL[name].params)
