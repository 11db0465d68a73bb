"""One worker of a gateway, as a program: ``replica.py PORT REDIS UPSTREAM``."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from routermcp.gateway import GatewayApp
from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.sessions.redis import redis_store
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream


class Replica:
    """The application, with a beginning and an end."""

    def __init__(self, store: str, upstream: str) -> None:
        self._backend = Aggregate([Upstream("shop", over_http(upstream))])
        self._app = GatewayApp(self._backend, sessions=redis_store(store))
        self._backend.on_changed = self._app.announce

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._backend.close()
        await self._app.close()
        await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    port, store, upstream = sys.argv[1:]
    uvicorn.run(Replica(store, upstream), port=int(port), log_level="warning", timeout_graceful_shutdown=1)
