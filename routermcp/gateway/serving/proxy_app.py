"""What ``routermcp proxy`` serves: one backend over Streamable HTTP, and over HTTP+SSE for older clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject

from ..aggregate import Aggregate
from ..errors import Rejected
from ..http.asgi import Receive, Scope, Send, reject
from ..http.project_gateway import ProjectGateway
from .legacy_sse import LegacySSEApp


class ProxyApp:
    """An ASGI application with the endpoints of both transports.

    Args:
        backend: The backend, which ``gateway`` serves already.
        gateway: Serves Streamable HTTP, and runs the lifespan.
        sse: Serves HTTP+SSE, None to serve none.
        streamable: Whether to serve Streamable HTTP.
    """

    def __init__(
        self,
        backend: Aggregate,
        gateway: ProjectGateway,
        sse: LegacySSEApp | None,
        *,
        streamable: bool = True,
    ) -> None:
        self.path = gateway.path if sse is None or streamable else sse.path
        self._gateway = gateway
        self._sse = sse
        self._streamable = streamable
        self._announce = backend.on_changed
        backend.on_changed = self.announce

    def announce(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        server: str | None = None,
    ) -> None:
        """Send a notification to the clients of both transports."""
        self._announce(method, params or {}, session_id, server)
        if self._sse is not None:
            self._sse.announce(method, params, session_id, server)

    def begin_shutdown(self) -> None:
        """End the streams, and give the requests under way their time; to be called in the event loop."""
        if self._sse is not None:
            self._sse.end_streams()
        self._gateway.begin_shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or run the lifespan of the application."""
        path: str = scope.get("path", "")  # a lifespan has none
        if self._sse is not None and self._sse.serves(path):
            await self._sse(scope, receive, send)
        elif self._streamable or scope["type"] == "lifespan" or path == "/health":
            await self._gateway(scope, receive, send)
        else:
            await reject(Rejected(404, ErrorObject(INVALID_REQUEST, f"the endpoint is {self.path}")), send)
