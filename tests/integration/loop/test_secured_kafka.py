"""A whole loop on a Kafka that asks for tokens, SCRAM or certificates, and has access lists.

Each session lasts four seconds and each token six, so a run of a quarter of a minute authenticates
every connection several times.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # it lists no exports
from redis import Redis

from streams.config.settings import Settings
from streams.credentials.reauthentication import ReauthenticatingConnection
from streams.credentials.token_provider import provider_of
from streams.doctor import server_checks
from streams.doctor.grant_checks import check_grants, check_token
from streams.embedded import Endpoints
from streams.embedded.free_ports import LOOPBACK
from streams.telemetry import worker_status
from tests.support.loop import SOURCE, Loop, parcels
from tests.support.servers.foreign_parcels import DELIVERED, SENT, ForeignProducer, adopting
from tests.support.servers.secured_kafka import (
    CLIENT,
    KEY_PASSWORD,
    SCOPE,
    SECRET,
    SecuredKafka,
    secured_kafka,
)

pytestmark = pytest.mark.integration

TOKEN_S = 6.0
GRANTS = {
    "TOPIC": ("READ", "WRITE", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"),
    "GROUP": ("READ", "DESCRIBE"),
    "TRANSACTIONAL_ID": ("WRITE", "DESCRIBE"),
}
PASSWORD = "scram password"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """The servers of this module."""
    with secured_kafka(tmp_path_factory.mktemp("secured"), TOKEN_S) as stack:
        yield stack


def environment_of(kafka: SecuredKafka, listener: str) -> dict[str, str]:
    """The settings with which a worker connects to a listener."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.address(listener),
        "KAFKA_SECURITY_PROTOCOL": "SSL" if listener == "mutual" else "SASL_SSL",
        "KAFKA_SSL_CAFILE": str(kafka.certificates.ca),
    }
    if listener == "oauth":
        settings |= {
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_TOKEN_SOURCE": "oidc",
            "KAFKA_SASL_OAUTH_TOKEN_URL": f"{kafka.issuer.url}/token",
            "KAFKA_SASL_OAUTH_CLIENT_ID": CLIENT,
            "KAFKA_SASL_OAUTH_CLIENT_SECRET": SECRET,
            "KAFKA_SASL_OAUTH_SCOPE": SCOPE,
        }
    elif listener == "scram":
        settings |= {
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": "clerk",
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }
    else:
        settings |= {
            "KAFKA_SSL_CERTFILE": str(kafka.certificates.client),
            "KAFKA_SSL_KEYFILE": str(kafka.certificates.key),
            "KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
        }
    return settings


def loop_on(
    kafka: SecuredKafka, listener: str, folder: Path, source: str = SOURCE, **changed: str
) -> Loop:
    """A loop whose commands and workers connect there."""
    endpoints = kafka.find()
    assert endpoints is not None
    loop = Loop(replace(endpoints, kafka_password=None), folder, source)
    environment = environment_of(kafka, listener) | changed
    fields: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
    loop.settings = Settings(
        **fields,
        redis_url=endpoints.redis_url,
        riverrun_home=folder / "home",
        riverrun_topic_prefix=loop.prefix,
        _env_file=None,
    )
    loop.environment |= environment
    return loop


def granted(kafka: SecuredKafka, loop: Loop, user: str) -> None:
    """Grant a user what the documentation says that a worker needs."""
    kafka.allow(user, loop.prefix, {"TOPIC": GRANTS["TOPIC"]})
    rest = {name: GRANTS[name] for name in ("GROUP", "TRANSACTIONAL_ID")}
    kafka.allow(user, f"riverrun.{loop.prefix}", rest)


async def recoveries(loop: Loop) -> list[int]:
    """How often each partition of the worker has recovered."""
    group = f"riverrun.{loop.prefix}parcels"
    status = await worker_status.read(loop.settings.redis_address(), group)
    return [partition["recoveries"] for worker in status for partition in worker["partitions"]]


@contextmanager
def token_file(kafka: SecuredKafka, folder: Path) -> Iterator[dict[str, str]]:
    """Keep a token in a file, renewed as Kubernetes does; gives the settings that name it."""
    file, over = folder / "token", threading.Event()

    def renew() -> None:
        while not over.is_set():
            (folder / "next").write_text(kafka.issuer.token())
            (folder / "next").replace(file)
            over.wait(TOKEN_S / 3)

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield {"KAFKA_SASL_TOKEN_SOURCE": "file", "KAFKA_SASL_TOKEN_FILE": str(file)}
    finally:
        over.set()
        renewing.join()


