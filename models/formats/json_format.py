"""JSON as it is: the value is whatever the bytes hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from models.formats.first_bytes import described
from models.formats.payload import Schemas
from schemas.errors import Malformed


@dataclass(frozen=True, slots=True)
class Json:
    """Values that are JSON (RFC 8259).

    >>> Json().decode(b'{"id": 7}', {})
    {'id': 7}
    """

    uses_registry = False
    packages = ()

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the value; raise `Malformed` if the bytes are no JSON."""
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Malformed(f"the value is not JSON: {error}.{described(value)}") from None
