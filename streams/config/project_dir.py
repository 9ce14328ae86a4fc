"""The project folder (`RIVERRUN_HOME`): everything that riverrun keeps on this machine.

A folder that riverrun made is marked, so that a purge may remove all of it; of a folder that was
there before, only what riverrun is known to have put into it is ever removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

MARKER = ".riverrun-home"


def make_home(home: Path) -> Path:
    """Make the folder, readable by its owner alone, unless it is there; return it."""
    if home.is_dir() and any(home.iterdir()):
        return home
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    (home / MARKER).write_text("Data of riverrun. Removed by: riverrun down --purge\n", "utf-8")
    (home / ".gitignore").write_text("*\n", "utf-8")
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


def write_new_key(file: Path) -> None:
    """Write a random key; of several processes that do so at once, the first one's stays."""
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
