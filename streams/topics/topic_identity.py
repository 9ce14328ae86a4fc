"""The identity of topics: id and number of partitions, as the brokers report them.

A topic's name says little: one that was deleted and created again has the same. Kafka gives each an
id (KIP-516), reported in Metadata answers from version 10 on, which aiokafka does not ask for.
Brokers that know no such version are asked without: then a topic has no id.
"""

# aiokafka ships no types, so its classes are Any to mypy.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from schemas.errors import Unavailable

METADATA = 3
ID_BYTES = 16
NO_ID = bytes(ID_BYTES)
TIMEOUT_S = 10.0


class TopicIdentity(NamedTuple):
    """The identity of a topic; `id` is None where brokers report none."""

    id: bytes | None
    partitions: int


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(ID_BYTES)


class _MetadataResponse_v10(Response):
    API_KEY, API_VERSION = METADATA, 10
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v10(RequestStruct):
    API_KEY, API_VERSION = METADATA, 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse_v10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicsRequest(Request[MetadataRequest_v5 | _MetadataRequest_v10]):
    API_KEY = METADATA

    def __init__(self, names: Collection[str]) -> None:
        self._names = sorted(set(names))

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class is MetadataRequest_v5:
            return request_struct_class(self._names, False)
        topics: list[Any] = [(NO_ID, name, {}) for name in self._names]
        return request_struct_class(topics, False, False, False, {})


class Topics:
    """Asks the brokers about topics, repeatedly. async with → identities*.

    Raises `Unavailable` if none answers in time. A topic that they do not have, or whose leaders
    are being elected, is not among what they say.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._settings = dict(client)

    async def __aenter__(self) -> Topics:
        self._client = AIOKafkaClient(**self._settings)
        try:
            await self._client.bootstrap()
        except (KafkaError, OSError) as error:
            await self._client.close()
            raise Unavailable(f"Kafka does not answer ({error})") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def identities(self, names: Collection[str]) -> dict[str, TopicIdentity]:
        """Return name → identity of the topics that exist."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                node = self._client.get_random_node()
                while not await self._client.ready(node):
                    await asyncio.sleep(0.1)
                    node = self._client.get_random_node()
                answer = await self._client.send(node, _TopicsRequest(names))
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"Kafka does not say which topics it has ({error!r})") from error
        identities = {}
        for topic in answer.topics:
            has_id = answer.API_VERSION >= _MetadataResponse_v10.API_VERSION
            error_code, name, id = topic[0], topic[1], topic[2] if has_id else None
            partitions = topic[4] if has_id else topic[3]
            if not error_code:
                identities[name] = TopicIdentity(None if id == NO_ID else id, len(partitions))
        return identities
