"""Kafka and Redis for those who have neither: from packages only, no root, no Docker.

Everything listens on loopback, without passwords, and keeps its data in one folder. `doctor` lives
in `streams.embedded.doctor`, because it needs the clients of both servers.
"""

from streams.embedded.finding import Finding
from streams.embedded.handle import Handle
from streams.embedded.stack import Endpoints, Stack

__all__ = ["Endpoints", "Finding", "Handle", "Stack"]
