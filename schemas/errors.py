"""All errors that riverrun foresees, as one tree.

    RiverrunError
    ├── Rejected         this record cannot be used; nothing has changed; park it and go on
    │   ├── Malformed    bytes, schema or key
    │   ├── Late         behind the watermark, the horizon or the memory
    │   ├── Ahead        its time is far ahead of every other record's
    │   ├── Unmatched    an outcome whose event never came
    │   ├── Conflicting  a second, different outcome; an id used again
    │   ├── Implausible  an outcome of implausible value, held and not learnt until released
    │   ├── Refused      a command that cannot be obeyed as things are
    │   └── Skipped      a record on which `apply` fails, set aside by an operator or by rule
    ├── Unavailable      a server does not answer; retry, then stop
    ├── Incompatible     snapshot, schema, partitions or definition do not fit: refuse to start
    └── ConfigError      the use case file or a setting is wrong: where, and how to mend it

Anything else that is raised is a bug: the partition stops at that record without committing it.
"""

from __future__ import annotations

AUTHORS_FAULTS: tuple[type[BaseException], ...] = (Exception, SystemExit)
"""What an author's code may raise at some data: `exit()` in it ends no worker, passes no check."""


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
    """A second outcome that contradicts the first, or an event id used again."""

    fault = "conflicting"


class Implausible(Rejected):
    """An outcome with an implausible value; it is held, and learnt once it is released."""

    fault = "quarantined"


class Refused(Rejected):
    """A command that does not fit the present state; no producer has to correct anything."""

    fault = "refused"


class Skipped(Rejected):
    """A record that is set aside because `apply` fails on it."""

    fault = "skipped"


class Unavailable(RiverrunError):
    """A server that does not answer."""


class Incompatible(RiverrunError):
    """Stored state, topics or versions that do not fit what is being started."""


class ConfigError(RiverrunError):
    """A mistake in a use case file or a setting.

    `line` is the line in the use case's file, where it is known; `hint` says how to put it right.
    """

    def __init__(self, message: str, *, hint: str = "", line: int | None = None) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.reason = message
        self.hint = hint
        self.line = line
