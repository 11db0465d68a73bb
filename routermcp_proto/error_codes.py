"""The error codes of JSON-RPC, of MCP and of a RouterMCP gateway: the one home of each.

Source: JSON-RPC 2.0, section 5.1; MCP 2026-07-28, Error Codes; MCP 2025-11-25, URL Mode Elicitation.
"""

from __future__ import annotations

#: The message is no JSON.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

#: A header of a stateless request does not say what its body says.
HEADER_MISMATCH = -32020
#: The request needs a capability that the client has not declared.
MISSING_CAPABILITY = -32021
#: The revision of the request is not one that the server speaks.
UNSUPPORTED_VERSION = -32022

#: A resource that does not exist, until 2025-11-25; from 2026-07-28 on it is ``INVALID_PARAMS``.
RESOURCE_NOT_FOUND = -32002
#: The user has to open a URL first (2025-11-25).
URL_ELICITATION_REQUIRED = -32042

# What a RouterMCP gateway means by codes that the specifications leave to the server.
PROJECT_NOT_FOUND = -32000
UNAUTHORIZED = -32001
TOOL_NOT_FOUND = -32002
TOOL_DISABLED = -32003
UPSTREAM_ERROR = -32004
RATE_LIMITED = -32005

#: The code of an error whose server gave none, or one that is no number; no specification has it.
NO_CODE = 0
