"""The project folder (`RIVERRUN_HOME`): everything that riverrun keeps on this machine.

A folder that riverrun created is marked, so that a purge may remove all of it; of a folder that
existed before, a purge removes only the files that riverrun wrote.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from schemas.errors import ConfigError

MARKER = ".riverrun-home"
EMBEDDED_USER = "riverrun"
"""The user of the embedded Kafka."""


def make_home(home: Path) -> Path:
    """Make the folder, readable by its owner alone, unless it is there; return it.

    Raises `ConfigError` if it cannot be made.
    """
    try:
        if home.is_dir() and any(home.iterdir()):
            return home
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        marker = "Data of riverrun. Removed by: riverrun down --purge\n"
        (home / MARKER).write_text(marker, "utf-8")
        (home / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise ConfigError(
            f"RIVERRUN_HOME, {home}, cannot be made: {error.strerror}.",
            hint="Name a folder that you may write to.",
        ) from error
    return home


def remove_home(home: Path, ours: Iterable[str]) -> None:
    """Remove the folder if riverrun made it, else only what matches the patterns `ours`."""
    if (home / MARKER).exists():
        shutil.rmtree(home)
        return
    for entry in [entry for pattern in ours for entry in home.glob(pattern)]:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def secret_of(file: Path) -> str:
    """Return the secret in a file of the folder, created once.

    Raise `ConfigError` if others can read it.
    """
    make_home(file.parent)
    if not file.exists():
        _write_new(file)
    if file.stat().st_mode & 0o077:
        raise ConfigError(f"{file} can be read by others.", hint=f"chmod 600 {file}")
    return file.read_text("utf-8").strip()


def write_secret(file: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def _write_new(file: Path) -> None:
    """Write a random secret; of several processes that do so at once, the first one's stays."""
    own = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(32) + "\n")
    try:
        file.hardlink_to(own)
    except FileExistsError:
        pass
    finally:
        own.unlink()
