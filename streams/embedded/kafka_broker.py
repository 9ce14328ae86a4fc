"""One broker of an embedded Kafka: KRaft, broker and controller in one process, loopback only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from schemas.errors import Unavailable
from streams.config.project_dir import EMBEDDED_USER, write_secret
from streams.embedded.free_ports import LOOPBACK
from streams.embedded.jars import class_path
from streams.embedded.java import java_command
from streams.embedded.kafka_probe import brokers_in, is_answered, metadata_request
from streams.embedded.server import Server

FORMAT_TIMEOUT_S = 120

# Records up to 16 MB are accepted so that consumers meet those that are too large for them.
# A broker that was killed may register again only when its session has passed: 9 s unless set.
CONFIGURATION = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://{loopback}:{port},CONTROLLER://{loopback}:{controller_port}{front}
advertised.listeners=CLIENT://{loopback}:{port}{advertised}
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT,FRONT:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={login}
listener.name.controller.plain.sasl.jaas.config={login}
log.dirs=data
auto.create.topics.enable=false
delete.topic.enable=true
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
"""


LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{user}" password="{password}" user_{user}="{password}";'
)


@dataclass(frozen=True)
class Cluster:
    """What the brokers of one cluster share; ports are (client port, controller port) by node.

    Whoever connects gives `password`, brokers and controllers to each other, too. `fronts`: by node
    (port, advertised port) of one more listener, for what stands before it: that one asks for none.
    `settings` are further lines of each broker's configuration, `options` of its Java.
    """

    cluster_id: str
    ports: Mapping[int, tuple[int, int]]
    password: str
    heap_mb: int = 768
    fronts: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def voters(self) -> str:
        """Return the controller quorum as Kafka's configuration writes it."""
        return ",".join(f"{node}@{LOOPBACK}:{two}" for node, (_, two) in self.ports.items())

    @property
    def bootstrap_servers(self) -> str:
        """Return the address that clients connect to first."""
        return ",".join(f"{LOOPBACK}:{port}" for port, _ in self.ports.values())


class Broker(Server):
    """One node of a cluster, numbered from 1."""

    start_timeout_s = 120.0

    def __init__(self, folder: Path, node: int, cluster: Cluster) -> None:
        super().__init__(folder, cluster.ports[node][0])
        self.node = node
        self.cluster = cluster
        self.title = "Kafka" if len(cluster.ports) == 1 else f"Kafka broker {node}"

    @property
    def log(self) -> Path:
        """Return the broker's own log; before its logging is set up, its output."""
        own = self.folder / "kafka.log"
        return own if own.exists() else self.output

    def prepare(self, progress: Callable[[str], None]) -> list[str]:
        """Resolve and verify the jars, write the configuration, format the storage once."""
        jars = class_path(progress)
        self._write_configuration()
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(jars, progress)
        return self._command(jars, "kafka.Kafka", "server.properties")

    def answers(self) -> bool:
        """Return whether the broker lists itself as a live member of the cluster."""
        request = metadata_request(EMBEDDED_USER, self.cluster.password)
        return self.node in brokers_in(self.exchange(request, is_answered))

    def _write_configuration(self) -> None:
        replicas = min(3, len(self.cluster.ports))
        (self.folder / "tmp").mkdir(exist_ok=True)
        fronts = self.cluster.fronts.get(self.node, ())
        front, advertised = [f",FRONT://{LOOPBACK}:{port}" for port in fronts] or ("", "")
        text = CONFIGURATION.format(
            node=self.node,
            voters=self.cluster.voters,
            loopback=LOOPBACK,
            port=self.port,
            controller_port=self.cluster.ports[self.node][1],
            front=front,
            advertised=advertised,
            replicas=replicas,
            in_sync=max(1, replicas - 1),
            login=LOGIN.format(user=EMBEDDED_USER, password=self.cluster.password),
        )
        # Of a name that is there twice, Java takes the last.
        text += "".join(f"{name}={value}\n" for name, value in self.cluster.settings.items())
        write_secret(self.folder / "server.properties", text)
        logging = files(__package__).joinpath("log4j2.xml").read_text("utf-8")
        (self.folder / "log4j2.xml").write_text(logging, "utf-8")

    def _format(self, jars: str, progress: Callable[[str], None]) -> None:
        progress(f"formatting the storage of {self.title}")
        arguments = ("format", "-t", self.cluster.cluster_id, "-c", "server.properties")
        done = subprocess.run(
            self._command(jars, "kafka.tools.StorageTool", *arguments),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FORMAT_TIMEOUT_S,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(
                f"The storage of {self.title} in {self.folder} could not be formatted:\n"
                f"{done.stdout[-2000:]}\n`riverrun down --purge` starts from nothing."
            )

    def _command(self, jars: str, main: str, *arguments: str) -> list[str]:
        options = (
            f"-Xmx{self.cluster.heap_mb}m",
            # The marker by which a person finds this process in `ps`.
            f"-Driverrun.home={self.folder.parent}",
            "-Dlog4j2.configurationFile=log4j2.xml",
            "-Djava.io.tmpdir=tmp",
            *self.cluster.options,
        )
        return java_command(jars, main, *arguments, options=options)
