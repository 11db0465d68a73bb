"""The Python SDK for MCP gateways: one client on asyncio, trio and plain blocking code.

* :class:`RouterMCPClient`: under asyncio and trio.
* :class:`SyncRouterMCPClient`: the same, blocking.
* :class:`RouterMCPSession`, :class:`SyncRouterMCPSession`: one session for each user of
  an application, made by ``client.create_session(user_id=...)``.

Types and errors are in :mod:`routermcp.types`; the errors are here as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)] in ("routermcp", "-mroutermcp"):
    from routermcp_cli import get_ready

    get_ready()  # ``python -m routermcp`` imports this before its own module, and Ctrl-C is for the program

from ._async.client import RouterMCPClient
from ._async.session import RouterMCPSession
from ._lazy import imported_on_use
from ._sync.client import SyncRouterMCPClient
from ._sync.session import SyncRouterMCPSession
from ._version import __version__
from .types import (
    AuthorizationRequiredError,
    ConfigError,
    GatewayError,
    HeaderMismatchError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
    LocalProtocolError,
    LockLostError,
    MCPError,
    MethodNotFoundError,
    MissingRequiredClientCapabilityError,
    OAuthError,
    PoolLimits,
    PoolStats,
    ProjectNotFoundError,
    RateLimitError,
    ResourceNotFoundError,
    ResponseValidationError,
    RetryPolicy,
    RPCError,
    TokenStoreError,
    ToolDisabledError,
    ToolError,
    ToolNotFoundError,
    TransportError,
    UnauthorizedError,
    UnsupportedProtocolVersionError,
    UpstreamError,
)

if TYPE_CHECKING:
    from .oauth import OAuthConfig

__all__ = [
    "AuthorizationRequiredError",
    "ConfigError",
    "GatewayError",
    "HeaderMismatchError",
    "InternalError",
    "InvalidParamsError",
    "InvalidRequestError",
    "LocalProtocolError",
    "LockLostError",
    "MCPError",
    "MethodNotFoundError",
    "MissingRequiredClientCapabilityError",
    "OAuthConfig",
    "OAuthError",
    "PoolLimits",
    "PoolStats",
    "ProjectNotFoundError",
    "RPCError",
    "RateLimitError",
    "ResourceNotFoundError",
    "ResponseValidationError",
    "RetryPolicy",
    "RouterMCPClient",
    "RouterMCPSession",
    "SyncRouterMCPClient",
    "SyncRouterMCPSession",
    "TokenStoreError",
    "ToolDisabledError",
    "ToolError",
    "ToolNotFoundError",
    "TransportError",
    "UnauthorizedError",
    "UnsupportedProtocolVersionError",
    "UpstreamError",
    "__version__",
]

if not TYPE_CHECKING:  # with it, type checkers would take every name for one of these
    __getattr__ = imported_on_use(__name__, {"OAuthConfig": ".oauth.config"})
