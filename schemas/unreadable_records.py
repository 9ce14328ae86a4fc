"""The count of records that a reader of topics could not decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WHY_MAX = 160


@dataclass(slots=True)
class Unreadable:
    """How many records could not be read, and which was the first."""

    count: int = 0
    first: str = ""

    def note(self, record: Any, why: object) -> None:
        """Count one."""
        if not self.count:
            where = f"{record.topic}[{record.partition}]@{record.offset}"
            self.first = f"{where}: {' '.join(str(why).split())[:WHY_MAX]}"
        self.count += 1

    def __str__(self) -> str:
        """Return the count and the first such record, in words.

        >>> str(Unreadable(2, "shop.commands[0]@7: it is not JSON"))
        '2 records could not be read, the first at shop.commands[0]@7: it is not JSON'
        """
        records = "1 record" if self.count == 1 else f"{self.count:,} records"
        return f"{records} could not be read, the first at {self.first}"
