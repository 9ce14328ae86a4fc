"""A real Schema Registry: Apicurio from its package, as it answers Confluent's protocol.

The package (109 MB) is kept where Maven keeps it, and is downloaded when it is missing.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

from streams.embedded import process
from streams.embedded.downloads import fetch, session
from streams.embedded.free_ports import LOOPBACK, free_ports
from streams.embedded.jar_lock import sha256_of
from streams.embedded.jars import jar_folder, repositories
from streams.embedded.java import TUNING, java

VERSION = "3.0.9"
PATH = f"io/apicurio/apicurio-registry-app/{VERSION}/apicurio-registry-app-{VERSION}-all.tar.gz"
SHA256 = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
START_S_MAX = 180.0


def package() -> Path:
    """Return the package's file, downloaded if it is not there, and always checked by its hash."""
    file = jar_folder() / PATH
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        urls = {name: f"{url.rstrip('/')}/{PATH}" for name, url in repositories().items()}
        with session() as over, tempfile.TemporaryDirectory(dir=file.parent) as staging:
            staged = Path(staging) / file.name
            fetch(over, "Apicurio", urls, staged)
            staged.replace(file)
    actual = sha256_of(file)
    assert actual == SHA256, f"{file} has SHA-256 {actual}: delete it, and it is downloaded again"
    return file


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a registry in that folder; gives its address for Confluent's protocol."""
    with tarfile.open(package()) as packed:
        # Pythons before 3.11.4 have no filter; what is in the package is known by its hash.
        packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        packed.extractall(folder)
    runner = next(folder.rglob("apicurio-registry-app-*-runner.jar"))
    (port,) = free_ports(1)
    settings = {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": port,
        "apicurio.storage.kind": "sql",
        "apicurio.rest.deletion.artifact.enabled": "true",
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    log = folder / "apicurio.log"
    command = [str(java()), *TUNING, *defined, "-jar", str(runner)]
    server = process.launch(command, folder=folder, output=log)
    address = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
    try:
        began = monotonic()
        while not _answers(address):
            assert process.is_alive(server), process.tail(log)
            assert monotonic() - began < START_S_MAX, process.tail(log)
            sleep(0.2)
        yield address
    finally:
        process.stop([server], grace_s=10)


def _answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/subjects", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
