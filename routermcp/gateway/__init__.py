"""An MCP server over Streamable HTTP, in both eras of the protocol, as an ASGI application.

::

    app = GatewayApp(BuiltinTools())
    with serve_in_thread(app) as url:
        ...

The protocol is that of :class:`routermcp_proto.server_session.ServerSession`; what is
offered comes from a :class:`Backend`. Running it under uvicorn needs the extra
``routermcp[gateway]``, the application itself needs nothing more than routermcp.
"""

from __future__ import annotations

from .app import GatewayApp
from .backend import Backend, Caller, InputNeeded, Listing
from .builtin import BuiltinTools
from .server import serve_in_thread

__all__ = [
    "Backend",
    "BuiltinTools",
    "Caller",
    "GatewayApp",
    "InputNeeded",
    "Listing",
    "serve_in_thread",
]
