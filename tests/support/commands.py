"""The command line as a person uses it: in this process, or in one of its own."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.cli import main
from streams.telemetry.log_format import CLIENT


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it said where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON; fails if anything else is there."""
        return orjson.loads(self.out)


class Command:
    """`riverrun` in this process, in a folder of its own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: str) -> Said:
        """Run it and wait."""
        self._monkeypatch.setattr(sys, "argv", ["riverrun", *arguments])
        self._capsys.readouterr()
        code: Any = 0
        recursion, client = sys.getrecursionlimit(), logging.getLogger(CLIENT)
        level, collector = client.level, gc.get_threshold()
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:  # a process of its own would have ended with these
            sys.setrecursionlimit(recursion)
            gc.set_threshold(*collector)
            gc.unfreeze()
            client.setLevel(level)
        out, err = self._capsys.readouterr()
        return Said(code, out, err)


def apart(folder: Path, *arguments: str) -> Said:
    """`riverrun` in a process of its own, as the project itself starts it."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "streams.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
