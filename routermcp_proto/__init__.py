"""The Model Context Protocol as pure state machines: bytes in, events out.

No I/O, no clock, no randomness, no threads. Read it in this order: :mod:`.versions` (the
revisions and their rules), :mod:`.jsonrpc` (the codec), :mod:`.calls` and :mod:`.types`
(requests and results), :mod:`.states` and :mod:`.events`, :mod:`.session` with its two
roles :mod:`.client_session` and :mod:`.server_session`, then :mod:`.http`.
"""

from __future__ import annotations

from .calls import Call
from .client_session import ClientSession
from .events import (
    Connected,
    ConnectionFailed,
    ErrorReceived,
    Event,
    InputRequired,
    MessageDropped,
    MessageReady,
    NotificationReceived,
    ProgressReceived,
    RequestLost,
    RequestReceived,
    RequestTimedOut,
    RequestWithdrawn,
    ResponseReceived,
    ResponseRejected,
)
from .exceptions import LocalProtocolError, MCPError, RemoteProtocolError
from .jsonrpc import ErrorObject, RequestId
from .server_session import ServerSession
from .states import SessionState

__all__ = [
    "Call",
    "ClientSession",
    "Connected",
    "ConnectionFailed",
    "ErrorObject",
    "ErrorReceived",
    "Event",
    "InputRequired",
    "LocalProtocolError",
    "MCPError",
    "MessageDropped",
    "MessageReady",
    "NotificationReceived",
    "ProgressReceived",
    "RemoteProtocolError",
    "RequestId",
    "RequestLost",
    "RequestReceived",
    "RequestTimedOut",
    "RequestWithdrawn",
    "ResponseReceived",
    "ResponseRejected",
    "ServerSession",
    "SessionState",
    "calls",
]
