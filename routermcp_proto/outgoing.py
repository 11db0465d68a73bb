"""A message on its way out, with what a transport has to know of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .calls import Call
from .jsonrpc import RequestId


class Outgoing(NamedTuple):
    """One encoded message."""

    payload: bytes
    """The message as JSON, without a line end."""

    method: str = ""
    """Its method, empty for an answer."""

    request_id: RequestId | None = None
    """Its id where an answer is awaited, None for notifications and answers."""

    call: Call[Any] | None = None
    """The call it encodes, where it is a request."""
