"""One embedded server: a folder, ports, a command, and a way to tell that it answers."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from schemas.errors import Unavailable
from streams.embedded.free_ports import LOOPBACK
from streams.embedded.process import Identity, is_alive, launch, tail

POLL_S = 0.05
ANSWER_TIMEOUT_S = 2.0
ANSWER_BYTES = 65_536


class Server(ABC):
    """A server of a stack. `folder` holds all of its data, its configuration and its logs."""

    title: str
    start_timeout_s: float

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @property
    def name(self) -> str:
        """Return the server's name within its stack, which is its folder's."""
        return self.folder.name

    @property
    def output(self) -> Path:
        """Return the file of the process's standard output and error."""
        return self.folder / "output.log"

    @property
    def log(self) -> Path:
        """Return the log that explains why the server did not start."""
        return self.output

    @abstractmethod
    def prepare(self, progress: Callable[[str], None]) -> list[str]:
        """Write the configuration, set up the data, and return the command line."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether the server, asked in its own protocol, is ready to serve."""

    def start(self, progress: Callable[[str], None]) -> Identity:
        """Launch the process without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.prepare(progress)
        progress(f"starting {self.title} on port {self.port}")
        return launch(command, folder=self.folder, output=self.output)

    def wait(self, identity: Identity, timeout_s: float | None = None) -> None:
        """Return once the server answers; `Unavailable`, with the end of its log, if it fails."""
        timeout_s = timeout_s or self.start_timeout_s
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if not is_alive(identity):
                raise self._failed("ended while starting", identity)
            if time.monotonic() > deadline:
                raise self._failed(f"did not answer within {timeout_s:.0f} s", identity)
            time.sleep(POLL_S)

    def exchange(self, request: bytes, is_whole: Callable[[bytes], bool]) -> bytes:
        """Send bytes to the server's port and return its answer, or as much of it as comes."""
        try:
            with socket.create_connection((LOOPBACK, self.port), ANSWER_TIMEOUT_S) as connection:
                connection.sendall(request)
                answer = connection.recv(ANSWER_BYTES)
                while not is_whole(answer) and (more := connection.recv(ANSWER_BYTES)):
                    answer += more
                return answer
        except OSError:
            return b""

    def _failed(self, failure: str, identity: Identity) -> Unavailable:
        end = tail(self.log) or tail(self.output) or "(the log is empty)"
        return Unavailable(
            f"{self.title} (pid {identity.pid}) {failure}. The end of {self.log}:\n{end}\n"
            "`riverrun doctor` looks for the cause; `riverrun down --purge` starts from nothing."
        )
