"""The worker's health on loopback: `/livez`, `/readyz`, `/metrics`.

/livez    every assigned partition moves            else 503
/readyz   joined, and every partition is recovered  else 503
/metrics  for Prometheus (streams/telemetry/prometheus.py)    404 without
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from schemas.errors import Unavailable

SHUTDOWN_S = 1.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """The server: start, then close. `status` is called at each request and must not block.

    `status()` returns `{"live": bool, "ready": bool, ...}`; `metrics()` the exposition's bytes.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        *,
        metrics: Callable[[], bytes] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.status = status
        self.metrics = metrics
        self.host, self.port = host, port
        app = web.Application()
        app.router.add_get("/livez", self._answer)
        app.router.add_get("/readyz", self._answer)
        if metrics is not None:
            app.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def start(self) -> int:
        """Listen, and return the port; raise `Unavailable` if it is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Unavailable(
                f"Cannot serve health on {self.host} port {self.port}: {error.strerror}. "
                "Give another --health-port; 0 takes a free one."
            ) from error
        self.port = self._runner.addresses[0][1]
        return self.port

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        status = self.status()
        ok = status["live" if request.path == "/livez" else "ready"]
        body = orjson.dumps(status) + b"\n"
        return web.Response(status=200 if ok else 503, body=body, content_type="application/json")

    async def _exposition(self, _: web.Request) -> web.Response:
        assert self.metrics is not None
        return web.Response(body=self.metrics(), headers={"Content-Type": METRICS_TYPE})
