"""What a partition's runner does about a record on which `apply` fails.

    first failure   the state is of no use: recover, and commit all that comes before the record
    second          alone in its batch it fails again: tell of it on `lifecycle`, and wait
    `skip_after`    so many failures, and the use case's rule sets it aside
    `skip`          an operator's command does so; it is looked for on its topic beside the order of
                    the inputs, since what blocks them may come before it

The worker lives on, and so do its other partitions: a restart would lead to the same record.
Failures are counted in this process only. What is decided is in the journal, and decided once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from models.inputs.skipped_records import RULE, InputOffset, Skip
from schemas.topics import INPUTS, LEARNER
from streams.kafka.transactional_writer import FAILURES
from streams.partition.intake import ApplyFailed, Intake
from streams.partition.skip_requests import wishes
from streams.partition.wiring import PartitionLog, RunnableTask, TransactionWriter, Wiring

log = logging.getLogger("riverrun.partition")

RETRIES = 1
"""A failure that had a passing cause, such as memory, is gone the second time."""

LOOK_S = 1.0


class Suspect:
    """The record at which one partition's task fails, and how often it has."""

    def __init__(self, skip_after: int, advice: str, kinds: Sequence[str] = INPUTS) -> None:
        self.failure: Skip | None = None
        self.failures = 0
        self._skip_after = skip_after
        self._advice = advice
        self._kinds = kinds

    @property
    def input_offset(self) -> InputOffset | None:
        """The record's input and offset; None while there is none."""
        return None if self.failure is None else self.failure.input_offset

    def failed(self, failure: Skip, *, rule_may: bool) -> bool:
        """Count a failure; return whether it is to be tried again."""
        self.failures = self.failures + 1 if self.input_offset == failure.input_offset else 1
        self.failure = failure
        return self._rule_acts(rule_may) or self.failures <= RETRIES

    def _rule_acts(self, rule_may: bool) -> bool:
        return bool(self._skip_after) and rule_may

    def by_rule(self, *, rule_may: bool) -> Skip | None:
        """Return the record, if the rule sets it aside."""
        if self.failure is None or not self._rule_acts(rule_may):
            return None
        if self.failures < self._skip_after:
            return None
        why = f"`apply` failed {self.failures} times (skip_after={self._skip_after})"
        return self.failure._replace(who=RULE, why=why)

    def informed(self, skip: Skip) -> Skip:
        """Return a wish, with the failure that this process knows."""
        if skip.input_offset != self.input_offset or self.failure is None or skip.error is not None:
            return skip
        return skip._replace(error=self.failure.error, traceback=self.failure.traceback)

    def explanation(self, partition: int) -> str:
        """Return the message to operators about the stop, with the ways on."""
        assert self.failure is not None
        index, offset = self.failure.input_offset
        kind = self._kinds[index]
        if partition == LEARNER:
            return (
                f"stopped at {kind} offset {offset}: {self.failure.error}. Nothing is learnt until "
                "the code is mended and the worker started anew; partitions answer by the versions "
                "they have"
            )
        which = "" if kind == "events" else f" --input {kind}"
        return (
            f"stopped at {kind} offset {offset}: {self.failure.error}. Nothing of this "
            "partition is answered until the code is mended and the worker restarted, or the "
            f"record is set aside: riverrun skip {self._advice} {partition} {offset}{which} "
            "--why '…'"
        )


class FailingRecord:
    """One partition's. failed → (look, at each recovery | until_wished)."""

    def __init__(self, number: int, wiring: Wiring) -> None:
        self.number = number
        self.title = wiring.title(number)
        self.wiring = wiring
        self.suspect = Suspect(wiring.skip_after, wiring.shown_name, wiring.kinds)
        self.untold: str | None = None  # why no metrics are told
        self._commands = wiring.kinds.index("commands") if "commands" in wiring.kinds else -1
        obeyed = wiring.obeys_skips and 0 <= self._commands < len(wiring.inputs)
        self._has_commands = obeyed and wiring.inputs[self._commands] is not None

    async def failed(
        self, error: ApplyFailed, task: RunnableTask, writer: TransactionWriter | None
    ) -> bool:
        """Count a failure; return whether to try the record again. If not, it is reported."""
        again = self.suspect.failed(error.failure, rule_may=task.rule_may_skip())
        log.error("%s: %s\n%s", self.title, error, error.failure.traceback)
        if not again and writer is not None:
            with contextlib.suppress(*FAILURES):
                await writer.commit(task.halted(error.index, error.record, error.failure), None)
        return again

    def report(self, task: RunnableTask) -> Sequence[Any]:
        """Return the task's report; it only reads the state, so its failure stops nothing."""
        try:
            report, self.untold = task.report(), None
        except Exception as error:  # a bug, told in the status and the log
            text = f"metrics are not told: {type(error).__name__}"
            if self.untold != text:
                masked = bool(getattr(task, "masking", None))  # its words may be personal
                log.error("%s: %s", self.title, text, exc_info=None if masked else error)
            report, self.untold = (), text
        return report

    @property
    def explanation(self) -> str:
        """The reason why the partition stands still, with the ways on."""
        return self.suspect.explanation(self.number)

    async def look(self, reader: PartitionLog, task: RunnableTask, intake: Intake) -> None:
        """Tell the intake what is to be set aside, before anything is applied."""
        skips, rule_may = {}, task.rule_may_skip()
        if self._has_commands:
            skips = wishes(await reader.unread(self._commands, task.next[self._commands]))
        if (ruled := self.suspect.by_rule(rule_may=rule_may)) is not None:
            skips.setdefault(ruled.input_offset, ruled)
        intake.skips = {
            input_offset: self.suspect.informed(skip) for input_offset, skip in skips.items()
        }
        intake.suspect = self.suspect.input_offset

    async def until_wished(self, following: Sequence[int], stopped: asyncio.Event) -> None:
        """Wait until a command sets the record aside, or until `stopped`; `following` is each
        input's next offset.
        """
        log.error("%s: %s", self.title, self.explanation)
        while not stopped.is_set():
            reader = self.wiring.open_log(self.number)
            try:
                await reader.start()
                while not stopped.is_set():
                    if self._has_commands:
                        commands = await reader.unread(self._commands, following[self._commands])
                        if self.suspect.input_offset in wishes(commands):
                            return
                    await _paused(stopped)
            except FAILURES as error:
                log.warning("%s: %s", self.title, error)
                await _paused(stopped)
            finally:
                await reader.close()


async def _paused(stopped: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await stopped.wait()
