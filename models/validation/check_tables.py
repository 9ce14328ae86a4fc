"""Reference tables: the names in lookups exist, and tables have different names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from models.features.reference_tables import Lookup
from models.spec.use_case import UseCase
from models.validation.findings import nearest, takes

Add = Callable[..., None]
"""(reason, hint, place within the feature)"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_lookup(use_case: UseCase, add: Add, lookup: Lookup, known: Sequence[str]) -> None:
    """Report the mistakes of a feature that is read from a table."""
    _check_table(use_case, add, lookup)
    if lookup.by not in known:
        add(
            f"looks up {lookup.by!r}, which is neither a field of {use_case.event.__name__} nor an "
            "earlier feature.",
            nearest(lookup.by, known),
            "by",
        )
    fault = takes(lookup.function, "row") if callable(lookup.function) else "is no function"
    if fault is not None:
        add(f"has a value that {fault}; it is given a row.", "Write `lambda row: ...`.")
    if use_case.learning == "partition":
        add(
            'reads a table, and learning is "partition". Rows reach the partitions by the way on '
            "which versions of shared models do.",
            'Remove learning="partition".',
        )


def _check_table(use_case: UseCase, add: Add, lookup: Lookup) -> None:
    table = lookup.table
    if not isinstance(table.name, str) or not _NAME.fullmatch(table.name):
        add(
            f"reads a table whose name is {table.name!r}.",
            "Name it with letters, digits, dots, dashes and underscores.",
        )
    if not isinstance(table.topic, str) or not table.topic:
        add(f"reads the table {table.name!r}, which has no topic.", 'Write topic="merchants".')
    if not isinstance(table.key, str) or not table.key:
        add(
            f"reads the table {table.name!r}, which has no key.",
            "Name the field of a row that says whose it is.",
        )
    if type(table.rows) is not int or table.rows < 1:
        add(f"reads a table with rows={table.rows!r}.", "Give at least 1.")
    others = [
        feature.table
        for feature in use_case.features.values()
        if isinstance(feature, Lookup) and feature.table.name == table.name
    ]
    if any(other != table for other in others):
        add(
            f"reads the table {table.name!r}, which is declared twice, and not alike.",
            "Make it once, and look up from that.",
        )
