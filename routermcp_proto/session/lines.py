"""A session whose messages travel as lines of one stream: stdio, a socket, a WebSocket of yours.

The verbs are those of h11 and websockets: feed bytes with ``receive_data``, collect
``events_received``, send ``data_to_send``. Nothing here waits or reads a clock:
:meth:`LineSession.next_timer` returns the time at which to call :meth:`LineSession.handle_timer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import Event, MessageReady, RequestLost, RequestTimedOut
from ..exceptions import LocalProtocolError
from ..framing import LineDecoder
from ..jsonrpc import ErrorObject, RequestId
from ..states import RequestInput, SessionState
from .base import Session


class LineSession(Session):
    """A session with what waits to be sent, the events to be collected, and the decoder of lines.

    Args:
        max_message_size: Bytes of the longest message.
        strict_json: Whether ``NaN`` and ``Infinity`` cost their message.
    """

    # The base class has its buffers, and makes them.
    __slots__ = ()

    # ---- sending -------------------------------------------------------------------

    def send_notification(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Queue a notification; then send :meth:`data_to_send`.

        Raises:
            LocalProtocolError: JSON cannot hold the parameters.
        """
        self._queue(self.start_notification(method, params).payload)

    def send_answer(self, request_id: RequestId, result: Mapping[str, Any]) -> None:
        """Queue the result of a request of the peer; then send :meth:`data_to_send`.

        Raises:
            LocalProtocolError: As :meth:`answer`.
        """
        self._queue(self.answer(request_id, result))

    def send_refusal(self, request_id: RequestId, error: ErrorObject) -> None:
        """Queue an error as the answer to the peer; then send :meth:`data_to_send`.

        Raises:
            LocalProtocolError: As :meth:`refuse`.
        """
        self._queue(self.refuse(request_id, error))

    def cancel(self, request_id: RequestId, reason: str | None = None) -> None:
        """Stop waiting for a request and queue the cancel; then send :meth:`data_to_send`.

        State:
            The request moves PENDING -> CANCELLED; its late response is dropped.

        Args:
            request_id: Id returned by ``send_request``.
            reason: Free text for the peer's log.

        Raises:
            LocalProtocolError: No such request waits, or it is ``initialize``, which must
                not be cancelled (MCP 2025-11-25, Cancellation).
        """
        pending = self._pending.get(request_id)
        if pending is None or pending.call.method == "initialize":
            raise LocalProtocolError(f"request {request_id!r} cannot be cancelled")
        self._queue(self._withdraw(request_id, reason).payload)

    def _queue(self, payload: bytes) -> None:
        self._must_be_open()
        self._to_send.append(payload)

    def _must_be_open(self) -> None:
        if self._state is SessionState.CLOSED:
            raise LocalProtocolError("the session is closed")

    def data_to_send(self) -> bytes:
        """Return the lines that wait to be sent, and clear the queue."""
        if not self._to_send:
            return b""
        self._to_send.append(b"")
        due = b"\n".join(self._to_send)
        self._to_send.clear()
        return due

    # ---- time ----------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return the time at which to call :meth:`handle_timer`, or None for never."""
        return min((p.deadline for p in self._pending.values() if p.deadline is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Cancel the requests whose deadline has passed; then collect :meth:`events_received`."""
        late = [key for key, p in self._pending.items() if p.deadline is not None and p.deadline <= now]
        for request_id in late:
            self._queue(self._withdraw(request_id, "deadline").payload)
            self._events.append(RequestTimedOut(request_id))

    # ---- receiving -----------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Feed bytes of a stream of lines; then collect :meth:`events_received`.

        Raises:
            RemoteProtocolError: A line is too long. The connection cannot be used any more.
            LocalProtocolError: The session is closed.
        """
        self._must_be_open()
        lines = self._lines = self._lines or LineDecoder(self.max_message_size)
        for line in lines.receive_data(data):
            self._receive_line(line)

    def receive_eof(self) -> None:
        """Feed the end of the stream: pending requests are lost.

        State:
            The session is CLOSED, each pending request LOST. A closed session stays as it is.
        """
        if self._state is SessionState.CLOSED:
            return
        for line in self._lines.receive_eof() if self._lines is not None else ():
            self._receive_line(line)
        for request_id in tuple(self._pending):
            self._end(request_id, RequestInput.EOF)
            self._events.append(RequestLost(request_id))
        self.close()

    def _receive_line(self, line: bytes) -> None:
        for event in self.receive_message(line):
            if isinstance(event, MessageReady):
                self._queue(event.outgoing.payload)
            else:
                self._events.append(event)

    def events_received(self) -> list[Event]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events
