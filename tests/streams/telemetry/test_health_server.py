from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid

import pytest

from schemas.errors import Incompatible
from streams.config.process_env import claim_instance
from streams.telemetry.health_server import HealthServer


async def _get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_health_follows_the_status() -> None:
    """Alive but not recovered: livez 200, readyz 503, both with the status as JSON."""
    status = {"live": True, "ready": False}
    health = HealthServer(lambda: status, metrics=lambda: b"up 1\n")
    port = await health.start()
    assert (await _get(port, "/livez"))[0] == 200
    assert await _get(port, "/readyz") == (503, b'{"live":true,"ready":false}\n')
    status["ready"] = True
    assert (await _get(port, "/readyz"))[0] == 200
    assert await _get(port, "/metrics") == (200, b"up 1\n")
    assert (await _get(port, "/"))[0] == 404
    await health.close()


async def test_health_bears_whatever_connects() -> None:
    """Garbage, an endless line and a caller who leaves do not disturb the next one."""
    health = HealthServer(lambda: {"live": True, "ready": True})
    port = await health.start()
    for garbage in (b"\x16\x03\x01\xff\xfe\n", b"x" * 100_000, b""):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        writer.close()
    assert (await _get(port, "/livez"))[0] == 200
    await health.close()


def test_a_worker_id_is_held_by_one_process_and_found_again() -> None:
    """The lowest free number of this host; a dead holder's id, kill -9 included, is free."""
    group = f"test-{uuid.uuid4().hex}"
    hold = f"import sys,streams.config.process_env as p\nwith p.claim_instance({group!r}) as i:\n"
    hold += " print(i,flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        first = holder.stdout.readline().decode().strip()
        assert first.endswith("-0")
        with claim_instance(group) as second:
            assert second.endswith("-1")
        with pytest.raises(Incompatible, match="already in use"), claim_instance(group, first):
            pass
        holder.kill()
    with claim_instance(group) as again:
        assert again == first
