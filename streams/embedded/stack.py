"""Kafka and Redis of one project folder: started, reused, stopped, purged."""

from __future__ import annotations

import base64
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas.errors import Incompatible, Unavailable
from streams.config.project_dir import EMBEDDED_USER, remove_home, secret_of, write_secret
from streams.embedded import stack_file as records
from streams.embedded.fault_injection import Handle
from streams.embedded.free_ports import LOOPBACK, free_ports, is_free
from streams.embedded.kafka_broker import Broker, Cluster
from streams.embedded.process import (
    STOP_GRACE_S,
    identities_of,
    is_alive,
    server_name,
    servers_in,
    stop,
)
from streams.embedded.redis_server import Redis
from streams.embedded.server import Server
from streams.embedded.stack_file import StackRecord

PURGE_GRACE_S = 1.0  # nothing has to be kept
ANSWER_AGAIN_S = 30.0  # for a server that was running already
START_ATTEMPTS = 3
PORT_TAKEN = "ddress already in use"
BROKER = "kafka-{}"
REDIS = "redis"
PASSWORD = "server.password"
"""Made once, as the snapshot key is, and readable by the folder's owner alone."""
CLIENTS, KCAT = "client.env", "kcat.conf"
CLIENT_ENV = """\
# . this file
export KAFKA={servers}
export SASL_USERNAME={user}
export SASL_PASSWORD={password}
export KCAT_CONFIG={kcat}
"""
KCAT_CONF = """\
security.protocol=sasl_plaintext
sasl.mechanisms=PLAIN
sasl.username={user}
sasl.password={password}
"""
OURS = (
    REDIS,
    BROKER.format("[0-9]*"),
    "stack.json*",
    "stack.lock",
    "snapshot.key*",
    "demo.log",
    f"{PASSWORD}*",
    CLIENTS,
    KCAT,
)


def silent(_: str) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Endpoints:
    """Where a stack answers; `started` says whether this call had to start anything. Redis' address
    holds its password; Kafka asks EMBEDDED_USER for its own by SASL PLAIN, or if None, for none.
    """

    bootstrap_servers: str
    redis_url: str
    started: bool = False
    kafka_password: str | None = None

    def kafka_client(self) -> dict[str, Any]:
        """Return the connection arguments of an aiokafka client."""
        client = {"bootstrap_servers": self.bootstrap_servers}
        if self.kafka_password is None:
            return client
        return client | {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": EMBEDDED_USER,
            "sasl_plain_password": self.kafka_password,
        }


