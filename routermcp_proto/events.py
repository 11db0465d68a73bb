"""What the machines report: a closed union of frozen events, named in the past tense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .calls import Call
from .exceptions import MCPError
from .jsonrpc import ErrorObject, RequestId
from .types import InitializeResult, Progress
from .versions import Revision


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is over: calls may be sent."""

    server: InitializeResult
    """What the server said about itself, in the same words in both eras."""

    revision: Revision
    """The revision both sides agreed on."""


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """The handshake ended without an agreement."""

    error: MCPError
    """Why, ready to be raised."""


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A call was answered."""

    request_id: RequestId
    value: Any
    """The result as the call's ``result_type``."""

    warnings: tuple[str, ...] = ()
    """One line for each entry that was dropped because it was malformed."""


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """A call was answered with an error object."""

    request_id: RequestId
    error: ErrorObject
    call: Call[Any]


@dataclass(frozen=True, slots=True)
class ResponseRejected:
    """A call was answered with something that has the wrong shape."""

    request_id: RequestId
    error: MCPError
    """Why, ready to be raised."""


@dataclass(frozen=True, slots=True)
class InputRequired:
    """The server wants input before it answers: the call is to be sent again with it."""

    request_id: RequestId
    requests: Mapping[str, Mapping[str, Any]]
    """Requests (``method`` and ``params``) by the key under which each is answered."""

    state: str | None
    """Opaque text to be sent back as it is, or None to send none."""


@dataclass(frozen=True, slots=True)
class ProgressReceived:
    """The server reports how far a call has come."""

    request_id: RequestId
    progress: Progress


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The peer asks something; answer with ``answer`` or ``refuse``."""

    request_id: RequestId
    method: str
    params: Mapping[str, Any]
    revision: Revision
    """The revision the request is written in."""

    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the peer declared it can do."""

    progress_token: RequestId | None = None
    """Where progress reports go, when the peer wants them."""


@dataclass(frozen=True, slots=True)
class RequestWithdrawn:
    """The peer no longer wants an answer to a request of its own."""

    request_id: RequestId
    reason: str | None


@dataclass(frozen=True, slots=True)
class NotificationReceived:
    """The peer tells something that belongs to no call."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MessageReady:
    """The machine itself has something to say, a step of the handshake or an answer: send it."""

    outgoing: Outgoing


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """A message was of no use and cost only itself."""

    problem: str


@dataclass(frozen=True, slots=True)
class RequestTimedOut:
    """A request was not answered by its deadline; the peer is told where its era has a way to."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class RequestLost:
    """The connection ended before the answer to a request."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class HTTPAccepted:
    """The server took a message that has no answer."""

    status: int


@dataclass(frozen=True, slots=True)
class HTTPRefused:
    """The server answered with an HTTP error instead of an answer to the request."""

    status: int
    error: ErrorObject | None
    """The JSON-RPC error in the body, where there was one."""

    addressed: bool
    """Whether that error names the request's own id."""

    body: str
    """The beginning of the body, for people."""

    retry_after: float | None
    """Seconds that the server asked to wait."""

    challenges: tuple[str, ...] = field(default=(), repr=False)
    """The ``WWW-Authenticate`` values, as they came."""

    dpop_nonce: str | None = None
    """What the next proofs of possession have to carry (RFC 9449, section 9)."""


@dataclass(frozen=True, slots=True)
class HTTPRedirected:
    """The server points elsewhere."""

    status: int
    location: str = field(repr=False)
    shown: str | None = None
    """Where that is, for people; None where it may be shown as it is."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The event stream ended without the answer."""

    last_event_id: str
    """Where to resume, empty when the server gave no ids."""

    retry: int | None
    """Milliseconds that the server asked to wait before that."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The whole answer to a request beside MCP's own."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Values by name in lower case; those of a name that is given twice with a comma between."""

    body: bytes = field(repr=False)


Event = (
    Connected
    | ConnectionFailed
    | ResponseReceived
    | ErrorReceived
    | ResponseRejected
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
    | Fetched
)


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
