"""What Kafka lets this client do with topics and a group, asked without doing any of it.

Since 2.3 (KIP-430) an answer to Metadata or DescribeGroups tells, where it is asked to, which
operations the asking user is authorized for: a bit for each. aiokafka asks for neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

# aiokafka ships no types, so its classes are Any to mypy.
# mypy: disallow-subclassing-any=False

OPERATIONS = {
    "READ": 3,
    "WRITE": 4,
    "CREATE": 5,
    "DELETE": 6,
    "ALTER": 7,
    "DESCRIBE": 8,
    "DESCRIBE_CONFIGS": 10,
    "ALTER_CONFIGS": 11,
}
"""Kafka's codes of operations (`AclOperation`)."""

TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED = 29, 30

ATTEMPTS, RETRY_S = 20, 0.5

_TEXT = String("utf-8")


class MetadataResponse_v8(Response):
    """The first version that tells operations."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):
    """See `MetadataResponse_v8`."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class AuthorizedTopicsRequest(Request[MetadataRequest_v8]):
    """A Metadata request for topics' operations. Raises `NotImplementedError` before Kafka 2.3."""

    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request of that version."""
        return request_struct_class(self._topics, False, False, True)


class DescribeGroupsRequest_v3(RequestStruct):
    """The request with the response of version 3: aiokafka reads that of version 2."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(_TEXT)), ("include_authorized_operations", Boolean))


class AuthorizedGroupRequest(Request[DescribeGroupsRequest_v3]):
    """A DescribeGroups request for a group's operations."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: Any) -> Any:
        """Return the request of that version."""
        return request_struct_class([self._group], True)


def operations_in(bits: int) -> set[str]:
    """Return the names of the operations in a bit field.

    >>> sorted(operations_in(1 << 3 | 1 << 8))
    ['DESCRIBE', 'READ']
    """
    return {name for name, code in OPERATIONS.items() if bits > 0 and bits >> code & 1}


async def of_topics(
    admin: AIOKafkaAdminClient, topics: Collection[str]
) -> Mapping[str, set[str] | None]:
    """Return the operations that are authorized on each topic; None for one that is not there.

    A topic that may not even be described has none, whether it is there or not.
    """
    client = admin._client
    answer = await client.send(client.get_random_node(), AuthorizedTopicsRequest(topics))
    authorized: dict[str, set[str] | None] = {}
    for error, name, _, _, bits in answer.topics:
        if error == TOPIC_AUTHORIZATION_FAILED:
            authorized[name] = set()
        else:
            authorized[name] = None if error else operations_in(bits)
    return authorized


async def of_group(admin: AIOKafkaAdminClient, group: str) -> set[str]:
    """Return the operations that are authorized on a consumer group, which need not exist."""
    coordinator = await _coordinator(admin, group)
    answer = await admin._client.send(coordinator, AuthorizedGroupRequest(group))
    error, *_, bits = answer.groups[0]
    return set() if error == GROUP_AUTHORIZATION_FAILED else operations_in(bits)


async def _coordinator(admin: AIOKafkaAdminClient, group: str) -> int:
    """Return the node of a group; a cluster without any group yet makes its topic first."""
    for _ in range(ATTEMPTS):
        try:
            node: int = await admin.find_coordinator(group)
        except GroupAuthorizationFailedError:
            raise
        except KafkaError:
            await asyncio.sleep(RETRY_S)
        else:
            return node
    return int(await admin.find_coordinator(group))