@pytest.mark.parametrize("listener", ["oauth", "scram", "token file"])
async def test_sessions_are_renewed_under_load_without_a_recovery(
    kafka: SecuredKafka, listener: str, tmp_path: Path
) -> None:
    """A worker outlives many sessions and tokens: every event is answered, each partition recovers
    once, at the start.
    """
    with ExitStack() as renewed:
        if listener != "token file":
            await _outlives_sessions(kafka, listener, tmp_path, {})
        else:
            settings = renewed.enter_context(token_file(kafka, tmp_path))
            await _outlives_sessions(kafka, "oauth", tmp_path, settings)


async def _outlives_sessions(
    kafka: SecuredKafka, listener: str, tmp_path: Path, changed: dict[str, str]
) -> None:
    loop = loop_on(kafka, listener, tmp_path, **changed)
    if listener == "scram":
        kafka.add_user("clerk", PASSWORD)
    granted(kafka, loop, "clerk" if listener == "scram" else CLIENT)
    rows = parcels(300)  # of two days, within twelve seconds
    issued = kafka.issuer.issued
    try:
        loop.start()
        while await recoveries(loop) != [1, 1]:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.2)
        await loop.publish(rows, speed=15_000.0)
        await loop.wait_for("examples", {row["event_id"] for kind, row in rows if kind == "event"})
        assert await recoveries(loop) == [1, 1]
        if listener == "oauth":
            assert kafka.issuer.issued - issued >= 4
        loop.stop()
        assert loop.log().count("live at entry") == 2
    finally:
        loop.close()


