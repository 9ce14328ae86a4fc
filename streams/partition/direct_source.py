"""The inputs of a task that no group assigns: fetched directly, owned as a partition is."""

from __future__ import annotations

from typing import Any

from streams.partition.shared_topic import GroupMember


class DirectSource:
    """The inputs of the learner or of a relay (wiring.InputSource).

    `consumer` fetches them (direct_consumer.DirectConsumer); the group says who owns the partition
    whose worker runs the task.
    """

    def __init__(self, consumer: Any, group: GroupMember) -> None:
        self.still_member = group.still_member
        self.seek_and_open = consumer.seek_and_open
        self.open = consumer.open
        self.shut = consumer.shut
        self.stable = consumer.stable
        self.answered = consumer.answered
        self.fetch_position = consumer.fetch_position
