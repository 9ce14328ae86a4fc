"""`.env` and `riverrun.toml`: read whole or refused, so that no setting in them is lost."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path

from dotenv.parser import parse_stream

from schemas.errors import ConfigError

DOTENV, TOML = ".env", "riverrun.toml"
LIKE = 0.85
"""How alike a variable's name and a setting's are that are taken for the same (difflib's ratio)."""


def check_files(known: Collection[str]) -> list[str]:
    """Return the names that `.env` sets; raise `ConfigError` for a file that cannot be read, and
    for a name in `riverrun.toml` that is not one of `known` (lower case).
    """
    for name in _names_in_toml():
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{TOML} sets {name!r}, which is no setting.{meant}",
                hint="docs/reference/SETTINGS.md has all of them.",
            )
    return _names_in_dotenv()


def refuse_misspelt_names(names: Iterable[str], known: Collection[str]) -> None:
    """Raise `ConfigError` for a variable of riverrun's own that is nearly a setting."""
    for name in names:
        lower = name.lower()
        if not lower.startswith("riverrun_") or lower in known:
            continue
        if near := difflib.get_close_matches(lower, known, n=1, cutoff=LIKE):
            raise ConfigError(
                f"{name} is set, but riverrun has no such setting.",
                hint=f"Did you mean {near[0].upper()}?",
            )


def _names_in_toml() -> list[str]:
    if not Path(TOML).is_file():
        return []
    try:
        return list(tomllib.loads(Path(TOML).read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{TOML} cannot be read: {error}.",
            hint='Write `name = "value"` lines, in UTF-8 without a byte order mark.',
        ) from None


def _names_in_dotenv() -> list[str]:
    if not Path(DOTENV).is_file():
        return []
    try:
        with Path(DOTENV).open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{DOTENV} cannot be read: {error}.", hint="Save it in UTF-8.") from None
    if wrong := next((each for each in bindings if each.error), None):
        text = wrong.original.string
        line = wrong.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        raise ConfigError(f"{DOTENV}, line {line} cannot be read.", hint="Write NAME=value.")
    return [each.key for each in bindings if each.key]
