"""The local gateway: MCP servers behind one endpoint, in both eras of the protocol.

::

    async with LocalGateway("routermcp.jsonc") as gateway, RouterMCPClient(gateway.url) as client:
        ...

Order to read it in: :mod:`.backend` is the seam between the protocol and what is offered.
:mod:`.http` serves a backend over Streamable HTTP on
:class:`routermcp_proto.server_session.ServerSession`, with :mod:`.dispatch` and
:mod:`.sessions`; :mod:`.serving` runs it, over any stream too. :mod:`.aggregate` is the backend
that forwards to the servers in :mod:`.upstreams`, listed by :mod:`.catalog`, for the users in
:mod:`.users`. :mod:`.config` says what there is, and :mod:`.factory` puts it together.

Serving needs the extra ``routermcp[gateway]``.
"""

from __future__ import annotations

import pkgutil
import warnings
from typing import TYPE_CHECKING

from .backend import Backend, Caller, InputRequired, Listing
from .builtin.tools import BuiltinTools
from .http.gateway_app import GatewayApp
from .local import LocalGateway
from .serving.uvicorn import serve_in_thread

__all__ = [
    "Backend",
    "BuiltinTools",
    "Caller",
    "GatewayApp",
    "InputRequired",
    "Listing",
    "LocalGateway",
    "serve_in_thread",
]

#: Names that programs may have imported, and what they are called now. They go with the next release.
_MOVED = {
    "InputNeeded": "InputRequired",
    "app": "http.gateway_app",
    "config_file": "config.file",
    "filters": "config.filters",
    "rate_limit": "http.rate_limit",
    "redis_sessions": "sessions.redis",
    "server": "serving.uvicorn",
    "stdio": "serving.stdio",
    "upstream": "upstreams.upstream",
}


if not TYPE_CHECKING:  # with it, type checkers would take every name for one of these

    def __getattr__(name: str) -> object:
        """Return what is called otherwise now under its name of before, for this release."""
        if name not in _MOVED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        problem = f"{__name__}.{name} is called {_MOVED[name]}; the old name goes with the next release"
        warnings.warn(problem, DeprecationWarning, stacklevel=2)
        return pkgutil.resolve_name(f"{__name__}.{_MOVED[name]}")
