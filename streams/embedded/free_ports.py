"""Free ports of the loopback interface, for servers that must find them again after a restart.

They are taken below the range that the system hands out to outgoing connections (Linux: from
32768, macOS: from 49152): a port of that range can be lost to a client while its server restarts.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 500


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int, *, avoid: Iterable[int] = ()) -> list[int]:
    """Return `count` different free ports, none of those to avoid; `OSError` if too few are."""
    ports: set[int] = set()
    taken = set(avoid)
    chooser = random.SystemRandom()
    for _ in range(ATTEMPTS):
        if len(ports) == count:
            return list(ports)
        port = chooser.randrange(LOWEST, HIGHEST)
        if port not in taken and is_free(port):
            ports.add(port)
    raise OSError(f"no {count} free ports between {LOWEST} and {HIGHEST} on {LOOPBACK}")
