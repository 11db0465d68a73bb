"""The machine that client and server share, at the level of messages: bytes of one message in, events out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from .. import jsonrpc, types
from ..calls import Call
from ..error_codes import INVALID_REQUEST, METHOD_NOT_FOUND
from ..events import (
    ErrorReceived,
    Event,
    InputRequired,
    MessageDropped,
    MessageReady,
    NotificationReceived,
    Outgoing,
    ProgressReceived,
    RequestWithdrawn,
    ResponseReceived,
    ResponseRejected,
)
from ..exceptions import LocalProtocolError, ResponseValidationError
from ..framing import MAX_MESSAGE_SIZE, LineDecoder
from ..jsonrpc import ErrorObject, RequestId
from ..states import (
    RequestInput,
    RequestState,
    SessionInput,
    SessionState,
    next_request_state,
    next_session_state,
)
from ..versions import Revision

#: Requests that may wait for an answer at once. A peer that never answers would otherwise
#: let the table grow for as long as its user calls; 10,000 is ten times what gRPC and
#: HTTP/2 servers commonly allow on one connection.
MAX_PENDING_REQUESTS = 10_000

#: Requests of the peer that may wait for our answer at once: a tenth of the above, since
#: each may need a person's attention.
MAX_PEER_REQUESTS = 1_000

NO_ROOM = ErrorObject(
    INVALID_REQUEST,
    "a request with this id is under way, or too many are: give each an id of its own, and wait for answers",
)


@dataclass(slots=True)
class PendingRequest:
    """A request that was sent and has not ended."""

    call: Call[Any]
    deadline: float | None
    state: RequestState = RequestState.PENDING


class Session:
    """The common machine; use :class:`.ClientSession` or :class:`.ServerSession`.

    Args:
        max_message_size: Bytes of the longest message.
        strict_json: Whether ``NaN`` and ``Infinity`` cost their message.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "__weakref__",
        "_asked",
        "_events",
        "_ids",
        "_lines",
        "_pending",
        "_revision",
        "_state",
        "_strict_json",
        "_to_send",
        "_unreported",
        "max_message_size",
        "unclaimed_error",
    )

    def __init__(self, *, max_message_size: int | None = None, strict_json: bool = False) -> None:
        self._strict_json = strict_json
        self._state = SessionState.NEW
        self._revision: Revision | None = None
        self._ids: Iterator[RequestId] = itertools.count(1)
        self._pending: dict[RequestId, PendingRequest] = {}
        self._asked: dict[RequestId, Revision] = {}
        self._unreported: RequestId | None = None
        """A request whose answer is no event: a client's own subscription, or a given-up handshake step."""
        self.max_message_size = MAX_MESSAGE_SIZE if max_message_size is None else max_message_size
        """Bytes of the longest message."""
        # The buffers of LineSession, which has no constructor: a gateway makes a session for each request.
        self._lines: LineDecoder | None = None
        self._events: list[Event] = []
        self._to_send: list[bytes] = []
        self.unclaimed_error: ErrorObject | None = None
        """The last error that the peer sent without an id while several requests waited."""

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        return self._state

    @property
    def revision(self) -> Revision | None:
        """The revision both sides agreed on, or None before."""
        return self._revision

    @property
    def pending(self) -> tuple[RequestId, ...]:
        """Ids of the requests that wait for an answer."""
        return tuple(self._pending)

    def waits_for(self, request_id: RequestId) -> bool:
        """Return whether a request still waits for its answer."""
        return request_id in self._pending

    def _move(self, input_: SessionInput) -> None:
        self._state = next_session_state(self._state, input_)

    # ---- sending -------------------------------------------------------------------

    def _register(self, call: Call[Any], deadline: float | None = None) -> RequestId:
        if len(self._pending) >= MAX_PENDING_REQUESTS:
            raise LocalProtocolError(f"{MAX_PENDING_REQUESTS} requests wait for an answer already")
        request_id = next(self._ids)
        self._pending[request_id] = PendingRequest(call, deadline)
        return request_id

    def start_notification(self, method: str, params: Mapping[str, Any] | None = None) -> Outgoing:
        """Encode a notification.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        return Outgoing(jsonrpc.encode_notification(method, params or {}), method)

    def answer(self, request_id: RequestId, result: Mapping[str, Any]) -> bytes:
        """Encode the result of a request of the peer, and forget the request.

        Raises:
            LocalProtocolError: The peer sent no such request, or JSON cannot hold the result.
        """
        revision = self._answering(request_id)
        payload = jsonrpc.encode_response(request_id, self._stamp_result(result, revision))
        del self._asked[request_id]
        return payload

    def refuse(self, request_id: RequestId, error: ErrorObject) -> bytes:
        """Encode an error as the answer to a request of the peer, and forget the request.

        Raises:
            LocalProtocolError: The peer sent no such request, or JSON cannot hold the error.
        """
        self._answering(request_id)
        payload = jsonrpc.encode_error(request_id, error)
        del self._asked[request_id]
        return payload

    def forget(self, request_id: RequestId) -> None:
        """Forget a request of the peer that will not be answered, so that its id may be used again."""
        self._asked.pop(request_id, None)

    def _answering(self, request_id: RequestId) -> Revision:
        try:
            return self._asked[request_id]
        except KeyError:
            raise LocalProtocolError(f"no request {request_id!r} of the peer waits for an answer") from None

    def _stamp_result(self, result: Mapping[str, Any], revision: Revision) -> Mapping[str, Any]:
        del revision
        return result

    # ---- ending a request ------------------------------------------------------------

    def _end(self, request_id: RequestId, input_: RequestInput) -> PendingRequest:
        pending = self._pending.pop(request_id)
        pending.state = next_request_state(pending.state, input_)
        return pending

    def abandon(self, request_id: RequestId, reason: str | None = None) -> Outgoing | None:
        """Stop waiting for a request, and encode the notification that tells the peer.

        State:
            The request moves PENDING -> CANCELLED; its late response is dropped.

        Args:
            request_id: Id of a request that was sent; one that has ended is left alone.
            reason: Free text for the peer's log.

        Returns:
            The ``notifications/cancelled`` message, or None where the request has ended or
            must not be cancelled that way (``initialize``; MCP 2025-11-25, Cancellation).
        """
        pending = self._pending.get(request_id)
        if pending is None:
            return None
        if pending.call.method == "initialize":
            self._end(request_id, RequestInput.CANCEL)
            return None
        return self._withdraw(request_id, reason)

    def _withdraw(self, request_id: RequestId, reason: str | None) -> Outgoing:
        self._end(request_id, RequestInput.CANCEL)
        params: dict[str, Any] = {"requestId": request_id}
        if reason is not None:
            params["reason"] = reason
        return self.start_notification("notifications/cancelled", params)

    # ---- receiving -------------------------------------------------------------------

    def close(self) -> None:
        """End the session; what is queued may still be sent.

        State:
            Any state moves to CLOSED.
        """
        self._move(SessionInput.CLOSE)

    def receive_message(self, payload: bytes | bytearray, *, only: RequestId | None = None) -> list[Event]:
        """Feed one message and return its events. Never raises, whatever the bytes.

        Args:
            payload: One JSON-RPC message, or a batch where the revision has those.
            only: The one request that may be answered here, on transports that give each
                request a stream of its own. There an error without id means that request.
        """
        batches = self._revision is not None and self._revision.batches
        messages = jsonrpc.decode(payload, batches=batches, strict=self._strict_json)
        return self.receive_decoded(messages, only=only)

    def receive_decoded(
        self, messages: Sequence[jsonrpc.Message], *, only: RequestId | None = None
    ) -> list[Event]:
        """Feed messages that are decoded already; see :meth:`receive_message`."""
        events: list[Event] = []
        for message in messages:
            kind = type(message)
            if kind is jsonrpc.Response:
                self._on_response(message, only, events)  # pyright: ignore[reportArgumentType]
            elif kind is jsonrpc.ErrorResponse:
                self._on_error(message, only, events)  # pyright: ignore[reportArgumentType]
            elif kind is jsonrpc.Notification:
                self._on_notification(message, events)  # pyright: ignore[reportArgumentType]
            elif kind is jsonrpc.Request:
                self._on_request(message, events)  # pyright: ignore[reportArgumentType]
            else:
                self._on_invalid(message, only, events)  # pyright: ignore[reportArgumentType]
        return events

    def _expected(
        self, request_id: RequestId, only: RequestId | None, events: list[Event]
    ) -> RequestId | None:
        """Return the id of the pending request that an answer belongs to, else None."""
        own = request_id if request_id in self._pending else self._own(request_id)
        if own in self._pending and (only is None or only == own):
            return own
        if own != self._unreported:
            events.append(MessageDropped(f"an answer came for request {request_id!r}, which is not pending"))
        return None

    def _own(self, given: RequestId) -> RequestId:
        """Return the id or token that was sent for the one that came back: ``"3"`` may stand for 3."""
        if given in self._pending or type(given) is int:
            return given
        number = jsonrpc.code_in(given)
        return given if number is None else number

    def _on_response(self, message: jsonrpc.Response, only: RequestId | None, events: list[Event]) -> None:
        request_id = self._expected(message.id, only, events)
        if request_id is None:
            return
        call = self._end(request_id, RequestInput.ANSWER).call
        kind = message.result.get("resultType") or "complete"
        try:
            if kind == "input_required" and call.may_ask_input:
                wanted = types.InputRequiredResult.model_validate(message.result)
                if not wanted.inputRequests and wanted.requestState is None:
                    problem = f"{call.method} was answered with input_required, without questions and state"
                    raise ResponseValidationError(problem, method=call.method)
                events.append(InputRequired(request_id, wanted.inputRequests or {}, wanted.requestState))
                return
            if kind != "complete":
                raise ResponseValidationError(
                    f"{call.method} was answered with resultType {str(kind)[:100]!r}, which it cannot have",
                    method=call.method,
                )
            if call.items is not None:
                events.append(self._read_list(request_id, call, message))
                return
            parsed = call.parse(message.result)
        except ResponseValidationError as error:
            events.append(ResponseRejected(request_id, error))
        except ValidationError as error:
            problem = f"{call.method} was answered with a malformed input request"
            rejected = ResponseValidationError(problem, method=call.method, problems=(str(error)[:500],))
            events.append(ResponseRejected(request_id, rejected))
        else:
            events.append(ResponseReceived(request_id, parsed.value, parsed.warnings))

    def _read_list(self, request_id: RequestId, call: Call[Any], message: jsonrpc.Response) -> Event:
        """Read a page of a list; the role that asks for lists does more with it.

        Raises:
            ResponseValidationError: It is no such page.
        """
        parsed = call.parse(message.result)
        return ResponseReceived(request_id, parsed.value, parsed.warnings)

    def _on_error(self, message: jsonrpc.ErrorResponse, only: RequestId | None, events: list[Event]) -> None:
        request_id = message.id if message.id is not None else only
        if request_id is None and len(self._pending) == 1:
            (request_id,) = self._pending
        if request_id is None:
            self.unclaimed_error = message.error
            events.append(MessageDropped(f"the peer reports: {message.error.message[:200]}"))
            return
        request_id = self._expected(request_id, only, events)
        if request_id is not None:
            call = self._end(request_id, RequestInput.ANSWER).call
            events.append(ErrorReceived(request_id, message.error, call))

    def _on_notification(self, message: jsonrpc.Notification, events: list[Event]) -> None:
        if message.method == "notifications/progress":
            events.append(self._on_progress(message.params))
        elif message.method == "notifications/cancelled":
            events.append(self._on_cancelled(message.params))
        else:
            events.append(NotificationReceived(message.method, message.params))

    def _on_progress(self, params: Mapping[str, Any]) -> Event:
        token = jsonrpc.request_id_in(params.get("progressToken"))
        token = None if token is None else self._own(token)
        if token is None or token not in self._pending:
            return MessageDropped("a progress report came for no pending request")
        try:
            return ProgressReceived(token, types.Progress.model_validate(params))
        except ValidationError:
            return MessageDropped("a progress report was malformed")

    def _on_cancelled(self, params: Mapping[str, Any]) -> Event:
        request_id, reason = jsonrpc.request_id_in(params.get("requestId")), params.get("reason")
        if request_id is None or self._asked.pop(request_id, None) is None:
            return MessageDropped("the peer cancelled a request that is not being worked on")
        return RequestWithdrawn(request_id, reason if isinstance(reason, str) else None)

    def _on_request(self, message: jsonrpc.Request, events: list[Event]) -> None:
        """Handle a request of the peer; each role overrides this."""
        error = ErrorObject(METHOD_NOT_FOUND, f"unknown method {message.method}")
        events.append(self._reply(message.id, error))

    def _admit(self, request_id: RequestId, revision: Revision) -> bool:
        """Enter a request of the peer into the table; return False where there is no room."""
        if request_id in self._asked or len(self._asked) >= MAX_PEER_REQUESTS:
            return False
        self._asked[request_id] = revision
        return True

    @staticmethod
    def _reply(request_id: RequestId | None, error: ErrorObject) -> MessageReady:
        return MessageReady(Outgoing(jsonrpc.encode_error(request_id, error)))

    def _on_invalid(self, message: jsonrpc.Invalid, only: RequestId | None, events: list[Event]) -> None:
        request_id = None if message.id is None else self._own(message.id)
        if request_id is not None and request_id in self._pending and (only is None or only == request_id):
            call = self._end(request_id, RequestInput.ANSWER).call
            problem = f"the answer to {call.method} is not a JSON-RPC message: {message.problem}"
            events.append(ResponseRejected(request_id, ResponseValidationError(problem, method=call.method)))
        else:
            events.append(MessageDropped(message.problem))
