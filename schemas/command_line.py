"""A `riverrun` command line as people copy it into a shell, whatever text its words hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from schemas.printable import printable


def command_line(*words: str, data: Sequence[str] = (), options: Sequence[str] = ()) -> str:
    """Return `riverrun` with these words, each one word of a shell.

    Where a word of `data` begins with a hyphen, the options come first and `--` before the data, so
    that it is not read as an option.

    >>> command_line("explain", "flight_eta", data=["a; rm -rf ~"], options=["--prefix", "a."])
    "riverrun explain flight_eta 'a; rm -rf ~' --prefix a."
    >>> command_line("explain", "flight_eta", data=["--help"], options=["--prefix", "a."])
    'riverrun explain flight_eta --prefix a. -- --help'
    """
    guarded = any(word.startswith("-") for word in data)
    rest = (*options, "--", *data) if guarded else (*data, *options)
    return " ".join(map(quoted, ("riverrun", *words, *rest)))


def quoted(word: str) -> str:
    """Return one word for a shell; control characters as escapes of `$'…'` (POSIX 2024, bash, zsh).

    >>> print(quoted("a b"), quoted("a\\nb"), quoted("\\x1b'"))
    'a b' $'a\\x0ab' $'\\x1b\\''
    """
    if printable(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(sign: str) -> str:
    if sign in "\\'":
        return f"\\{sign}"
    if printable(sign) == sign:
        return sign
    return "".join(f"\\x{byte:02x}" for byte in sign.encode("utf-8", "surrogatepass"))


__all__ = ["command_line", "quoted"]
