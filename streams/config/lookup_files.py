"""The files that a use case's file reads while it is run: a price list, a table of holidays.

Predictions depend on what is in them, so their names and SHA-256 are part of the definition
(`streams.config.use_case_loader`). Files are noticed by Python's audit event "open", whichever
library opens them through Python. A file counts if the use case's own file, or a function that it
calls, opens it for reading; not if a module reads it while it is imported, and not Python files or
files of Python and its packages. A file that a compiled library opens past Python is not noticed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

CONTENT_BYTES = 400_000
"""Compressed, of all files together: more does not fit into one record of the definitions topic."""

_PYTHON = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".pth")
_OF_THE_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr")


@dataclass(frozen=True, slots=True)
class LookupFile:
    """A file that a definition depends on. `name`: as it was opened, if that was relative; else
    relative to the use case's folder or to the working directory, where it is below one of them.
    """

    name: str
    sha256: str
    path: Path

    @property
    def is_movable(self) -> bool:
        """Return whether a definition that runs in another folder still resolves the file by its
        name.
        """
        name = PurePosixPath(self.name)
        return not name.is_absolute() and ".." not in name.parts


class _Watch:
    """The names opened while one use case's file runs."""

    def __init__(self, use_case: Path) -> None:
        self.use_case = str(use_case)
        self.folder = use_case.parent
        self.cwd = Path.cwd()
        self.opened: dict[str, Path] = {}

    def note(self, path: Any, flags: Any) -> None:
        """Record one call of `open`, if it reads a file of the use case."""
        if isinstance(path, int) or not _reads(flags) or not self._is_its_own():
            return
        opened = Path(os.fsdecode(path))
        absolute = Path(os.path.normpath(self.cwd / opened))
        if absolute.suffix in _PYTHON or self._is_installed(absolute) or not absolute.is_file():
            return
        self.opened[self._name(opened, absolute)] = absolute

    def _is_its_own(self) -> bool:
        # The module whose body is running: the use case's, or one that it is importing.
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_name != "<module>":
            frame = frame.f_back  # type: ignore[assignment]
        return frame is not None and frame.f_code.co_filename == self.use_case

    def _is_installed(self, path: Path) -> bool:
        roots = {sys.prefix, sys.base_prefix, *_OF_THE_SYSTEM}
        return any(
            path.is_relative_to(root) and not self.folder.is_relative_to(root) for root in roots
        )

    def _name(self, opened: Path, absolute: Path) -> str:
        if not opened.is_absolute():
            return Path(os.path.normpath(opened)).as_posix()
        for root in (self.folder, self.cwd):
            if absolute.is_relative_to(root):
                return absolute.relative_to(root).as_posix()
        return absolute.as_posix()


_watch: ContextVar[_Watch | None] = ContextVar("lookup_files", default=None)
_hooked = False


@contextmanager
def watching(use_case: Path) -> Iterator[_Watch]:
    """Note the files that this use case's file opens while the context lasts."""
    global _hooked  # an audit hook stays as long as the process: one is enough
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked = True
    watch = _Watch(use_case)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def files_of(watch: _Watch) -> tuple[LookupFile, ...]:
    """Return what was opened, with the SHA-256 of each content, by name."""
    return tuple(
        LookupFile(name, sha256_of(path), path)
        for name, path in sorted(watch.opened.items())
        if path.is_file()
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(files: tuple[LookupFile, ...]) -> dict[str, str]:
    """Return the packed contents by name, of those that fit into a record, the smallest first.

    A file that has changed since it was read, or is gone, is left out.
    """
    packed: dict[str, str] = {}
    left = CONTENT_BYTES
    movable = [file for file in files if file.is_movable and _may_fit(file.path)]
    for file in sorted(movable, key=lambda file: file.path.stat().st_size):
        content = file.path.read_bytes()
        data = zlib.compress(content)
        if len(data) <= left and hashlib.sha256(content).hexdigest() == file.sha256:
            left -= len(data)
            packed[file.name] = base64.b64encode(data).decode()
    return packed


def unpacked(content: str) -> bytes:
    """Return a content as it was before `contents` packed it."""
    return zlib.decompress(base64.b64decode(content))


def _may_fit(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= 50 * CONTENT_BYTES


def _reads(flags: Any) -> bool:
    return (
        isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY and not (flags & os.O_TRUNC)
    )


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event != "open":
        return
    watch = _watch.get()
    if watch is None:
        return
    _watch.set(None)  # whatever is opened while it is noted is riverrun's
    try:
        watch.note(args[0], args[2])
    finally:
        _watch.set(watch)
