"""Where the page listens: what was asked for, and never more."""

from __future__ import annotations

import socket

import pytest

from schemas.errors import ConfigError, Unavailable
from streams.web.app import listening_socket


def test_an_empty_host_is_refused() -> None:
    """To a socket it is every address: `--host "$HOST"` without HOST would open the page to all."""
    with pytest.raises(ConfigError, match="every address"):
        listening_socket("", 0)


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    """With the port where one was asked for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"port {port}: .*Give another --port"):
            listening_socket("127.0.0.1", port)


def test_an_address_of_another_machine_names_no_port() -> None:
    """None was asked for."""
    with pytest.raises(Unavailable) as refused:
        listening_socket("192.0.2.1", None)
    assert "192.0.2.1: " in str(refused.value)
