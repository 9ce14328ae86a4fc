"""Where recordings are: files, folders, patterns, archives; opened as plain bytes.

What a file is, its first bytes say, whatever its name. Left alone in folders and archives, and
told, is what is no recording; hidden files and `__MACOSX` are not even looked at.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from schemas.errors import ConfigError
from streams.recordings.arrow_columns import arrow

Opener = Callable[[ExitStack], IO[bytes]]
"""Opens a file, and leaves to the stack what is to be closed."""
Result = TypeVar("Result")

LOOKED_LIKE_FILES = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".gz",
    ".zst", ".zip", ".bz2", ".xz",
)  # fmt: skip
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "HDF5",
    b"\x04\x22\x4d\x18": "an lz4 archive",
    b"\xff\x06\x00\x00sNaPpY": "a snappy archive",
    b"\x7fELF": "a program",
    b"<?xml": "XML",
    b"<!DOCTYPE": "HTML",
    b"<!doctype": "HTML",
    b"<html": "HTML",
}
DEPTH_MAX = 3
"""Archives within archives."""


class NotARecording(ConfigError):
    """A file that holds something else: among others it is left alone, and told."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as its content is: `open` gives its bytes, unpacked, from the beginning."""

    name: str
    opener: Opener
    packing: tuple[str, ...] = ()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the bytes, from the beginning."""
        with ExitStack() as stack:
            yield self.opener(stack)

    def head(self, size: int = 65_536) -> bytes:
        """Return the first bytes."""
        with self.open() as file:
            return reading(self.name, lambda: file.read(size))


def reading(name: str, action: Callable[[], Result]) -> Result:
    """Return the result of `action`; raise `ConfigError` if a packed file is damaged."""
    try:
        return action()
    except (
        EOFError,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        OSError,
    ) as error:
        raise ConfigError(
            f"{name} cannot be unpacked: {error or type(error).__name__}.",
            hint="It is damaged or was not copied whole; get it again.",
        ) from None


def is_stored(source: str) -> bool:
    """Return True for a file, folder or pattern, False for a topic; raise for a missing file.

    >>> is_stored("departures")
    False
    """
    if Path(source).exists() or (_matching(source)):
        return True
    if "/" in source or glob.has_magic(source) or source.lower().endswith(LOOKED_LIKE_FILES):
        raise ConfigError(f"There is no file {source}.", hint="A name without a suffix is a topic.")
    return False


def stored_in(source: str, left_alone: Callable[[str], None]) -> list[StoredFile]:
    """Return all files that a path, folder or pattern names, by name, unpacked.

    `left_alone` is called with the reason for each among others that is of another kind.
    """
    paths = [Path(source)] if Path(source).exists() else _matching(source)
    files: list[StoredFile] = []
    for path in paths:
        _check_stays(path)
        members = sorted(_below(path), key=_natural) if path.is_dir() else [path]
        for member in members:
            try:
                files += _unpacked(StoredFile(str(member), _opening(member)), 0, left_alone)
            except NotARecording as error:
                if not path.is_dir():
                    raise
                left_alone(error.reason)
    if not files:
        raise ConfigError(f"{source} holds no files.", hint="Name a file or a folder of them.")
    return files


def _check_stays(path: Path) -> None:
    """Raise `ConfigError` for what can be read only once: a recording is read more often."""
    if not path.is_dir() and not path.is_file():
        raise ConfigError(
            f"{path} is a pipe or a device, and a recording is read more than once.",
            hint="Write it to a file, and name that.",
        )


def _matching(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        return []
    paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 - a pattern may be absolute
    return sorted(map(Path, paths), key=_natural)


def _opening(path: Path) -> Opener:
    return lambda stack: stack.enter_context(path.open("rb"))


def _natural(path: Path) -> list[Any]:
    """Return a key that sorts by number where names have numbers: part-2 before part-10."""
    return [(0, int(t), "") if t.isdigit() else (1, 0, t) for t in re.split(r"(\d+)", str(path))]


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).parts
        if path.is_file() and not _is_hidden(inner):
            yield path


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith((".", "__MACOSX")) or part == "_SUCCESS" for part in parts)


def _unpacked(
    stored: StoredFile, depth: int, left_alone: Callable[[str], None]
) -> Iterator[StoredFile]:
    """Yield the file itself, what it is packed around, or the members of the archive."""
    head = stored.head(512)
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        yield from _members(stored, depth, left_alone)
        return
    packing = next((name for magic, name in PACKED.items() if head.startswith(magic)), None)
    if packing is not None and depth < DEPTH_MAX:
        inner = StoredFile(stored.name, _unpacking(stored, packing), (*stored.packing, packing))
        yield from _unpacked(inner, depth + 1, left_alone)
        return
    if head[257:262] == b"ustar":
        raise NotARecording(
            f"{stored.name} is a tar archive.", hint="Unpack it, and name the folder."
        )
    for magic, format in OTHERS.items():
        if head.startswith(magic):
            raise NotARecording(
                f"{stored.name} is {format}.",
                hint="Save it as CSV, JSON lines, Parquet or Arrow.",
            )
    yield stored


def _unpacking(stored: StoredFile, packing: str) -> Opener:
    opened: dict[str, Callable[[IO[bytes]], Any]] = {
        "gzip": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
        "bzip2": bz2.BZ2File,
        "xz": lzma.LZMAFile,
        "zstd": lambda file: arrow(stored.name).CompressedInputStream(file, "zstd"),
    }
    return lambda stack: stack.enter_context(opened[packing](stored.opener(stack)))


def _members(
    stored: StoredFile, depth: int, left_alone: Callable[[str], None]
) -> Iterator[StoredFile]:
    with stored.open() as file:
        with reading(stored.name, lambda: zipfile.ZipFile(file)) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
        names = [info.filename for info in members]
        if any(info.flag_bits & 0x1 for info in members):
            raise ConfigError(f"{stored.name} is encrypted.", hint="Unpack it first.")
    if "[Content_Types].xml" in names:
        raise NotARecording(
            f"{stored.name} is an Excel workbook or another Office file.", hint="Save it as CSV."
        )
    names = [name for name in names if not _is_hidden(name.split("/"))]
    if not names or depth >= DEPTH_MAX:
        raise ConfigError(f"{stored.name} holds no files.", hint="Pack some, or unpack it.")
    for name in sorted(names, key=lambda name: _natural(Path(name))):
        inner = StoredFile(f"{stored.name}/{name}", _member(stored, name), (*stored.packing, "zip"))
        try:
            yield from _unpacked(inner, depth + 1, left_alone)
        except NotARecording as error:
            left_alone(error.reason)


def _member(stored: StoredFile, name: str) -> Opener:
    def opener(stack: ExitStack) -> IO[bytes]:
        archive = stack.enter_context(zipfile.ZipFile(stored.opener(stack)))
        return stack.enter_context(archive.open(name))

    return opener
