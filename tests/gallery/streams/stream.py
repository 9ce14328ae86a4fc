"""A stream: a named generator of synthetic data whose truth is known.

A payload is a dataclass of numpy arrays whose first axis is the run, so that one call makes many
independent runs at once. Each claim asks for one kind of payload. A new kind of data is a new
payload class, in the module of the family that generates it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True)
class Blocks:
    """Paired gains of a challenger over its rival, block by block: what comparisons are fed.

    Arrays of shape (runs, blocks). `labelled` predictions of a block, the sum of their `gain`, the
    predictions whose outcome never came (`missing`), and `expected`: the true expected sum of the
    gains of all predictions of the block, those with a missing outcome among them. `bound` is the
    width of the KPI's declared range, `cost` the rival's usual KPI for a prediction.
    """

    labelled: Ints
    gain: Floats
    missing: Ints
    expected: Floats
    bound: float
    cost: float

    @property
    def true_mean(self) -> Floats:
        """Expected gain per prediction over all blocks so far: what a verdict is about."""
        predictions = (self.labelled + self.missing).cumsum(1)
        return self.expected.cumsum(1) / np.maximum(predictions, 1)


@dataclass(frozen=True)
class Stream(Generic[Payload]):
    """One generator. `payload` is the class that it generates, by which claims select streams.

    `generate(rng, runs, length)` draws `runs` runs of `length` blocks (or whatever the payload
    counts in). `truth` holds what does not vary by run, by name: `{"change_at": 30}`.
    """

    name: str
    family: str
    payload: type[Payload]
    generate: Callable[[np.random.Generator, int, int], Payload]
    truth: dict[str, Any] = field(default_factory=dict)

    def sample(self, seed: int, runs: int, length: int) -> Payload:
        """Return the same runs for the same seed, whatever other streams there are."""
        rng = np.random.default_rng([crc32(self.name.encode()), seed])
        return self.generate(rng, runs, length)
