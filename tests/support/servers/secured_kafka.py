"""An embedded Kafka that asks for more: tokens, SCRAM or certificates over TLS, and access lists.

Sessions end after seconds, so that clients have to authenticate again. Tokens come from an issuer
in this process; the broker reads its keys.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it lists no exports
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from streams.config.project_dir import EMBEDDED_USER
from streams.embedded import Stack
from streams.embedded.free_ports import LOOPBACK, free_ports
from streams.embedded.kafka_broker import Broker
from streams.embedded.server import Server
from streams.embedded.stack_file import StackRecord

SESSION_MS = 4_000
LISTENERS = ("oauth", "scram", "mutual")
SECURITY = {"oauth": "SASL_SSL", "scram": "SASL_SSL", "mutual": "SSL"}
CLIENT, SECRET, SCOPE, AUDIENCE = "worker", "client secret", "kafka", "riverrun"
KEY_PASSWORD = "of the key"
_MODULE = "org.apache.kafka.common.security.{}LoginModule required;"


class Issuer:
    """A token endpoint with the client credentials grant, and the keys it signs with."""

    def __init__(self, life_s: float) -> None:
        self.life_s = life_s
        self.issued = 0
        self.asked: list[dict[str, str]] = []
        self.failing = False
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, subject: str = CLIENT) -> str:
        """Sign a token."""
        self.issued += 1
        now = time.time()
        claims = {"sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + self.life_s}
        return jwt.encode({**claims, "scope": SCOPE}, self._key, "RS256", {"kid": "one"})

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token as RFC 6749 has it."""
        import base64

        self.asked.append(dict(form))
        pair = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        if self.failing:
            return 503, {}
        asserted = form.get("client_assertion")
        if asserted is None and authorization != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        if form.get("scope") != SCOPE:
            return 400, {"error": "invalid_scope", "error_description": "no such scope"}
        return 200, {"access_token": self.token(), "expires_in": self.life_s}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._send(*issuer.answer(form, self.headers.get("Authorization", "")))

            def do_GET(self) -> None:
                algorithm = jwt.algorithms.RSAAlgorithm
                key = json.loads(algorithm.to_jwk(issuer._key.public_key()))
                self._send(200, {"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]})

            def _send(self, code: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class Certificates:
    """A certificate authority; the files of a server and of a client, its key encrypted."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server = authority.issue_cert(LOOPBACK, "localhost")
        client = authority.issue_cert("worker@example.org", common_name=CLIENT)
        self.ca, self.server = folder / "ca.pem", folder / "server.pem"
        self.client, self.key = folder / "client.pem", folder / "client.key"
        authority.cert_pem.write_to_path(self.ca)
        chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
        self.server.write_bytes(_pkcs8(server, None) + chain)
        self.client.write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
        self.key.write_bytes(_pkcs8(client, KEY_PASSWORD))

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server that asks for a client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def _pkcs8(issued: trustme.LeafCert, password: str | None) -> bytes:
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        hidden = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


class SecuredKafka(Stack):
    """The embedded servers, with a listener for each of LISTENERS, and access lists."""

    def __init__(self, home: Path, issuer: Issuer, certificates: Certificates) -> None:
        super().__init__(home)
        self.issuer = issuer
        self.certificates = certificates
        self.listeners: dict[str, int] = {}

    def _record(self) -> StackRecord:
        record = super()._record()
        if not self.listeners:
            taken = [record.redis_port, *(port for two in record.ports.values() for port in two)]
            ports = free_ports(len(LISTENERS), avoid=taken)
            self.listeners = dict(zip(LISTENERS, ports, strict=True))
        return record

    def address(self, listener: str) -> str:
        """Return the bootstrap address of a listener."""
        return f"{LOOPBACK}:{self.listeners[listener]}"

    def servers(self, record: StackRecord) -> list[Server]:
        """Return the servers, the broker with its further listeners."""
        servers = super().servers(record)
        for server in servers:
            if isinstance(server, Broker):
                keys = f"{self.issuer.url}/keys"
                server.cluster = replace(
                    server.cluster,
                    settings=self._settings(record.ports[server.node]),
                    options=(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}",),
                )
        return servers

    def _settings(self, ports: tuple[int, int]) -> dict[str, str]:
        more = "".join(f",{n.upper()}://{LOOPBACK}:{p}" for n, p in self.listeners.items())
        own = f"CLIENT://{LOOPBACK}:{ports[0]}"
        protocols = "".join(f",{name.upper()}:{SECURITY[name]}" for name in LISTENERS)
        oauth, scram = "listener.name.oauth.oauthbearer.", "listener.name.scram.scram-sha-512."
        validator = "OAuthBearerValidatorCallbackHandler"
        return {
            "listeners": f"{own},CONTROLLER://{LOOPBACK}:{ports[1]}{more}",
            "advertised.listeners": f"{own}{more}",
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
            + protocols,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{EMBEDDED_USER}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.ca),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": r"RULE:^.*CN=([^,]+).*$/$1/",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{oauth}sasl.jaas.config": _MODULE.format("oauthbearer.OAuthBearer"),
            f"{oauth}sasl.server.callback.handler.class": "org.apache.kafka.common.security."
            f"oauthbearer.{validator}",
            f"{oauth}connections.max.reauth.ms": str(SESSION_MS),
            "sasl.oauthbearer.jwks.endpoint.url": f"{self.issuer.url}/keys",
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{scram}sasl.jaas.config": _MODULE.format("scram.Scram"),
            f"{scram}connections.max.reauth.ms": str(SESSION_MS),
        }

    @cached_property
    def admin(self) -> AdminClient:
        """A client of the user who may do everything."""
        return AdminClient(self.admin_settings)

    @property
    def admin_settings(self) -> dict[str, str]:
        """Return that user's settings for a client of librdkafka."""
        endpoints = self.find()
        assert endpoints is not None
        return {
            "bootstrap.servers": endpoints.bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": EMBEDDED_USER,
            "sasl.password": str(endpoints.kafka_password),
        }

    def add_user(self, name: str, password: str) -> None:
        """Make a SCRAM user."""
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        upsert = UserScramCredentialUpsertion(name, mechanism, password.encode())
        for done in self.admin.alter_user_scram_credentials([upsert]).values():
            done.result(30)

    def allow(self, user: str, prefix: str, operations: Mapping[str, tuple[str, ...]]) -> None:
        """Grant operations on topics, groups and transactional ids that begin with a prefix."""
        bindings = [
            AclBinding(
                ResourceType[resource],
                prefix,
                ResourcePatternType.PREFIXED,
                f"User:{user}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for resource, names in operations.items()
            for operation in names
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result(30)


@contextmanager
def secured_kafka(folder: Path, life_s: float) -> Iterator[SecuredKafka]:
    """Start one in a folder, with tokens that live for so long; stop it at the end."""
    issuer = Issuer(life_s)
    stack = SecuredKafka(folder / "home", issuer, Certificates(folder))
    try:
        stack.up()
        yield stack
    finally:
        stack.__dict__.pop("admin", None)  # else librdkafka says that its broker is gone
        stack.down(purge=True)
        issuer.close()
