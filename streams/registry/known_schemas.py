"""The schemas that a worker's relays know: from the log, then from the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from models.formats.payload import Schemas, WriterSchema
from models.formats.wire_format import schema_ids
from riverrun.client.compacted_topic import newest_values
from riverrun.client.written_predictions import written_schema
from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.registry.schema_registry import SchemaRegistry, registry_of


class KnownSchemas:
    """The schemas that one worker knows: read → fetch*. `stored`: ids of those on the topic."""

    def __init__(self, registry: SchemaRegistry | None) -> None:
        self.by_id: dict[int, WriterSchema] = {}
        self.stored: set[int] = set()
        self._registry = registry
        self._asking = asyncio.Lock()

    async def read(self, client: Mapping[str, Any], topic: str) -> None:
        """Read what is on the log. Raises `Unavailable`."""
        for value in (await newest_values(client, topic)).values():
            schema = written_schema(value)
            self.by_id[schema.id] = schema
            self.stored.add(schema.id)

    async def fetch(self, id: int) -> WriterSchema | None:
        """Return a schema of the registry; None if it has none of that id."""
        if self._registry is None:
            raise Unavailable(
                f"a source's record names schema {id}, and no Schema Registry is set. Set "
                "SCHEMA_REGISTRY_URL and restart the worker."
            )
        async with self._asking:
            if id in self.by_id:  # by another relay meanwhile
                return self.by_id[id]
            async with self._registry as registry:
                return await registry.schema(id)


def schemas_of(values: Iterable[bytes], settings: Settings) -> Schemas:
    """Return the schemas of the registry that values in Confluent's wire format name."""
    return asyncio.run(_fetched(sorted(schema_ids(values)), KnownSchemas(registry_of(settings))))


async def _fetched(ids: Iterable[int], known: KnownSchemas) -> Schemas:
    schemas = {id: await known.fetch(id) for id in ids}
    return {id: schema for id, schema in schemas.items() if schema is not None}
