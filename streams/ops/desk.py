"""What all views read from: the use cases, who may act, what is being read and done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.ops.background import Background
from streams.ops.boards import Boards, Opened
from streams.ops.deeds import Deeds
from streams.ops.ends import Ends
from streams.ops.files import Files
from streams.ops.inquiries import Inquiries
from streams.ops.letterbox import Letterbox
from streams.ops.safety import Door
from streams.ops.scene import Case
from streams.settings import Settings


@dataclass(slots=True)
class Desk:
    """One page's belongings; `close` lets go of every connection and task."""

    cases: Mapping[str, Case]
    settings: Settings
    door: Door
    deeds: Deeds = field(default_factory=Deeds)
    inquiries: Inquiries = field(default_factory=Inquiries)
    files: Files = field(default_factory=Files)
    background: Background = field(default_factory=lambda: Background(fresh_s=45.0))
    _boards: dict[str, Boards] = field(default_factory=dict)
    _letterboxes: dict[str, Letterbox] = field(default_factory=dict)
    _ends: dict[str, Ends] = field(default_factory=dict)

    async def board(self, case: Case) -> Opened:
        """The figures of a use case; raises `Unavailable`."""
        return await self._boards.setdefault(case.name, Boards(case)).open()

    def letterbox(self, case: Case) -> Letterbox:
        """The dead letters of a use case, read on while somebody looks."""
        return self._letterboxes.setdefault(case.name, Letterbox(case))

    def ends(self, case: Case) -> Ends:
        """How far the topics of a use case are."""
        return self._ends.setdefault(case.name, Ends(case))

    async def close(self, _: Any = None) -> None:
        """Let go of everything."""
        held: Any
        for held in (
            *self._boards.values(),
            *self._letterboxes.values(),
            *self._ends.values(),
            self.deeds,
            self.inquiries,
            self.background,
            self.files,
        ):
            with contextlib.suppress(Exception):
                await held.close()
