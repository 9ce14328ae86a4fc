"""Who works on which partitions, as Kafka's group coordinator knows: for when Redis says nothing.

Source: Kafka protocol, DescribeGroups; ConsumerProtocolAssignment (org.apache.kafka.clients).
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from streams.config.settings import Settings

TIMEOUT_S = 10.0


class Member(NamedTuple):
    """One member of a group: its id, its host, and the partitions of one topic that it has."""

    name: str
    host: str
    partitions: tuple[int, ...]


async def members(settings: Settings, group_id: str, topic: str) -> list[Member]:
    """Return the members of a group with their partitions of `topic`; none where it cannot tell."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await admin.start()
            answers = await admin.describe_consumer_groups([group_id])
        return [_member(member, topic) for answer in answers for member in _listed(answer)]
    except (KafkaError, OSError, TimeoutError, ValueError):
        return []
    finally:
        await admin.close()


def _listed(answer: Any) -> list[dict[str, Any]]:
    return [member for group in answer.to_object()["groups"] for member in group["members"]]


def _member(member: dict[str, Any], topic: str) -> Member:
    name = member.get("group_instance_id") or member["client_id"]
    assigned = member["member_assignment"]
    partitions: tuple[int, ...] = ()
    if assigned:
        decoded = ConsumerProtocolMemberAssignment.decode(assigned)
        partitions = tuple(
            sorted(n for name, numbers in decoded.assignment if name == topic for n in numbers)
        )
    return Member(str(name), str(member["client_host"]).lstrip("/"), partitions)
