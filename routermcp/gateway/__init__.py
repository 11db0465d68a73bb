"""The local gateway: MCP servers behind one endpoint, in both eras of the protocol.

::

    async with LocalGateway("routermcp.jsonc") as gateway, RouterMCPClient(gateway.url) as client:
        ...

Order to read it in: :mod:`.backend` is the seam between the protocol and what is offered;
:mod:`.app` (with :mod:`.exchange`, :mod:`.answering`, :mod:`.caller`, :mod:`.sessions`)
serves a backend over Streamable HTTP on
:class:`routermcp_proto.server_session.ServerSession`, :mod:`.stream` over any stream.
:mod:`.aggregate` is the backend that passes on: :mod:`.upstream` is one server of it,
:mod:`.wire` a session there, :mod:`.passing` and :mod:`.relay` take questions back.
:mod:`.front` adds projects, keys and limits, :mod:`.config` says what there is, and
:mod:`.assembly` puts it together.

Serving needs the extra ``routermcp[gateway]``.
"""

from __future__ import annotations

from .app import GatewayApp
from .backend import Backend, Caller, InputNeeded, Listing
from .builtin import BuiltinTools
from .local import LocalGateway
from .server import serve_in_thread

__all__ = [
    "Backend",
    "BuiltinTools",
    "Caller",
    "GatewayApp",
    "InputNeeded",
    "Listing",
    "LocalGateway",
    "serve_in_thread",
]
