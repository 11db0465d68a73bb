"""The wire log: sent and received bytes, without secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from routermcp_proto.events import Event, HTTPRefused
from routermcp_proto.http.fetching import HTTPExchange
from routermcp_proto.http.headers import HTTPRequest
from routermcp_proto.http.reader import BodyData, ResponseHead
from routermcp_proto.http.url import without_query
from routermcp_proto.redaction import HIDDEN, is_secret, without

from .logs import get_logger

wire = get_logger("routermcp.wire")

#: Says whether the wire log has a reader; only then is anything prepared for it.
enabled = partial(wire.isEnabledFor, logging.DEBUG)

#: Bytes of a body that the log shows.
MAX_LOGGED = 2048

# What a server asks for, where "auth" stands for nothing secret.
_PUBLIC = frozenset({b"www-authenticate", b"proxy-authenticate"})


def log_request(request: HTTPRequest) -> None:
    """Log a request that is about to be sent."""
    body = HIDDEN.encode() if request.private else request.body
    wire.debug("-> %s %r %.*r", request.method.decode(), request.headers, MAX_LOGGED, body)


def log_item(item: object, exchange: HTTPExchange) -> None:
    """Log what was read, except for refusals; those of :func:`log_refusals` are whole."""
    secrets = exchange.secrets()
    if isinstance(item, ResponseHead):
        shown = [(name, without(_shown_header(name, value), secrets)) for name, value in item.headers]
        wire.debug("<- HTTP %d %s", item.status, shown)
    elif isinstance(item, BodyData) and not exchange.refused:
        wire.debug("<- %.*r", MAX_LOGGED, without(bytes(item.data), secrets))


def log_refusals(events: Iterable[Event]) -> None:
    """Log what refusals say: in pieces, the secrets that they repeat would not be found."""
    for event in events:
        if isinstance(event, HTTPRefused):
            wire.debug("<- %r", event.body)


def _shown_header(name: bytes, value: bytes) -> bytes:
    """Hide what is secret in a header, and the query of a redirect, which often repeats the request's."""
    if name == b"location":
        return without_query(value.decode("latin-1")).encode("latin-1")
    hidden = name == b"mcp-session-id" or (is_secret(name.decode("latin-1")) and name not in _PUBLIC)
    return HIDDEN.encode() if hidden else value
