"""The MCP endpoint in the trace that the headers of a request name (W3C Trace Context)."""

from __future__ import annotations

from opentelemetry import context, propagate

from .asgi import Receive, RequestHead, Send
from .gateway_app import GatewayApp, SignSessionId


class TracedApp(GatewayApp):
    """A :class:`~.gateway_app.GatewayApp` that reads the context of traces from headers."""

    async def answer(
        self, head: RequestHead, receive: Receive, send: Send, sign: SignSessionId | None = None
    ) -> None:
        """Answer a request in its context."""
        names = propagate.get_global_textmap().fields
        found = propagate.extract({name: value for name in names if (value := head.joined(name))})
        token = context.attach(found)
        try:
            await super().answer(head, receive, send, sign)
        finally:
            context.detach(token)
