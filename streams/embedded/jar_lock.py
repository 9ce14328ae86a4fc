"""The jars that an embedded Kafka is made of, each with its SHA-256, as committed.

`kafka.lock.toml` is the only word on what runs: nothing is resolved when a server starts. The file
is written by one command, `python -m streams.embedded.jar_lock`, which resolves `ROOTS` again.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

KAFKA_VERSION = "4.2.1"
SCALA = "2.13"
ROOTS = (
    f"org.apache.kafka:kafka_{SCALA}:{KAFKA_VERSION}",
    # Kafka logs through slf4j 1.7; without this bridge the broker is mute.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
LOCK_FILE = "kafka.lock.toml"
REGENERATE = "python -m streams.embedded.jar_lock"


@dataclass(frozen=True, order=True)
class Jar:
    """One file of a Maven repository, pinned by its SHA-256 (64 hexadecimal digits)."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Return the file's name in a Maven repository."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> Path:
        """Return the file's path in a Maven repository, relative to its root."""
        return Path(*self.group.split("."), self.artifact, self.version, self.name)

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars() -> tuple[Jar, ...]:
    """Return the lock's jars, sorted by their coordinates, which is also the class path's order."""
    lock = tomllib.loads(files(__package__).joinpath(LOCK_FILE).read_text("utf-8"))
    return tuple(sorted(Jar(**entry) for entry in lock["jar"]))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resolve() -> tuple[Jar, ...]:
    """Return all jars that `ROOTS` need at run time, resolved and downloaded by jgo, hashed.

    Each root is resolved on its own and the first to name a jar decides its version: resolved
    together, the log bridge's bill of materials would override Kafka's own versions.
    """
    from jgo.maven import MavenContext

    context = MavenContext()
    chosen: dict[tuple[str, str], Jar] = {}
    for root in ROOTS:
        for group, artifact, version, path in _closure(context, root):
            chosen.setdefault((group, artifact), Jar(group, artifact, version, sha256_of(path)))
    return tuple(sorted(chosen.values()))


def _closure(context: Any, root: str) -> Iterator[tuple[str, str, str, Path]]:
    from jgo.maven import Dependency

    group, artifact, version = root.split(":")
    wanted = Dependency(context.project(group, artifact).at_version(version).artifact())
    inputs, transitive = context.resolver.resolve([wanted])
    for artifact in [*inputs, *transitive]:
        if artifact.type == "jar" and not artifact.classifier:
            yield (
                artifact.groupId,
                artifact.artifactId,
                artifact.version,
                artifact.artifact.resolve(),
            )


def render(jars: tuple[Jar, ...]) -> str:
    """Return the lock file's text."""
    lines = [
        f"# Apache Kafka {KAFKA_VERSION} and what it needs. Written by: {REGENERATE}",
        f'kafka = "{KAFKA_VERSION}"',
    ]
    for jar in jars:
        lines += ["", "[[jar]]", *(f'{key} = "{value}"' for key, value in vars(jar).items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Resolve `ROOTS` and write the lock file beside this module."""
    Path(__file__).with_name(LOCK_FILE).write_text(render(resolve()), "utf-8")


if __name__ == "__main__":
    main()
