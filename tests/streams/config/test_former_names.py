"""What a file that was written for other names is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.config.former_names import FORMER_FIELDS
from streams.config.use_case_loader import load


def hint_for(tmp_path: Path, source: str) -> tuple[str | None, int | None]:
    """Return the hint and the line of the error that loading this source ends with."""
    file = tmp_path / "parcels.py"
    file.write_text(source)
    with pytest.raises(ConfigError) as caught:
        load(str(file))
    return caught.value.hint, caught.value.line


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("from models.durations import hours", "hours"),
        ("from models.usecase import Kpi, UseCase  # both", "Kpi, UseCase"),
        ("from schemas.inputs import (Event, Outcome)", "Event, Outcome"),
        ("from models.spec.use_case import Shelf, Kpi", "Kpi"),
        ("import streams.somewhere", "Event, Outcome, UseCase"),
    ],
)
def test_an_internal_import_is_answered_with_the_public_one(
    tmp_path: Path, line: str, names: str
) -> None:
    """An import of an internal name that is not there is told which line to write instead."""
    hint, number = hint_for(tmp_path, f"import math\n\n{line}\n")
    assert hint == f"Use cases import from riverrun alone: `from riverrun import {names}`."
    assert number == 3


@pytest.mark.parametrize("field", [*FORMER_FIELDS, "horizn", "zzz"])
def test_a_field_that_is_not_there_is_answered_with_the_one_meant(
    tmp_path: Path, field: str
) -> None:
    """A former or misspelt field is told what it is called; another where all of them are."""
    hint, _ = hint_for(tmp_path, f"from riverrun import UseCase\n\nUseCase({field}=1)\n")
    assert hint is not None
    near = {**FORMER_FIELDS, "horizn": "horizon"}.get(field)
    assert hint.startswith(f"Write {near!r}." if near else "Every field")
    assert hint.endswith("docs/reference/USECASE.md.")


def test_other_mistakes_are_the_authors_own(tmp_path: Path) -> None:
    """A library of the author's that is missing, or any other error, names its line only."""
    for source in ("import not_installed_here\n", "1 / 0\n", "max(key=1)\n"):
        assert hint_for(tmp_path, source) == ("Fix the line that is named.", 1)


def test_every_former_name_leads_to_a_field() -> None:
    """The table never sends an author to a field that is not there."""
    now = {each.name for each in fields(UseCase)}
    assert set(FORMER_FIELDS.values()) <= now
    assert not now & set(FORMER_FIELDS)
