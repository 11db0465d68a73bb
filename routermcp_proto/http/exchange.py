"""One HTTP exchange of Streamable HTTP: the answer to one message that was posted.

Feed it the answer's head, its body in any pieces, and its end; each call returns the events
that follow. The exchange is *finished* once the request it was made for has its outcome,
which may be before the body ends: a server may keep an event stream open a little longer
than the answer, and no caller needs to wait for that.

An HTTP status is never turned into a JSON-RPC error: it becomes :class:`HTTPRefused`.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
and https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from .. import jsonrpc
from ..events import (
    Event,
    HTTPAccepted,
    HTTPRedirected,
    MessageDropped,
    ResponseReceived,
    StreamEnded,
)
from ..exceptions import RemoteProtocolError
from ..jsonrpc import RequestId
from ..redaction import beginning_without, redacted, without
from ..session.base import Session
from .compression import Decompressor
from .headers import fits_header
from .reader import BodyData, EndOfBody, ResponseHead
from .refusals import MAX_REFUSAL_SIZE, read_refusal
from .sse import ServerSentEvent, SSEDecoder

# Request ids are numbers, so this one is never pending: an exchange that was made for no
# request answers none.
_NO_REQUEST = ""

_NO_HEAD = ResponseHead(0, ())


class Body(Enum):
    """The kinds of body that an answer may have."""

    UNKNOWN = "the head has not come"
    JSON = "application/json"
    EVENTS = "text/event-stream"
    NOTHING = "nothing is expected"
    REFUSAL = "an error page"
    FOREIGN = "neither JSON nor events"


#: Read once: Python 3.11 asks the metaclass for each member that is named, which is ten times a call.
_UNKNOWN, _JSON, _EVENTS, _NOTHING = Body.UNKNOWN, Body.JSON, Body.EVENTS, Body.NOTHING

#: First bytes of a body that decide whether it is JSON or an event stream: blanks, a mark, a field name.
SNIFFED = 64

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b":", b"data:", b"event:", b"id:", b"retry:")


def body_in(beginning: bytes) -> Body | None:
    """Return the kind of a body by its first bytes: FOREIGN for any other, None while undecided."""
    text = beginning[:SNIFFED].lstrip()
    if _BOM.startswith(text) and len(beginning) < SNIFFED:
        return None
    text = text.removeprefix(_BOM)
    if text[:1] in (b"{", b"["):
        return _JSON
    if text.startswith(_FIELDS):
        return _EVENTS
    undecided = any(field.startswith(text) for field in _FIELDS) and len(beginning) < SNIFFED
    return None if undecided else Body.FOREIGN


class MCPExchange:
    """Reads the answer to one message.

    Args:
        session: The machine that receives the messages.
        request_id: The request that is answered here, or None for a message without an
            answer.
        on_session_id: Called with the session id of a successful answer, None for none,
            before the answer itself is read.
        listens: The request is the GET of the stream that all calls share.
    """

    private = False

    def __init__(
        self,
        session: Session,
        request_id: RequestId | None,
        *,
        on_session_id: Callable[[str | None], None] | None = None,
        listens: bool = False,
    ) -> None:
        self._session = session
        self._listens = listens
        self._request_id = request_id
        self._max_message_size = session.max_message_size
        self._on_session_id = on_session_id
        self._body = _UNKNOWN
        self._doubted = False
        self._decompressor: Decompressor | None = None
        self._head = _NO_HEAD
        self._received: bytes | bytearray = b""
        self._events: SSEDecoder | None = None
        self._last_event_id = ""
        self._retry: int | None = None
        self.finished = False
        """Whether the request has its outcome."""
        self.secrets: Callable[[], Sequence[str]] = tuple
        """Returns the secrets that were sent with the request, which errors must not repeat."""
        self.sent = False
        """Whether the request may have reached the server."""
        self.session_id: str | None = None
        """The ``Mcp-Session-Id`` of the answer, if it had a valid one."""
        self.dpop_nonce: str | None = None
        """The nonce for the next proofs of possession (RFC 9449, section 8.2), if the answer has one."""

    @property
    def refused(self) -> bool:
        """Whether the answer is a refusal, whose body is read whole."""
        return self._body is Body.REFUSAL

    @property
    def last_event_id(self) -> str:
        """The id after which a cut stream can be resumed, empty for none; a header has to hold it."""
        found = self._events.last_event_id if self._events is not None else self._last_event_id
        return found if fits_header(found) else ""

    @property
    def retry(self) -> int | None:
        """Milliseconds to wait before that, if the server said so."""
        if self._events is not None and self._events.retry is not None:
            return self._events.retry
        return self._retry

    @property
    def size(self) -> int:
        """Bytes of the message that is being received."""
        return len(self._received) if self._events is None else self._events.size

    @property
    def accepted(self) -> bool:
        """Whether the head of the answer has come."""
        return self._body is not _UNKNOWN

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return self._body is _EVENTS

    def restart(self) -> None:
        """Prepare for the answer to the same message, sent again after a refusal."""
        self._body = _UNKNOWN
        self._received = b""
        self.finished = False
        self.dpop_nonce = None

    def resume(self) -> None:
        """Prepare for the answer to a GET that resumes the stream."""
        self._last_event_id, self._retry = self.last_event_id, self.retry
        self._events = None
        self._body = _UNKNOWN
        self._received = b""
        self.finished = False

    def receive(self, item: ResponseHead | BodyData | EndOfBody) -> list[Event]:
        """Feed an item of a reader.

        Raises:
            RemoteProtocolError: MCP does not allow the answer.
        """
        if type(item) is BodyData:
            return self._receive(item.data) if self._decompressor is None else self.receive_data(item.data)
        if type(item) is ResponseHead:
            return self.receive_head(item)
        return self.receive_end()

    def receive_head(self, head: ResponseHead) -> list[Event]:
        """Feed the head of the answer.

        Raises:
            RemoteProtocolError: The body has a content coding that this client cannot decode.
        """
        self._head = head
        content_type = b""
        self._decompressor = None
        for name, value in head.headers:
            if name == b"content-type":
                content_type = value
            elif name == b"mcp-session-id":
                self.session_id = _valid_session_id(value)
            elif name == b"dpop-nonce":
                self.dpop_nonce = value.decode("latin-1") or None
            elif name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
                self._decompressor = self._decompressor_for(value)
        if self._on_session_id is not None and 200 <= head.status < 300:
            self._on_session_id(self.session_id)
        return self._choose_body(head, content_type.split(b";", 1)[0].strip().lower())

    def _decompressor_for(self, value: bytes) -> Decompressor:
        encoding = without(value.decode("ascii", "replace").strip().lower(), self.secrets())[:40]
        try:
            return Decompressor(encoding)
        except LookupError:
            raise RemoteProtocolError(
                f"the server sent a body encoded as {encoding!r}; this client decodes gzip and deflate"
            ) from None

    def _choose_body(self, head: ResponseHead, media_type: bytes) -> list[Event]:
        if 200 <= head.status < 300:
            if self._request_id is None and not (self._listens and media_type == b"text/event-stream"):
                # No result is expected, so the head completes the exchange; the body may stay open.
                self._body = _NOTHING
                self.finished = True
                return [HTTPAccepted(head.status)]
            if head.status in (202, 204) and media_type != b"text/event-stream":
                self._body = _NOTHING
            elif media_type == b"text/event-stream":
                self._read_events()
            else:
                self._body = _JSON if media_type in (b"application/json", b"") else Body.FOREIGN
            self._doubted = self._request_id is not None and self._body is not _NOTHING
            return []
        if 300 <= head.status < 400 and head.status != 304:
            location = head.header(b"location")
            self._body = _NOTHING
            self.finished = True
            shown = without(location, self.secrets())
            return [HTTPRedirected(head.status, location, shown if shown != location else None)]
        self._body = Body.REFUSAL
        return []

    def _read_events(self) -> None:
        self._body = _EVENTS
        self._events = SSEDecoder(self._max_message_size)
        self._events.last_event_id = self._last_event_id

    def receive_data(self, data: bytes) -> list[Event]:
        """Feed a piece of the body.

        Raises:
            RemoteProtocolError: A message is too long, or the body is not compressed as its head says.
        """
        if self._decompressor is not None:
            return [
                event for piece in self._decompressor.receive_data(data) for event in self._receive(piece)
            ]
        return self._receive(data)

    def _receive(self, data: bytes) -> list[Event]:
        if self._doubted and self._body is _JSON and data[:1] == b"{" and not self._received:
            self._doubted = False
        elif self._doubted:
            if self._received:
                data, self._received = bytes(self._received) + data, b""
            kind = body_in(data)
            if kind is None:
                self._received = data
                return []
            self._settle(kind)
        if self._body is _EVENTS and self._events is not None:
            return self._take_events(self._events.receive_data(data))
        if self._body is _JSON:
            if len(self._received) + len(data) > self._max_message_size:
                raise RemoteProtocolError(f"the answer is longer than {self._max_message_size} bytes")
            if self._received:
                self._append(data)
            else:
                self._received = data  # the only piece of a body is never copied
        elif self._body in (Body.REFUSAL, Body.FOREIGN):
            self._append(data[: MAX_REFUSAL_SIZE - len(self._received)])
        return []

    def _append(self, data: bytes) -> None:
        if isinstance(self._received, bytes):
            self._received = bytearray(self._received)
        self._received += data

    def _settle(self, kind: Body) -> None:
        """Read the body by its first bytes where they leave no doubt, else by its content type."""
        self._doubted = False
        if kind is _EVENTS and self._body is not _EVENTS:
            self._read_events()
        elif kind is _JSON and self._body is not _JSON:
            self._body, self._events = _JSON, None

    def _take_events(self, received: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for sent in received:
            # An event without data only says where to resume; other types are not MCP's.
            if sent.data and sent.event == "message":
                events.extend(self._take_message(sent.data))
        return events

    def _take_message(self, payload: bytes | bytearray) -> list[Event]:
        only = _NO_REQUEST if self._request_id is None else self._request_id
        events = self._session.receive_message(payload, only=only)
        events = [
            event if type(event) is ResponseReceived else redacted(event, self.secrets) for event in events
        ]
        if self._request_id is not None and not self._session.waits_for(self._request_id):
            self.finished = True
        return events

    def receive_end(self) -> list[Event]:
        """Feed the end of the body.

        Raises:
            RemoteProtocolError: The body held no answer.
        """
        if self._decompressor is not None:
            self._decompressor.receive_eof()
        if self._doubted:
            self._doubted = False
            if self._body is _EVENTS and self._events is not None:
                self._events.receive_data(bytes(self._received))
        match self._body:
            case Body.JSON:
                return self._end_of_json()
            case Body.EVENTS:
                return self._end_of_events()
            case Body.REFUSAL:
                return self._end_of_refusal()
            case Body.FOREIGN:
                return self._end_of_foreign()
            case _:
                return self._end_of_nothing()

    def _end_of_json(self) -> list[Event]:
        events = self._take_message(self._received)
        if self._request_id is not None and not self.finished:
            problems = [event.problem for event in events if isinstance(event, MessageDropped)]
            reason = problems[0] if problems else "it holds no answer"
            raise RemoteProtocolError(
                f"the server's JSON is no answer: {reason}; it begins {self._beginning()!r}"
            )
        self.finished = True
        return events

    def _end_of_events(self) -> list[Event]:
        left = self._events.receive_eof() if self._events is not None else []
        # Half of a JSON text is never a message, so what decodes was not cut.
        whole = [sent for sent in left if not isinstance(jsonrpc.decode(sent.data)[0], jsonrpc.Invalid)]
        events = self._take_events(whole)
        if self._request_id is None:
            self.finished = True
        return events if self.finished else [*events, StreamEnded(self.last_event_id, self.retry)]

    def _end_of_nothing(self) -> list[Event]:
        if self.finished:
            return []
        status = self._head.status
        raise RemoteProtocolError(f"the server accepted the request (HTTP {status}) but sent no answer")

    def _end_of_foreign(self) -> list[Event]:
        kind = without(self._head.header(b"content-type"), self.secrets())[:80]
        raise RemoteProtocolError(
            f"the answer is {kind!r} where MCP has JSON or an event stream: "
            f"is this the URL of an MCP endpoint? It begins {self._beginning()!r}"
        )

    def _end_of_refusal(self) -> list[Event]:
        self.finished = True
        return [read_refusal(self._head, self._received, self._request_id, self.dpop_nonce, self.secrets())]

    def _beginning(self) -> str:
        return beginning_without(self._received[:MAX_REFUSAL_SIZE], 120, self.secrets())


def _valid_session_id(value: bytes) -> str | None:
    """Return a session id if it is visible ASCII only (MCP 2025-11-25, Session Management), else None."""
    return value.decode("ascii") if value and all(0x21 <= byte <= 0x7E for byte in value) else None
