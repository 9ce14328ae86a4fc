"""The context of all views: use cases, access, caches and running work."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.config.settings import Settings
from streams.monitor.store.board import BoardPool, OpenBoard
from streams.web.state.action_log import ActionLog
from streams.web.state.auth import Auth
from streams.web.state.background_cache import BackgroundCache
from streams.web.state.dead_letter_cache import DeadLetterCache
from streams.web.state.live_tails import LiveTails
from streams.web.state.page_model import Case
from streams.web.state.report_files import ReportFiles
from streams.web.state.subprocess_queries import SubprocessQueries
from streams.web.state.topic_offsets import TopicOffsets


@dataclass(slots=True)
class PageContext:
    """The resources of one page; `close` ends every connection and task."""

    cases: Mapping[str, Case]
    settings: Settings
    auth: Auth
    actions: ActionLog = field(default_factory=ActionLog)
    subprocess_queries: SubprocessQueries = field(default_factory=SubprocessQueries)
    files: ReportFiles = field(default_factory=ReportFiles)
    sample_cache: BackgroundCache = field(default_factory=lambda: BackgroundCache(fresh_s=45.0))
    recent_cache: BackgroundCache = field(default_factory=lambda: BackgroundCache(fresh_s=3.0))
    tails: LiveTails = field(default_factory=LiveTails)
    _boards: dict[str, BoardPool] = field(default_factory=dict)
    _dead_letters: dict[str, DeadLetterCache] = field(default_factory=dict)
    _ends: dict[str, TopicOffsets] = field(default_factory=dict)

    async def board(self, case: Case) -> OpenBoard:
        """Return the figures of a use case; raises `Unavailable`."""
        pool = BoardPool(case.loaded, case.settings)
        return await self._boards.setdefault(case.name, pool).open()

    def dead_letters(self, case: Case) -> DeadLetterCache:
        """Return the dead letters of a use case, followed while a visitor watches."""
        return self._dead_letters.setdefault(case.name, DeadLetterCache(case))

    def topic_offsets(self, case: Case) -> TopicOffsets:
        """Return the offsets of the topics of a use case."""
        return self._ends.setdefault(case.name, TopicOffsets(case))

    async def close(self, _: Any = None) -> None:
        """Close everything."""
        resource: Any
        for resource in (
            *self._boards.values(),
            *self._dead_letters.values(),
            *self._ends.values(),
            self.actions,
            self.subprocess_queries,
            self.sample_cache,
            self.recent_cache,
            self.tails,
            self.files,
        ):
            with contextlib.suppress(Exception):
                await resource.close()
