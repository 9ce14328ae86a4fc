"""What a process logs on stderr: a line for people, or JSON, each record on one line.

Control characters in what is logged are written as escapes, so that data forges no line and gives
no order to a terminal. A traceback keeps its lines, for people; in JSON it is a field.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.printable import json_text, printable, printable_lines
from streams.config.settings import Settings

OURS = "riverrun"
CLIENT = "aiokafka"
"""What the Kafka client retries by itself is no news; what it gives up on is raised. That a
password travels in plain text was chosen: by the settings, or it never leaves this machine."""


def configure(settings: Settings, *, verbose: bool = False) -> None:
    """Log at the level and in the form of the settings; `verbose`: all of ours, more of others'."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.riverrun_log_format == "json" else LogLines())
    level = "debug" if verbose else settings.riverrun_log_level
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logging.getLogger(OURS).setLevel(level.upper())
    quieten_client(logging.WARNING if verbose else logging.CRITICAL)


def quieten_client(level: int = logging.CRITICAL) -> None:
    """Log of the Kafka client only what is of this level or above."""
    logging.getLogger(CLIENT).setLevel(level)


class LogLines(logging.Formatter):
    """Time (UTC), level, logger and message in one line; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as people read it."""
        line = f"{_moment(record)} {record.levelname.lower():7} {record.name}: "
        line += printable(record.getMessage())
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return f"{line}\n{printable_lines(trace)}" if trace else line


class JsonLines(logging.Formatter):
    """The same as one JSON object a line: time, level, logger, message, and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a program reads it."""
        row: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            row["traceback"] = self.formatException(record.exc_info)
        text = orjson.dumps(row, default=str).decode()
        return json_text(text)


def _moment(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["JsonLines", "LogLines", "configure", "quieten_client"]
