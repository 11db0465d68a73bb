"""Reads HTTP/1.1 answers with h11."""

from __future__ import annotations

import h11

from ..exceptions import LocalProtocolError, RemoteProtocolError
from .reader import END_OF_BODY, MAX_HEAD_SIZE, NEED_DATA, BodyData, Item, ResponseHead

# h11 reads an answer only after it has written a request, whose framing it needs to know.
# Ours is written by hand, so h11 writes this one, and its bytes are discarded. No method that
# routermcp uses changes the framing of an answer, so one request serves all.
_STAND_IN = h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"x")])
_STAND_IN_END = h11.EndOfMessage()


class H11ResponseReader:
    """Reads answers with h11.

    Args:
        max_head_size: Bytes of the longest head.
    """

    def __init__(self, max_head_size: int = MAX_HEAD_SIZE) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_head_size)
        self._max_head_size = max_head_size
        self._used = False

    def start(self, method: bytes) -> None:
        """Expect the answer to a request that is being sent.

        Args:
            method: POST, GET or DELETE.

        Raises:
            LocalProtocolError: The connection still carries another exchange, or cannot
                carry one more.
        """
        del method
        connection = self._connection
        ready = h11.DONE if self._used else h11.IDLE
        if connection.our_state is not ready or connection.their_state is not ready:
            raise LocalProtocolError("the connection cannot be used for another request now")
        if self._used:
            connection.start_next_cycle()
        self._used = True
        connection.send(_STAND_IN)
        connection.send(_STAND_IN_END)

    def receive_data(self, data: bytes) -> None:
        """Feed bytes; ``b""`` is the end of the connection.

        Raises:
            RemoteProtocolError: They cannot belong to an answer.
        """
        try:
            self._connection.receive_data(data)
        except RuntimeError as error:
            raise RemoteProtocolError("bytes came after the end of the connection") from error

    def next_event(self) -> Item:
        """Return the next item in the bytes fed so far.

        Raises:
            RemoteProtocolError: They are not an HTTP answer.
        """
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                if error.error_status_hint == 431:
                    raise RemoteProtocolError(
                        f"the head of its answer is longer than {self._max_head_size} bytes"
                    ) from error
                raise RemoteProtocolError(f"not an HTTP answer: {error}") from error
            if isinstance(event, h11.Data):
                return BodyData(bytes(event.data))
            if isinstance(event, h11.Response):
                headers = tuple([(name.lower(), value) for name, value in event.headers.raw_items()])
                return ResponseHead(event.status_code, headers, bytes(event.reason))
            if isinstance(event, h11.EndOfMessage):
                return END_OF_BODY
            if isinstance(event, h11.ConnectionClosed):
                raise RemoteProtocolError("the connection was closed")
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return NEED_DATA
            # What is left is an interim answer (1xx), which is passed over. h11 refuses 101,
            # since no request asks for another protocol.

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange now."""
        connection = self._connection
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE and not self.trailing

    @property
    def trailing(self) -> bool:
        """Whether bytes arrived that belong to no answer."""
        data, closed = self._connection.trailing_data
        return bool(data) or closed
