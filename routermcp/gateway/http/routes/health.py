"""The health report of a gateway, for monitoring."""

from __future__ import annotations

from collections.abc import Mapping

from routermcp_proto import jsonrpc

from .... import __version__

#: For clients without access.
BRIEF = jsonrpc.dumps({"status": "ok"})


def report(upstreams: Mapping[str, str], problems: Mapping[str, str], sessions: int) -> bytes:
    """Return the state of the gateway, as JSON.

    A failed server behind the gateway does not make the gateway unhealthy: it costs only its
    own tools.

    Args:
        upstreams: The state of each server by its alias.
        problems: Why servers cannot be used, by the alias of each that failed.
        sessions: The number of kept sessions.
    """
    servers = {
        alias: {"state": state, **({"problem": problems[alias]} if alias in problems else {})}
        for alias, state in upstreams.items()
    }
    return jsonrpc.dumps({"status": "ok", "version": __version__, "upstreams": servers, "sessions": sessions})
