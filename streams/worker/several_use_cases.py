"""Workers of several use cases under one parent: who works on what, with which id and port.

Each use case has a process of its own, forked from the parent that has imported everything: what
all need is in memory once, an error ends the workers of one use case and of no other, and the
kernel shares the cores among them (docs/adr/0101).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from schemas.errors import RiverrunError
from streams.config.naming import group_of
from streams.config.process_env import claim_instance
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.worker.launch import operate, prepare
from streams.worker.supervisor import Supervisor

log = logging.getLogger("riverrun.supervising")


class Post(NamedTuple):
    """One worker to be: its use case, the partitions of it, its member id, its health port."""

    loaded: LoadedUseCase
    partitions: int
    member: str
    health_port: int


class SeveralUseCases:
    """The workers of all use cases. `complain` tells a person of an error and gives its exit code.

    A use case whose topics or definition do not fit is left out, and the others work; `run` then
    ends with its code.
    """

    def __init__(
        self, settings: Settings, health_port: int, complain: Callable[[RiverrunError], int]
    ) -> None:
        self._settings = settings
        self._health_port = health_port
        self._complain = complain
        self._posts: list[Post] = []
        self._code = 0

    def run(self, use_cases: Sequence[LoadedUseCase], processes: int) -> int:
        """Work with so many processes each until stopped; return the worst exit code."""
        with ExitStack() as claims:
            for loaded in use_cases:
                try:
                    self._add(loaded, processes, claims)
                except RiverrunError as error:
                    if len(use_cases) == 1:
                        raise
                    log.error("%s is left out", loaded.use_case.name)
                    self._code = max(self._code, self._complain(error))
            if not self._posts:
                return self._code
            names = [post.loaded.use_case.name for post in self._posts]
            code = Supervisor(self._work, len(self._posts), names).run()
            return max(self._code, code)

    def _add(self, loaded: LoadedUseCase, processes: int, claims: ExitStack) -> None:
        partitions = prepare(loaded, self._settings)
        group = group_of(loaded, self._settings)
        for _ in range(processes):
            member = claims.enter_context(claim_instance(group))
            port = self._health_port + len(self._posts) if self._health_port else 0
            self._posts.append(Post(loaded, partitions, member, port))

    def _work(self, n: int) -> int:
        post = self._posts[n]
        try:
            return operate(
                post.loaded,
                self._settings,
                partitions=post.partitions,
                member=post.member,
                health_port=post.health_port,
            )
        except RiverrunError as error:
            return self._complain(error)