async def test_one_producer_renews_its_sessions_in_the_midst_of_transactions(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    """Transactions follow each other without a pause and none fails; each record is there once."""
    loop = loop_on(kafka, "oauth", tmp_path)
    kafka.allow(CLIENT, loop.prefix, {**GRANTS, "TOPIC": ("ALL",)})
    topic = f"{loop.prefix}sent"
    for future in kafka.admin.create_topics([NewTopic(topic, 1)]).values():
        future.result(30)
    client = loop.settings.kafka_client()
    producer = AIOKafkaProducer(**client, transactional_id=f"{loop.prefix}id", acks="all")
    await producer.start()
    try:
        count, until = 0, monotonic() + 120
        connections: list[Any] = []
        while max((one.renewals for one in connections), default=0) < 2:
            assert monotonic() < until
            async with producer.transaction():
                sending = [await producer.send(topic, b"%d" % (count + n)) for n in range(5)]
                await asyncio.gather(*sending)
            count += 5
            connections = list(producer.client._conns.values())
        assert all(isinstance(one, ReauthenticatingConnection) for one in connections)
    finally:
        await producer.stop()
    loop.names = {"sent": topic}
    assert [int(r.value) for r in await loop.records("sent")] == list(range(count))


async def test_a_certificate_with_an_encrypted_key_is_who_riverrun_is(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    """Mutual TLS: its subject has the grants, and the worker answers."""
    loop = loop_on(kafka, "mutual", tmp_path)
    granted(kafka, loop, CLIENT)
    rows = parcels(20)
    try:
        loop.start()
        await loop.publish(rows)
        await loop.wait_for("examples", {row["event_id"] for kind, row in rows if kind == "event"})
        loop.stop()
    finally:
        loop.close()


def test_doctor_names_the_grant_that_is_missing(kafka: SecuredKafka, tmp_path: Path) -> None:
    """Topic, group and transactional id are named with the operation; with all, there is none."""
    loop = loop_on(kafka, "oauth", tmp_path)
    before = list(check_grants(loop.loaded, loop.settings))
    text = "\n".join(f"{f.cause} / {f.remedy}" for f in before)
    assert not any(f.ok for f in before)
    name, group = f"{loop.prefix}parcels", f"riverrun.{loop.prefix}parcels"
    operations = "DESCRIBE, DESCRIBE_CONFIGS, READ and WRITE"
    assert f"Grant {operations} on topic {name}.predictions to this user." in text
    assert f"no READ on group {group}" in text
    assert f"transactional ids with the prefix {group}-" in text
    granted(kafka, loop, CLIENT)
    after = list(check_grants(loop.loaded, loop.settings))
    assert [f.cause for f in after] == ["all that workers of parcels need"]


async def test_a_source_needs_read_and_describe_and_doctor_names_them(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    """Without them on the topics of others `doctor` names each; with them, and nothing else on
    those topics, the worker relays, answers and learns, and its proof holds.
    """
    foreign = f"foreign-{tmp_path.name}."
    loop = loop_on(kafka, "scram", tmp_path, source=adopting(foreign))
    kafka.add_user("clerk", PASSWORD)

    async def causes_are(*expected: str) -> None:
        """Wait until that is what is found: grants take a moment."""
        causes: list[str] = []
        while causes != list(expected):
            results = await asyncio.to_thread(lambda: list(check_grants(loop.loaded, settings)))
            causes = [result.cause for result in results]

    settings = loop.settings
    topics = [NewTopic(foreign + name, 2) for name in (SENT, DELIVERED)]
    for created in kafka.admin.create_topics(topics).values():
        created.result(30)
    granted(kafka, loop, "clerk")
    named = sorted((foreign + DELIVERED, foreign + SENT))
    lacking = "no DESCRIBE and READ on topic {}, which the use case reads"
    await causes_are(*map(lacking.format, named))
    kafka.allow("clerk", foreign, {"TOPIC": ("READ", "DESCRIBE")})
    await causes_are("all that workers of parcels need")
    rows = parcels(30)
    producer = ForeignProducer("", foreign, client=kafka.admin_settings)
    try:
        loop.start()
        await asyncio.to_thread(producer.publish, rows)
        await loop.wait_for("examples", {row["event_id"] for kind, row in rows if kind == "event"})
        loop.stop()
        proof = loop.run("verify", str(loop.file), "--all", "--json")
        assert (proof["relayed"]["checked"], proof["proved"]) == (60, True)
    finally:
        loop.close()


def test_doctor_names_the_scope_that_is_missing(kafka: SecuredKafka, tmp_path: Path) -> None:
    """What the token endpoint refuses, and what the broker does, are said in their words."""
    loop = loop_on(kafka, "oauth", tmp_path, KAFKA_SASL_OAUTH_SCOPE="other")
    (finding,) = check_token(loop.settings)
    assert "invalid_scope" in finding.cause
    assert "KAFKA_SASL_OAUTH_SCOPE" in finding.cause
    forged = tmp_path / "token"
    forged.write_text("not-a-token")
    loop.settings = loop.settings.model_copy(
        update={"kafka_sasl_token_source": "file", "kafka_sasl_token_file": forged}
    )
    findings = server_checks.check_kafka(loop.settings)
    assert not findings.ok
    assert "invalid_token" in findings.cause
    wrong = loop_on(kafka, "scram", tmp_path, KAFKA_SASL_PASSWORD="wrong")
    findings = server_checks.check_kafka(wrong.settings)
    assert "Authentication failed" in findings.cause
    provider_of.cache_clear()


async def test_redis_by_tls_with_a_certificate_and_a_user_of_its_access_lists(
    kafka: SecuredKafka, stack: Endpoints, tmp_path: Path
) -> None:
    """CA file, client certificate with an encrypted key, and an ACL user reach a Redis; without
    the certificate nothing does.
    """
    folder = tmp_path
    password = stack.redis_url.rpartition("@")[0].rpartition(":")[2]
    port = int(stack.redis_url.rpartition(":")[2].partition("/")[0])
    user = f"riverrun{folder.name}"
    with Redis.from_url(stack.redis_url) as admin:
        grants = ["+@all", "-@admin", "-@dangerous", "+info", "~riverrun:*"]
        admin.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", *grants)
    assert password
    context: ssl.SSLContext = kafka.certificates.server_context()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, ours = await asyncio.open_connection(LOOPBACK, port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(
            pump(reader, ours), pump(server_reader, writer), return_exceptions=True
        )

    server = await asyncio.start_server(pass_on, LOOPBACK, 0, ssl=context)
    tls_port = server.sockets[0].getsockname()[1]
    settings = Settings(
        kafka_bootstrap_servers="k:9092",
        redis_url=f"rediss://{user}:{PASSWORD.replace(' ', '%20')}@{LOOPBACK}:{tls_port}/0",
        redis_ssl_cafile=kafka.certificates.ca,
        redis_ssl_certfile=kafka.certificates.client,
        redis_ssl_keyfile=kafka.certificates.key,
        redis_ssl_key_password=KEY_PASSWORD,
        _env_file=None,
    )
    try:
        findings = await asyncio.to_thread(lambda: list(server_checks.check_redis(settings)))
        assert next(f.cause for f in findings if f.check == "redis").startswith("rediss://"), (
            findings
        )
        assert all(f.ok for f in findings if f.check.startswith("redis")), findings
        bare = settings.model_copy(update={"redis_ssl_certfile": None, "redis_ssl_keyfile": None})
        findings = await asyncio.to_thread(lambda: list(server_checks.check_redis(bare)))
        assert not findings[0].ok
    finally:
        server.close()
        with Redis.from_url(stack.redis_url) as admin:
            admin.execute_command("ACL", "DELUSER", user)
