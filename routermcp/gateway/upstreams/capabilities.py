"""The capabilities that the gateway declares for the other side of it: those that it forwards.

A capability is a promise. What the gateway does not forward, the 2025 ``tasks`` and extensions with
methods or result types of their own, it declares neither to a server for its clients nor to a client
for its server: the answer would be lost between the two, and a task would have no owner.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning (Extension
Negotiation), https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks
(Capabilities) and https://modelcontextprotocol.io/specification/2025-11-25/client/roots (Capabilities).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

#: The capabilities that the gateway declares for clients that it does not know yet.
EVERYTHING: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}

#: The client's capabilities whose requests are forwarded.
_OF_CLIENTS = frozenset(EVERYTHING)

#: The server's capabilities whose methods are forwarded.
_OF_SERVERS = frozenset({"tools", "resources", "prompts", "completions", "logging"})

#: Extensions that consist of metadata in messages that are forwarded anyway: MCP Apps names a
#: resource in a tool's ``_meta``.
_EXTENSIONS = frozenset({"io.modelcontextprotocol/ui"})


def of_client(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the capabilities of a client to declare to a server."""
    forwarded = _forwarded(declared, _OF_CLIENTS)
    if "roots" in forwarded:
        # Without ``listChanged``: a client's notification belongs to no request, and ends at the gateway.
        forwarded["roots"] = {}
    return forwarded


def of_server(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the capabilities of a server to declare to a client."""
    return _forwarded(declared, _OF_SERVERS)


def _forwarded(declared: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    forwarded = {name: value for name, value in declared.items() if name in names}
    extensions = declared.get("extensions")
    if isinstance(extensions, dict):
        known = cast("dict[str, Any]", extensions).items()
        kept = {name: settings for name, settings in known if name in _EXTENSIONS}
        if kept:
            forwarded["extensions"] = kept
    return forwarded
