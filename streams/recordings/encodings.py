"""Bytes as lines of text: the encoding is detected, and a byte that is not of it costs one line.

A byte order mark decides, then whether all is UTF-8. A file that is UTF-8 but for a few lines is
UTF-8, and those lines are refused; one whose bytes beyond ASCII are never UTF-8 is taken for
Windows-1252 (of which Latin-1's printable characters are a part), and that is told.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TextIO

from schemas.errors import ConfigError
from streams.recordings.files import StoredFile, reading

CHUNK = 1 << 20
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with BOM"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
CONTROLS_MAX = 0.05
"""Share of control characters up to which it is text: those of bytes at random are a tenth."""
UNREADABLE = "\udcff"
"""What stands in the text for bytes that are not of the encoding: no text has it otherwise."""

codecs.register_error("riverrun.unreadable", lambda error: (UNREADABLE, _end(error)))


def _end(error: UnicodeError) -> int:
    assert isinstance(error, UnicodeDecodeError)
    return error.end


def encoding_of(stored: StoredFile, name: str | None) -> tuple[str, str]:
    """Return the codec of a file, and its name for people; `name`: what an option says."""
    head = stored.head(4_096)
    marked = next(((codec, words) for mark, codec, words in MARKS if head.startswith(mark)), None)
    if name is not None:
        try:
            codec = codecs.lookup(name).name
        except LookupError:
            raise ConfigError(
                f"There is no encoding {name!r}.", hint="Say utf-8, latin-1, cp1252, utf-16 …"
            ) from None
        if codec == "utf-8" and head.startswith(codecs.BOM_UTF8):
            codec = "utf-8-sig"
        return codec, f"{name} (as specified)"
    if marked is not None:
        return marked
    for codec, words, zeros in (
        ("utf-16-le", "UTF-16", head[1::2]),
        ("utf-16-be", "UTF-16", head[::2]),
    ):
        if len(zeros) > 8 and zeros.count(0) > 0.6 * len(zeros):
            return codec, words
    if not _has_other_bytes(stored):
        return "utf-8", "UTF-8"
    right, wrong = _lines_beyond_ascii(stored)
    if right >= wrong:
        return "utf-8", "UTF-8"
    return "cp1252", "Windows-1252 (guessed, it is not UTF-8: say --encoding if it is another)"


def _has_other_bytes(stored: StoredFile) -> bool:
    """Return True if anything in it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with stored.open() as file:
        try:
            while chunk := reading(stored.name, lambda: file.read(CHUNK)):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return True
        except ConfigError:
            return False  # damaged: the reader tells where
    return False


def _lines_beyond_ascii(stored: StoredFile) -> tuple[int, int]:
    """Return how many of the lines that are not ASCII are UTF-8, and how many are not."""
    right = wrong = 0
    with contextlib.suppress(ConfigError), stored.open() as file:
        while line := reading(stored.name, file.readline):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                right += 1
            except UnicodeDecodeError:
                wrong += 1
    return right, wrong


@contextmanager
def text_of(stored: StoredFile, codec: str) -> Iterator[TextIO]:
    """Open the text, with its own line ends."""
    with stored.open() as file:
        yield _text(file, codec)


def _text(file: IO[bytes], codec: str) -> TextIO:
    return io.TextIOWrapper(file, codec, errors="riverrun.unreadable", newline="")


def is_binary(text: str) -> bool:
    r"""Return whether what was decoded was no text.

    >>> is_binary("a,b"), is_binary("\x7fELF\x02\x01\x00\x00")
    (False, True)
    """
    return len(CONTROL.findall(text)) > CONTROLS_MAX * len(text)


def is_readable(text: str) -> bool:
    """Return False if a byte of it was not of the encoding."""
    return text.isascii() or UNREADABLE not in text
