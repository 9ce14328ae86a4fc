"""What can go wrong, as one tree.

    RiverrunError
    ├── Rejected         this record cannot be used; nothing has changed; park it and go on
    │   ├── Malformed    bytes, schema or key
    │   ├── Late         behind the watermark, the horizon or the memory
    │   ├── Ahead        its time is far ahead of every other record's
    │   ├── Unmatched    an outcome whose event never came
    │   ├── Conflicting  a second, different outcome; an id used again
    │   └── Implausible  an outcome of implausible value, held and not learnt until released
    ├── Unavailable      a server does not answer; retry, then stop
    ├── Incompatible     snapshot, schema, partitions or definition do not fit: refuse to start
    └── Misdeclared      the use case file or a setting is wrong: where, and how to mend it

Anything else that is raised is a bug: the worker stops without committing.
"""

from __future__ import annotations


class RiverrunError(Exception):
    """Any failure that riverrun foresees; its text says what to do."""


class Rejected(RiverrunError):
    """A record that cannot be used, raised before any state has changed.

    `fault` is the counted, stable word for the cause (a dead letter's `error_class`).
    """

    fault = "rejected"


class Malformed(Rejected):
    """Bytes that are no record: broken JSON, a wrong type, a wrong key."""

    fault = "malformed"


class Late(Rejected):
    """A record too far behind the watermark for its features to be right."""

    fault = "late"


class Ahead(Rejected):
    """A record so far ahead of the watermark that its clock is doubted."""

    fault = "ahead"


class Unmatched(Rejected):
    """An outcome whose event did not come while it was held."""

    fault = "unmatched"


class Conflicting(Rejected):
    """A second outcome that says something else, or an event id used again."""

    fault = "conflicting"


class Implausible(Rejected):
    """An outcome whose value cannot be believed; it is held, and learnt once it is released."""

    fault = "quarantined"


class Unavailable(RiverrunError):
    """A server that does not answer."""


class Incompatible(RiverrunError):
    """Stored state, topics or versions that do not fit what is started now."""


class Misdeclared(RiverrunError):
    """A use case file or a setting that cannot be right.

    `line` is the line in the use case's file, where it is known; `mend` says how to put it right.
    """

    def __init__(self, message: str, *, mend: str = "", line: int | None = None) -> None:
        super().__init__(f"{message} {mend}".strip())
        self.reason = message
        self.mend = mend
        self.line = line
