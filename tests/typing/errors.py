"""What a type checker says of the errors. Never run."""

from __future__ import annotations

from typing import Any, assert_type

from routermcp import SyncRouterMCPClient
from routermcp.types import (
    AuthorizationRequiredError,
    ConfigError,
    GatewayError,
    MCPError,
    OAuthError,
    RateLimitError,
    ResponseValidationError,
    RPCError,
    ToolError,
    TransportError,
)


def handle(client: SyncRouterMCPClient) -> None:
    try:
        client.call_tool("unknown_tool", {})
    except TransportError as error:
        assert_type(error.code, str)
        assert_type(error.status_code, int | None)
        assert_type(error.retry_after, float | None)
        assert_type(error.body, str | None)
        assert_type(error.attempts, int)
        assert_type(error.not_run, bool)
    except RPCError as error:
        assert_type(error.code, int)
        assert_type(error.message, str)
        assert_type(error.data, Any)
    except ToolError as error:
        assert_type(error.tool, str)
        assert_type(error.content, list[dict[str, Any]])
    except ResponseValidationError as error:
        assert_type(error.method, str)
        assert_type(error.problems, tuple[str, ...])
    except AuthorizationRequiredError as error:
        assert_type(error.url, str | None)
    except MCPError as error:
        assert_type(error.args, tuple[Any, ...])


def tree() -> None:
    kinds: list[type[MCPError]] = [ConfigError, OAuthError, TransportError, RPCError, ToolError]
    gateway: type[GatewayError] = RateLimitError
    rpc: type[RPCError] = gateway
    kinds.append(rpc)
