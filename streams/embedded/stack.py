"""Kafka and Redis of one project folder: started, found again, stopped, purged."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.errors import Incompatible, Unavailable
from streams.embedded import record as records
from streams.embedded.handle import Handle
from streams.embedded.kafka import Broker, Cluster
from streams.embedded.ports import LOOPBACK, free_ports, is_free
from streams.embedded.process import STOP_GRACE_S, Identity, is_alive, server_name, servers_in, stop
from streams.embedded.record import Record
from streams.embedded.redis import Redis
from streams.embedded.server import Server
from streams.home import remove_home

PURGE_GRACE_S = 1.0  # nothing has to be kept
ANSWER_AGAIN_S = 30.0  # for a server that was found running
START_ATTEMPTS = 3
PORT_TAKEN = "ddress already in use"
BROKER = "kafka-{}"
REDIS = "redis"
OURS = (REDIS, BROKER.format("[0-9]*"), "stack.json*", "stack.lock", "snapshot.key*")


def silent(_: str) -> None:
    """Progress that nobody wants to hear."""


@dataclass(frozen=True)
class Endpoints:
    """Where a stack answers; `started` says whether this call had to start anything."""

    bootstrap_servers: str
    redis_url: str
    started: bool = False


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
            found = [s for s in self.servers(record) if _runs(record, s.name)]
            for server in found:
                server.wait(record.processes[server.name], ANSWER_AGAIN_S)
            if len(found) <= len(record.ports):
                record = self._start_missing(record, progress)
                return replace(_endpoints(record), started=True)
            return _endpoints(record)

    def down(self, purge: bool = False, progress: Callable[[str], None] = silent) -> list[str]:
        """Stop the folder's servers, recorded or not, and with `purge` remove its data.

        Returns what was stopped, as people read it. Bounded: a server that does not end in 20 s is
        killed.
        """
        if not self.home.is_dir() and not any(servers_in(self.home)):
            return []
        with records.exclusive(self.home, progress):
            found = list(servers_in(self.home))
            named = [f"{server_name(p)} (pid {p.pid})" for p in found]
            if named:
                progress(f"stopping {', '.join(named)}")
            grace_s = PURGE_GRACE_S if purge else STOP_GRACE_S
            stop([Identity(p.pid, p.create_time()) for p in found], grace_s=grace_s)
            if purge:
                remove_home(self.home, OURS)
            elif record := records.load(self.home):
                records.save(self.home, replace(record, processes={}))
            return named

    def find(self) -> Endpoints | None:
        """Where the folder's servers answer, or None unless all of them do."""
        record = records.load(self.home)
        if record is None or not all(_runs(record, s.name) for s in self.servers(record)):
            return None
        return _endpoints(record) if all(s.answers() for s in self.servers(record)) else None

    def broker(self, node: int) -> Handle:
        """One broker, numbered from 1, to be killed and started again."""
        return Handle(self, BROKER.format(node))

    def redis(self) -> Handle:
        """The Redis, to be killed and started again."""
        return Handle(self, REDIS)

    def _record(self) -> Record:
        record = records.load(self.home)
        if record is None:
            return _new_record(self.brokers or 1)
        if self.brokers not in (None, len(record.ports)):
            raise Incompatible(
                f"{self.home} holds {len(record.ports)} broker(s), not {self.brokers}. Take "
                "another folder, or remove it with `riverrun down --purge`."
            )
        return record

    def servers(self, record: Record) -> list[Server]:
        """The servers that a record describes: Redis, then the brokers."""
        heap_mb = 768 if len(record.ports) == 1 else 384
        cluster = Cluster(record.cluster_id, record.ports, heap_mb, self.fronts)
        redis = Redis(self.home / REDIS, record.redis_port)
        brokers = [Broker(self.home / BROKER.format(n), n, cluster) for n in record.ports]
        return [redis, *brokers]

    def _refuse_strangers(self, record: Record) -> None:
        known = {identity.pid for identity in record.processes.values()}
        for process in servers_in(self.home):
            if process.pid not in known:
                raise Incompatible(
                    f"An orphaned {server_name(process)} runs in {self.home} without a record "
                    f"of it: pid {process.pid}. End it with `riverrun down`, or `kill "
                    f"{process.pid}`, and start again."
                )

    def _start_missing(self, record: Record, progress: Callable[[str], None]) -> Record:
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

    def start(self, record: Record, names: set[str], progress: Callable[[str], None]) -> Record:
        """Start the named servers on the record's ports, together; the folder's lock is held."""
        servers = [s for s in self.servers(record) if s.name in names]
        for server in servers:
            record = record.running(server.name, server.start(progress))
            records.save(self.home, record)
        for server in servers:
            server.wait(record.processes[server.name])
        return record


def _endpoints(record: Record) -> Endpoints:
    servers = Cluster(record.cluster_id, record.ports).bootstrap_servers
    return Endpoints(servers, f"redis://{LOOPBACK}:{record.redis_port}/0")


def _runs(record: Record, name: str) -> bool:
    return is_alive(record.processes.get(name))


def _ports(record: Record, names: Iterable[str]) -> list[int]:
    wanted = set(names)
    ports = [p for n, two in record.ports.items() if BROKER.format(n) in wanted for p in two]
    return [*ports, record.redis_port] if REDIS in wanted else ports


def _with_free_ports(record: Record, missing: set[str]) -> Record:
    """The record with the ports that it had, or new ones for those that are taken."""
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


def _new_record(brokers: int) -> Record:
    ports = free_ports(2 * brokers + 1)
    by_node = {n: (ports[2 * n - 2], ports[2 * n - 1]) for n in range(1, brokers + 1)}
    # Like Kafka's own ids; the letter in front keeps it from looking like an option.
    cluster_id = "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    return Record(cluster_id, by_node, ports[-1])
