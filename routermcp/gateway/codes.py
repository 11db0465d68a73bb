"""The error codes of a RouterMCP gateway, beside those of JSON-RPC."""

from __future__ import annotations

PROJECT_NOT_FOUND = -32000
UNAUTHORIZED = -32001
TOOL_NOT_FOUND = -32002
TOOL_DISABLED = -32003
UPSTREAM_ERROR = -32004
RATE_LIMITED = -32005
