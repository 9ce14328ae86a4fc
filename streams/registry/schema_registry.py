"""A Schema Registry, asked over Confluent's HTTP interface: schemas by id, and registering one.

Source: Confluent, "Schema Registry API Reference". Apicurio answers the same under
`/apis/ccompat/v7`. A schema never changes under its id, so each is asked for once.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from models.formats.payload import WriterSchema
from schemas.errors import Incompatible, Unavailable
from streams.config.settings import Settings
from streams.registry.proto_compiler import compiled

CONTENT = "application/vnd.schemaregistry.v1+json"
TIMEOUT_S = 10.0
SCHEMA_BYTES_MAX = 4 << 20
NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422


def registry_of(settings: Settings) -> SchemaRegistry | None:
    """Return the Schema Registry that is set; None where there is none."""
    if settings.schema_registry_url is None:
        return None
    password = settings.schema_registry_password
    cafile = settings.schema_registry_cafile
    return SchemaRegistry(
        settings.schema_registry_url,
        username=settings.schema_registry_username,
        password=None if password is None else password.get_secret_value(),
        tls=None if cafile is None else ssl.create_default_context(cafile=cafile),
    )


class SchemaRegistry:
    """async with → (schema | latest | register)*. Raises `Unavailable` if it does not answer."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        credentials = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        self._headers = {} if username is None else {"Authorization": f"Basic {credentials}"}
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"Accept": f"{CONTENT}, application/json", **self._headers},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def schema(self, id: int) -> WriterSchema | None:
        """Return the schema of that id, with all that it refers to; None if there is none."""
        body = await self._ask("GET", f"/schemas/ids/{id}")
        return None if body is None else await self._resolved(id, body)

    async def latest(self, subject: str) -> WriterSchema | None:
        """Return the newest schema of a subject; None if it has none."""
        body = await self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        return None if body is None else await self._resolved(body["id"], body)

    async def register(self, subject: str, type: str, text: str) -> int:
        """Register a schema and return its id; one that is there already keeps its id.

        Raises `Incompatible` if the registry refuses it.
        """
        body = {"schema": text} if type == "AVRO" else {"schema": text, "schemaType": type}
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        if answer is None:
            raise Unavailable(f"the Schema Registry has no subjects under {self._url}")
        return int(answer["id"])

    async def misfit(self, subject: str, type: str, text: str) -> str | None:
        """Return why a schema could not be registered; None if it could, or the subject is new."""
        body = {"schema": text, "schemaType": type}
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        answer = await self._ask("POST", path, body)
        if answer is None or answer["is_compatible"]:
            return None
        return "; ".join(map(str, answer.get("messages") or ["it is not compatible"]))

    async def _resolved(self, id: int, body: Mapping[str, Any]) -> WriterSchema:
        type, text = body.get("schemaType") or "AVRO", body["schema"]
        references: dict[str, str] = {}
        await self._refer(body.get("references") or (), references)
        if type == "PROTOBUF":
            return WriterSchema(id, type, compiled(text, references))
        return WriterSchema(id, type, text, tuple(references.items()))

    async def _refer(self, references: Sequence[Mapping[str, Any]], texts: dict[str, str]) -> None:
        """Add each schema after those that it refers to itself."""
        for reference in references:
            if reference["name"] in texts:
                continue
            subject, version = quote(reference["subject"], safe=""), reference["version"]
            body = await self._ask("GET", f"/subjects/{subject}/versions/{version}")
            if body is None:
                raise Incompatible(
                    f"the Schema Registry has no version {version} of {reference['subject']!r}, "
                    "which a schema refers to."
                )
            await self._refer(body.get("references") or (), texts)
            texts[reference["name"]] = body["schema"]

    async def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        assert self._session is not None
        data = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"Content-Type": CONTENT}
        try:
            async with self._session.request(
                verb, self._url + path, data=data, headers=headers, ssl=self._tls
            ) as answer:
                content = await _content(answer)
                if answer.status == NOT_FOUND:
                    return None
                if answer.status in (CONFLICT, UNPROCESSABLE):
                    raise Incompatible(
                        f"the Schema Registry refuses {path}: "
                        f"{content[:500].decode('utf-8', 'replace')}"
                    )
                if answer.status != 200:
                    raise Unavailable(f"the Schema Registry answered {answer.status} to {path}")
                return orjson.loads(content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(
                f"the Schema Registry at {self._url} does not answer ({type(error).__name__}). "
                "See SCHEMA_REGISTRY_URL."
            ) from error


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """Return the answer's body, which comes in pieces; raise `ValueError` if it is too large."""
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > SCHEMA_BYTES_MAX:
            raise ValueError(f"more than {SCHEMA_BYTES_MAX} bytes")
    return bytes(content)
