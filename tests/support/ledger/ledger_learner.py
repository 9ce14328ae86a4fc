"""A learner and partition tasks without a model, for the tests of how they meet.

The learner publishes a version each `EVERY` examples: how many it has learnt, and the hash of all
of them in order. A partition answers with the number of the version that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from tests.support.ledger.ledger import Ledger, Output, Taken

MODELS = 4
EVERY = 5


class Answering(Ledger):
    """A partition's task, whose fifth input is `models`."""

    partitions = 4

    def __init__(self) -> None:
        super().__init__(5)
        self.version = 0
        self.clock_s: float | None = None

    def choose(self, times: Sequence[float | None]) -> int | None:
        """As the merge order: a version before an event of its time, and none before its time."""
        heads = [(time, i) for i, time in enumerate(times) if time is not None]
        if not heads:
            return None
        time, i = min(heads, key=lambda head: (head[0], (4, 2, 0, 1, 3)[head[1]]))
        alone = len(heads) == 1 and i == MODELS
        if alone and (self.clock_s is None or time > self.clock_s):
            return None
        return i

    def apply(self, taken: Taken) -> list[Output]:
        """Advance by one record; an answer names its version, an example the partition's clock."""
        if taken.input == MODELS:
            number = orjson.loads(taken.value)["number"]
            assert number > self.version, (number, self.version)
            self.version = number
        elif taken.time > float("-inf"):
            self.clock_s = max(taken.time, self.clock_s or 0.0)
        outputs = super().apply(taken)
        for n, output in enumerate(outputs):
            if output.kind == "predictions":
                body = orjson.loads(output.value) | {"version": self.version, "t": taken.time}
                outputs[n] = output._replace(value=orjson.dumps(body))
            if output.kind == "examples":
                body = orjson.loads(output.value) | {"t": self.clock_s}
                outputs[n] = output._replace(value=orjson.dumps(body))
        return outputs


class Learning(Ledger):
    """The learner's task: `commands`, then the `examples` of each partition."""

    def __init__(self, partitions: int) -> None:
        super().__init__(1 + partitions)
        self.partitions = partitions
        self.clock_s: float | None = None
        self.learnt = 0

    def choose(self, times: Sequence[float | None]) -> int | None:
        """The smallest time."""
        heads = [(time, i) for i, time in enumerate(times) if time is not None]
        return min(heads)[1] if heads else None

    def apply(self, taken: Taken) -> list[Output]:
        """Learn one example."""
        super().apply(taken)
        if taken.input == 0:
            return []
        self.clock_s = max(taken.time, self.clock_s or 0.0)
        self.learnt += 1
        if self.learnt % EVERY:
            return []
        body = {"t": self.clock_s, "number": self.learnt, "hash": self.hash.hex()}
        return [Output("models", b"linear", orjson.dumps(body))]

    def report(self) -> list[Any]:
        """Nothing."""
        return []
