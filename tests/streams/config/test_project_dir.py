"""The project folder, and the lock of what is fetched into the machine's cache."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from streams.config.project_dir import MARKER, make_home, remove_home
from streams.embedded import jar_lock


def test_a_folder_that_was_there_before_keeps_what_is_not_ours(tmp_path: Path) -> None:
    """Purging a folder with other files removes the servers' data alone."""
    (tmp_path / "mine.txt").write_text("mine")
    (make_home(tmp_path) / "redis").mkdir()
    remove_home(tmp_path, ["redis"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]
    ours = make_home(tmp_path / "new")
    assert (ours / MARKER).exists()
    remove_home(ours, [])
    assert not ours.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file is in its way."""
    (tmp_path / "notes").write_text("of mine")
    with pytest.raises(
        ConfigError, match=r"RIVERRUN_HOME, .*notes/home, cannot be made: Not a dir"
    ):
        make_home(tmp_path / "notes" / "home")


def test_the_lock_file_is_what_its_command_writes() -> None:
    """Every entry is complete, the file is in the command's form, and Kafka is the one we say."""
    entries = jar_lock.locked_jars()
    text = Path(jar_lock.__file__).with_name(jar_lock.LOCK_FILE).read_text("utf-8")
    assert text == jar_lock.render(entries)
    assert tomllib.loads(text)["kafka"] == jar_lock.KAFKA_VERSION
    assert {str(entry) for entry in entries} >= set(jar_lock.ROOTS)
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in entries)
