"""The producers of events, outcomes and commands: plain, in transactions, and in aborted ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faust.types import TP

from tests.simulation.broker import Transaction
from tests.simulation.workload import Sending

if TYPE_CHECKING:
    from tests.simulation.world import World


class Upstream:
    """Whoever writes the inputs of one run, by the draws of its world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.all_sent = False

    async def send(self) -> None:
        """Send each record at its time, some of them in transactions."""
        clock = asyncio.get_running_loop().time
        rng, pending = self.world.rng, list(reversed(self.world.sent))
        while pending:
            await asyncio.sleep(max(0.0, pending[-1].at - clock()))
            block = [pending.pop() for _ in range(min(len(pending), rng.randint(1, 3)))]
            if rng.random() < 0.2:
                self._send_in_transaction(block)
                continue
            if rng.random() < 0.1:
                self._send_and_abort(block)
            for sending in block:
                self.append(sending, None)
        self.all_sent = True

    def append(self, sending: Sending, transaction: Transaction | None) -> None:
        """Write a record onto its topic, in the transaction if there is one."""
        tp = TP(self.world.topics[sending.kind], sending.partition)
        self.world.kafka.append(tp, [sending.message], transaction)

    def _send_in_transaction(self, block: list[Sending]) -> None:
        transaction = self.world.kafka.begin_upstream()
        for sending in block:
            self.append(sending, transaction)
        after_s = self.world.rng.choice((0.01, 0.3, 2.0))
        asyncio.get_running_loop().call_later(after_s, self._end_upstream, transaction, True)

    def _send_and_abort(self, block: list[Sending]) -> None:
        # What is aborted is sent again afterwards, as a producer does.
        self.world.fate.struck["upstream transaction aborted"] += 1
        transaction = self.world.kafka.begin_upstream()
        for sending in block:
            self.append(sending, transaction)
        asyncio.get_running_loop().call_later(0.2, self._end_upstream, transaction, False)

    def _end_upstream(self, transaction: Transaction, commit: bool) -> None:
        self.world.kafka.end_upstream(transaction, commit=commit)