class Stack:
    """The embedded servers of one folder. Several stacks, each in its folder, do not meet.

    `brokers` is the number of Kafka brokers (1 or 3), fixed when the folder is first used; `fronts`
    gives some a listener more (Cluster).
    All methods may be called from any process, also at the same time.

    up → (find | broker(i) | redis())* → down
    """

    def __init__(
        self,
        home: Path,
        brokers: int | None = None,
        fronts: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self.home = Path(home).absolute()
        self.brokers = brokers
        self.fronts = fronts or {}

    def up(self, progress: Callable[[str], None] = silent) -> Endpoints:
        """Start whatever does not run yet and return once everything answers.

        Raises `Unavailable` if a server does not start, `Incompatible` if the folder's servers,
        data or jars do not fit; what was started before the error keeps running.
        """
        with records.exclusive(self.home, progress):
            record = self._record()
            self._refuse_strangers(record)
            live = [s for s in self.servers(record) if _runs(record, s.name)]
            for server in live:
                server.wait(record.processes[server.name], ANSWER_AGAIN_S)
            if len(live) <= len(record.ports):
                record = self._start_missing(record, progress)
                self._write_clients(self._endpoints(record))
                return replace(self._endpoints(record), started=True)
            return self._endpoints(record)

    def down(self, purge: bool = False, progress: Callable[[str], None] = silent) -> list[str]:
        """Stop the folder's servers, recorded or not, and with `purge` remove its data.

        Returns what was stopped, as people read it. Bounded: a server that does not end in 20 s is
        killed.
        """
        if not self.home.is_dir() and not any(servers_in(self.home)):
            return []
        with records.exclusive(self.home, progress):
            orphans = list(servers_in(self.home))
            named = [f"{server_name(p)} (pid {p.pid})" for p in orphans]
            if named:
                progress(f"stopping {', '.join(named)}")
            grace_s = PURGE_GRACE_S if purge else STOP_GRACE_S
            stop(identities_of(orphans), grace_s=grace_s)
            if purge:
                remove_home(self.home, OURS)
            elif record := records.load(self.home):
                records.save(self.home, replace(record, processes={}))
            return named

    def find(self) -> Endpoints | None:
        """Return the addresses of the folder's servers, or None unless its Kafka answers.

        Without its Redis acts and reading go on; who needs it says that it does not answer.
        """
        record = records.load(self.home)
        if record is None:
            return None
        brokers = [server for server in self.servers(record) if server.name != REDIS]
        return self._endpoints(record) if all(s.answers() for s in brokers) else None

    def broker(self, node: int) -> Handle:
        """Return one broker, numbered from 1, to be killed and started again."""
        return Handle(self, BROKER.format(node))

    def redis(self) -> Handle:
        """Return the Redis, to be killed and started again."""
        return Handle(self, REDIS)

    def _record(self) -> StackRecord:
        record = records.load(self.home)
        if record is None:
            return _new_record(self.brokers or 1)
        if self.brokers not in (None, len(record.ports)):
            raise Incompatible(
                f"{self.home} holds {len(record.ports)} broker(s), not {self.brokers}. Take "
                "another folder, or remove it with `riverrun down --purge`."
            )
        return record

    def servers(self, record: StackRecord) -> list[Server]:
        """Return the servers that a record describes: Redis, then the brokers."""
        heap_mb = 768 if len(record.ports) == 1 else 384
        password = self.password()
        cluster = Cluster(record.cluster_id, record.ports, password, heap_mb, self.fronts)
        redis = Redis(self.home / REDIS, record.redis_port, password)
        brokers = [Broker(self.home / BROKER.format(n), n, cluster) for n in record.ports]
        return [redis, *brokers]

    def _endpoints(self, record: StackRecord) -> Endpoints:
        password = self.password()
        servers = Cluster(record.cluster_id, record.ports, password).bootstrap_servers
        redis_url = f"redis://:{password}@{LOOPBACK}:{record.redis_port}/0"
        return Endpoints(servers, redis_url, kafka_password=password)

    def _write_clients(self, endpoints: Endpoints) -> None:
        """Write what a shell, kcat and other programs need; for the folder's owner alone."""
        password, kcat = self.password(), self.home / KCAT
        write_secret(kcat, KCAT_CONF.format(user=EMBEDDED_USER, password=password))
        text = CLIENT_ENV.format(
            servers=endpoints.bootstrap_servers,
            user=EMBEDDED_USER,
            password=password,
            kcat=shlex.quote(str(kcat)),
        )
        write_secret(self.home / CLIENTS, text)

    def password(self) -> str:
        """Return the password of the servers."""
        return secret_of(self.home / PASSWORD)

    def _refuse_strangers(self, record: StackRecord) -> None:
        known = {identity.pid for identity in record.processes.values() if is_alive(identity)}
        for process in servers_in(self.home):
            if process.pid not in known:
                raise Incompatible(
                    f"An orphaned {server_name(process)} runs in {self.home} without a record "
                    f"of it: pid {process.pid}. End it with `riverrun down`, or `kill "
                    f"{process.pid}`, and start again."
                )

    def _start_missing(self, record: StackRecord, progress: Callable[[str], None]) -> StackRecord:
        """Start all that does not run; a port lost to another program meanwhile: once more."""
        for name, identity in record.processes.items():
            if not is_alive(identity):
                progress(f"{name} (pid {identity.pid}) had ended; starting it again")
        for attempt in range(1, START_ATTEMPTS + 1):
            names = {s.name for s in self.servers(record) if not _runs(record, s.name)}
            record = _with_free_ports(record, names)
            try:
                return self.start(record, names, progress)
            except Unavailable as error:
                if PORT_TAKEN not in str(error) or attempt == START_ATTEMPTS:
                    raise
            record = records.load(self.home) or record
        raise AssertionError("the last attempt returns or raises")

    def start(
        self, record: StackRecord, names: set[str], progress: Callable[[str], None]
    ) -> StackRecord:
        """Start the named servers on the record's ports, together; the folder's lock is held."""
        servers = [s for s in self.servers(record) if s.name in names]
        for server in servers:
            record = record.running(server.name, server.start(progress))
            records.save(self.home, record)
        for server in servers:
            server.wait(record.processes[server.name])
        return record


def _runs(record: StackRecord, name: str) -> bool:
    return is_alive(record.processes.get(name))


def _ports(record: StackRecord, names: Iterable[str]) -> list[int]:
    wanted = set(names)
    ports = [p for n, two in record.ports.items() if BROKER.format(n) in wanted for p in two]
    return [*ports, record.redis_port] if REDIS in wanted else ports


def _with_free_ports(record: StackRecord, missing: set[str]) -> StackRecord:
    """Return the record with its ports, those that are taken replaced by free ones."""
    taken = [p for p in _ports(record, missing) if not is_free(p)]
    if not taken:
        return record
    brokers = {BROKER.format(n) for n in record.ports}
    if missing & brokers and not brokers <= missing and set(taken) - {record.redis_port}:
        raise Unavailable(
            f"Port {taken[0]}, which a broker needs again, is taken by another program. `riverrun "
            "down` and `riverrun up` choose new ports."
        )
    used = _ports(record, [REDIS, *brokers])
    new = dict(zip(taken, free_ports(len(taken), avoid=used), strict=True))
    ports = {n: (new.get(a, a), new.get(b, b)) for n, (a, b) in record.ports.items()}
    return replace(record, ports=ports, redis_port=new.get(record.redis_port, record.redis_port))


def _new_record(brokers: int) -> StackRecord:
    ports = free_ports(2 * brokers + 1)
    by_node = {n: (ports[2 * n - 2], ports[2 * n - 1]) for n in range(1, brokers + 1)}
    # Like Kafka's own ids; the letter in front keeps it from looking like an option.
    cluster_id = "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    return StackRecord(cluster_id, by_node, ports[-1])
