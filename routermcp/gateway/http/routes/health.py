"""What a gateway says about itself to those who watch over it."""

from __future__ import annotations

from collections.abc import Mapping

from routermcp_proto import jsonrpc

from .... import __version__

#: For those who may not know more.
BRIEF = jsonrpc.dumps({"status": "ok"})


def report(upstreams: Mapping[str, str], sessions: int) -> bytes:
    """Say how the gateway is, as JSON.

    A server behind the gateway that failed does not make the gateway unwell: it costs only
    its own tools.

    Args:
        upstreams: The state of each server by its alias.
        sessions: The sessions that are kept.
    """
    servers = {alias: {"state": state} for alias, state in upstreams.items()}
    return jsonrpc.dumps({"status": "ok", "version": __version__, "upstreams": servers, "sessions": sessions})
