"""Names on the wire that more than one module of the project spells: methods, members of ``_meta``.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic (``_meta``),
https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/logging and
https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HTTP_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The name of a header (RFC 9110, section 5.6.2)."""

PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
"""The member of a stateless request's ``_meta`` that holds the revision it is written in."""

CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
"""The member of a stateless request's ``_meta`` that holds name and version of the client."""

CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
"""The member of a stateless request's ``_meta`` that holds the client's capabilities."""

SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"
"""The member of a stateless result's ``_meta`` that holds name and version of the server."""

LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
"""The member of a stateless request's ``_meta`` that asks for log messages from a level on."""

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""The levels of log messages (RFC 5424), the least severe first."""

RESOURCE_UPDATED = "notifications/resources/updated"
"""The notification that one resource has changed."""

SUBSCRIPTION_ID_KEY = "io.modelcontextprotocol/subscriptionId"
"""The member of a notification's ``_meta`` that names the ``subscriptions/listen`` it belongs to."""

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
"""The notification that confirms a ``subscriptions/listen``: the first one on its stream."""

SERVER_ID_KEY = "routermcp/serverId"
"""The member of an elicitation's ``_meta`` that names the server to sign in at; the gateway's own."""

LIST_FILTERS: Mapping[str, tuple[str, str]] = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}
"""For each member of the filter of ``subscriptions/listen``, the capability under which a server
declares ``listChanged``, and the notification that it then sends."""

#: Methods whose subject is mirrored in the header ``Mcp-Name``, and the member of their parameters
#: that holds it (MCP 2026-07-28, Transports).
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
