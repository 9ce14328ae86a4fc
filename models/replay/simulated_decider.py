"""The decider in a backtest: it reads the evidence of closed blocks, and its commands are applied.

A backtest gives records in the order of time, so whoever is far behind has nothing more to say,
and a partition without a record has nothing to say yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from models.outputs.output_records import Output
from models.promotion.block_merger import BlockMerger
from models.promotion.decider import Decided, Decider
from models.promotion.decider_command import order
from models.promotion.standings import standings
from models.replay.backtest import Backtest
from schemas.commands import Command


class SimulatedDecider:
    """Decides beside a backtest. `standings`: the last of each comparison; `acts`: all commands."""

    def __init__(self, run: Backtest) -> None:
        self._run = run
        self._assembly = BlockMerger(run.partitions, run.use_case.horizon)
        self._decider = Decider(run.use_case)
        self._last: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.acts: list[Command] = []

    @property
    def standings(self) -> list[dict[str, Any]]:
        """The newest record of each comparison, also of those that another champion ended."""
        return list(self._last.values())

    def hear(self, outputs: Iterable[Output]) -> list[Output]:
        """Take what partitions said; what they say to the commands that follow from it."""
        heard = False
        for output in outputs:
            if output.kind == "evidence":
                self._assembly.take(orjson.loads(output.value))
                heard = True
        replies: list[Output] = []
        if heard:
            empty = set(range(self._run.partitions)) - self._run.tasks.keys()
            for block in self._assembly.release([*self._assembly.laggards, *empty]):
                replies += self._decide(self._decider.take(block))
        return replies

    def _decide(self, decided: Decided) -> list[Output]:
        for row in standings(self._decider, decided):
            self._last[row["question"], row["model"], row["against"]] = row
        if decided.wish is None:
            return []
        command = order(self._run.use_case, decided, decided.wish)
        self.acts.append(command)
        return self._run.command(command)
