"""Equality of two pickles that share their texts in another way: do they give the same objects?

A pickle says at each text whether it came before. That depends on which objects were the same one
when it was written: a model that was restored from a snapshot has names of features of its own
beside those that come with each record, so its pickle has some of them twice. All else is the same
to the byte. Nothing is loaded here, so nothing that a pickle names is called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

_LENGTHS = {ord(op.code): 0 if op.arg is None else op.arg.n for op in pickletools.opcodes}
"""Of each opcode: the bytes of its argument, or how they are found (pickletools)."""
_PREFIXES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_CODES = {op.name: ord(op.code) for op in pickletools.opcodes}
_TEXTS = frozenset(_CODES[n] for n in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"))
_GETS = frozenset(_CODES[n] for n in ("BINGET", "LONG_BINGET"))
_MEMOIZE, _FRAME = _CODES["MEMOIZE"], _CODES["FRAME"]
_ENDLESS = pickletools.UP_TO_NEWLINE
_DONE = object()


def equal_but_for_sharing(one: bytes, other: bytes) -> bool:
    """Return whether both pickles, of protocol 4 or later, give the same objects; False also where
    one is no such pickle.

    >>> import pickle
    >>> a, b = "".join(("na", "me")), "".join(("na", "me"))
    >>> equal_but_for_sharing(pickle.dumps([a, a]), pickle.dumps([a, b]))
    True
    >>> equal_but_for_sharing(pickle.dumps([a, a]), pickle.dumps([a, "other"]))
    False
    """
    try:
        pairs = zip_longest(_tokens(one), _tokens(other), fillvalue=_DONE)
        return all(left == right for left, right in pairs)
    except (IndexError, KeyError):
        return False


def _tokens(data: bytes) -> Iterator[Any]:
    """Yield the program without its texts' sharing: each text in full wherever it is used, objects
    that are no texts by their numbers, and all between as it is.
    """
    memo: list[Any] = []
    at, begin, end, objects, run = 0, 0, len(data), 0, b""
    while at < end:
        code, start = data[at], at + 1
        size = _LENGTHS[code]
        if size < 0:
            if size == _ENDLESS:
                raise KeyError(code)  # of an older protocol
            width = _PREFIXES[size]
            size = width + int.from_bytes(data[start : start + width], "little")
        if code == _MEMOIZE:
            memo.append(objects)
            objects += 1
        elif code in _TEXTS:
            yield run + data[begin:at]
            yield (text := data[start + _PREFIXES[_LENGTHS[code]] : start + size])
            run, begin = b"", start + size
            if data[begin] == _MEMOIZE:
                memo.append(text)
                begin += 1
            at = begin
            continue
        elif code in _GETS:
            yield run + data[begin:at]
            yield memo[int.from_bytes(data[start : start + size], "little")]
            run, begin = b"", start + size
        elif code == _FRAME:  # where it ends is a matter of bytes
            run, begin = run + data[begin:at], start + size
        at = start + size
    yield run + data[begin:end]
