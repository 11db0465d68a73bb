"""The events that the machines report: a closed union of frozen classes, named in the past tense."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from . import types
from .calls import Call
from .exceptions import MCPError
from .jsonrpc import ErrorObject, RequestId
from .value_class import value_class
from .versions import Revision


@value_class
class Connected:
    """The handshake succeeded: calls may be sent."""

    server: types.InitializeResult
    """The server's description of itself, in the same shape in both eras."""

    revision: Revision
    """The revision both sides agreed on."""


@value_class
class ConnectionFailed:
    """The handshake ended without an agreement."""

    error: MCPError
    """The reason, ready to be raised."""


@value_class
class ResponseReceived:
    """A call was answered."""

    request_id: RequestId
    value: Any
    """The result as the call's ``result_type``."""

    warnings: tuple[str, ...] = ()
    """One line for each entry that was dropped because it was malformed."""


@value_class
class ErrorReceived:
    """A call was answered with an error object."""

    request_id: RequestId
    error: ErrorObject
    call: Call[Any]


@value_class
class ResponseRejected:
    """A call was answered with a message of the wrong shape."""

    request_id: RequestId
    error: MCPError
    """The reason, ready to be raised."""


@value_class
class LongListReceived:
    """A page with many entries came, which are read in slices so that other work has its turn."""

    request_id: RequestId
    reading: Generator[None, None, ResponseReceived | ResponseRejected] = field(repr=False)
    """Reads a slice at each step, and returns the outcome."""


@value_class
class InputRequired:
    """The server needs input before it can answer: answer its requests and send the call again."""

    request_id: RequestId
    requests: Mapping[str, Mapping[str, Any]]
    """Requests (``method`` and ``params``) by the key under which each is answered."""

    state: str | None
    """Opaque text to send back unchanged, or None to send none."""


@value_class
class ProgressReceived:
    """The server reported the progress of a call."""

    request_id: RequestId
    progress: types.Progress


@value_class
class RequestReceived:
    """The peer sent a request; reply with ``answer`` or ``refuse``."""

    request_id: RequestId
    method: str
    params: Mapping[str, Any]
    revision: Revision
    """The revision the request is written in."""

    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The capabilities that the peer declared."""

    progress_token: RequestId | None = None
    """The token for progress reports, where the peer wants them."""


@value_class
class RequestWithdrawn:
    """The peer cancelled a request of its own."""

    request_id: RequestId
    reason: str | None


@value_class
class NotificationReceived:
    """The peer sent a notification that belongs to no call."""

    method: str
    params: Mapping[str, Any]


@value_class
class MessageReady:
    """The machine itself produced a message, a step of the handshake or an answer: send it."""

    outgoing: Outgoing


@value_class
class MessageDropped:
    """A message was invalid or belonged to no request, and was dropped."""

    problem: str


@value_class
class RequestTimedOut:
    """A request was not answered by its deadline; the peer is notified where its era has a message for it."""

    request_id: RequestId


@value_class
class RequestLost:
    """The connection ended before the answer to a request."""

    request_id: RequestId


@value_class
class HTTPAccepted:
    """The server accepted a message that has no answer."""

    status: int


@value_class
class HTTPRefused:
    """The server answered with an HTTP error instead of an answer to the request."""

    status: int
    error: ErrorObject | None
    """The JSON-RPC error in the body, if any."""

    addressed: bool
    """Whether that error names the request's own id."""

    body: str
    """The beginning of the body, for people."""

    retry_after: float | None
    """Seconds to wait, if the server said so."""

    challenges: tuple[str, ...] = field(default=(), repr=False)
    """The ``WWW-Authenticate`` values, as they came."""

    dpop_nonce: str | None = None
    """The nonce for the next proofs of possession (RFC 9449, section 9)."""


@value_class
class HTTPRedirected:
    """The server redirects to another URL."""

    status: int
    location: str = field(repr=False)
    shown: str | None = None
    """The location without secrets, for people; None where `location` has none."""


@value_class
class StreamEnded:
    """The event stream ended without the answer."""

    last_event_id: str
    """The id to resume after, empty when the server gave no ids."""

    retry: int | None
    """Milliseconds to wait before that, if the server said so."""


@value_class
class EndpointReceived:
    """The event stream of HTTP+SSE (2024-11-05) has named the URL that messages are posted to."""

    url: str = field(repr=False)
    """The URL, which may be relative, and mostly holds the id of the session."""


@value_class
class PayloadReceived:
    """A message of the event stream of HTTP+SSE (2024-11-05), for :meth:`ClientSession.receive_message`."""

    payload: bytes = field(repr=False)


@value_class
class Fetched:
    """The whole answer to a request that is not MCP's, such as a token request."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Values by name in lower case; repeated headers are joined with commas."""

    body: bytes = field(repr=False)


Event = (
    Connected
    | ConnectionFailed
    | ResponseReceived
    | ErrorReceived
    | ResponseRejected
    | LongListReceived
    | InputRequired
    | ProgressReceived
    | RequestReceived
    | RequestWithdrawn
    | NotificationReceived
    | MessageReady
    | MessageDropped
    | RequestTimedOut
    | RequestLost
    | HTTPAccepted
    | HTTPRefused
    | HTTPRedirected
    | StreamEnded
    | EndpointReceived
    | PayloadReceived
    | Fetched
)


class Outgoing(NamedTuple):
    """One encoded message."""

    payload: bytes
    """The message as JSON, without a line end."""

    method: str = ""
    """Its method, empty for an answer."""

    request_id: RequestId | None = None
    """Its id if it is a request, None for notifications and answers."""

    call: Call[Any] | None = None
    """The call that it encodes, if it is a request."""
