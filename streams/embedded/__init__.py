"""Kafka and Redis for those who have neither: from packages only, no root, no Docker.

Everything listens on loopback, asks for the password in `server.password`, and keeps its data in
one folder; `client.env` there has what clients need. `doctor` lives in `streams.doctor.doctor`,
because it needs the clients of both servers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.embedded.fault_injection import Handle
    from streams.embedded.stack import Endpoints, Stack

__all__ = ["Endpoints", "Handle", "Stack"]

_MODULES = {"Endpoints": "stack", "Handle": "fault_injection", "Stack": "stack"}
"""Imported when a name is used: `streams.embedded.server_discovery` works without this extra."""


def __getattr__(name: str) -> Any:
    """Import the module that has a name of `__all__`, and return what the name stands for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
