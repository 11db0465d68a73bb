"""The wire log: what is sent and received, without secrets, on the logger ``routermcp.wire``."""

from __future__ import annotations

import logging

from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.reader import BodyData, ResponseHead

log = logging.getLogger("routermcp")
wire = logging.getLogger("routermcp.wire")

#: Bytes of a body that the log shows.
MAX_LOGGED = 2048

_SECRET = frozenset({b"mcp-session-id", b"set-cookie", b"authentication-info", b"dpop-nonce"})


def log_request(request: HTTPRequest) -> None:
    """Log a request that is about to be sent."""
    body = b"***" if request.private else request.body
    wire.debug("-> %s %r %.*r", request.method.decode(), request.headers, MAX_LOGGED, body)


def log_item(item: object) -> None:
    """Log what was read."""
    if isinstance(item, ResponseHead):
        shown = [(name, _shown(name, value)) for name, value in item.headers]
        wire.debug("<- HTTP %d %s", item.status, shown)
    elif isinstance(item, BodyData):
        wire.debug("<- %.*r", MAX_LOGGED, item.data)


def _shown(name: bytes, value: bytes) -> bytes:
    """Hide what is secret in a header, and the query of a redirect, which often repeats the request's."""
    if name == b"location":
        return value.partition(b"?")[0]
    return b"***" if name in _SECRET else value


def enabled() -> bool:
    """Whether anybody reads the wire log."""
    return wire.isEnabledFor(logging.DEBUG)
