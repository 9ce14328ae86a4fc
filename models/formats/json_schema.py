"""JSON that a Schema Registry's serializer wrote: JSON behind the id of its JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.formats.json_format import Json
from models.formats.payload import Schemas
from models.formats.wire_format import HEADER_BYTES, schema_id


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Values that are JSON in Confluent's wire format.

    The schema says nothing that reading needs, so no registry is asked.

    >>> JsonSchema().decode(bytes([0, 0, 0, 0, 7]) + b'{"id": 7}', {})
    {'id': 7}
    """

    uses_registry = False
    packages = ()

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the value; raise `Malformed` if the bytes are none."""
        schema_id(value)
        return Json().decode(value[HEADER_BYTES:], schemas)
