"""The partition of a topic that each input of a task is.

A partition task reads its own partition of `events`, `outcomes`, `commands` and `history`, and the
one partition of `models`; the learner reads every partition of `examples`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

Input = Any  # str | TopicPartition | None; aiokafka has no types
"""A topic, of which a task reads its own partition; one fixed partition; or no topic."""


def located(inputs: Sequence[Input], partition: int) -> list[TopicPartition | None]:
    """Return the topic partition of each input of the task with that number.

    >>> located(["events", TopicPartition("models", 0), None], 3)
    [TopicPartition(topic='events', partition=3), TopicPartition(topic='models', partition=0), None]
    """
    own = [(each, partition) if isinstance(each, str) else each for each in inputs]
    return [None if tp is None else TopicPartition(*tp) for tp in own]
