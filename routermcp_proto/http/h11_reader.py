"""Reads HTTP/1.1 answers with h11."""

from __future__ import annotations

import re

import h11

from ..exceptions import LocalProtocolError, RemoteProtocolError
from .reader import END_OF_BODY, MAX_HEAD_SIZE, NEED_DATA, BodyData, Item, ResponseHead

#: Blanks in a row in a head or a trailer, over the lines of a folded header too. For a line that is no header
#: in the end, h11 takes time by the square of their number: 0.2 s for these, and 14 s for the longest head.
MAX_BLANKS = 8 * 1024
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_BLANK = b" \t\r\n"
_BLANKS = re.compile(rb"[ \t\r\n]+")

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
        self._chunked = False
        self._blanks = 0
        """How many blanks what came so far ends with."""
        self._many_blanks = False
        """Whether more came in a row than a line may have; they may belong to a body."""

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
        self._chunked = self._many_blanks = False
        self._blanks = 0
        connection.send(_STAND_IN)
        connection.send(_STAND_IN_END)

    def receive_data(self, data: bytes) -> None:
        """Feed bytes; ``b""`` is the end of the connection.

        Raises:
            RemoteProtocolError: They cannot belong to an answer.
        """
        self._count_blanks(data)
        try:
            self._connection.receive_data(data)
        except RuntimeError as error:
            raise RemoteProtocolError("bytes came after the end of the connection") from error

    def _count_blanks(self, data: bytes) -> None:
        """Note a long run of blanks, in one piece or in several."""
        leading = len(data) - len(data.lstrip(_BLANK))
        self._many_blanks |= self._blanks + leading > MAX_BLANKS or _has_long_run(data)
        trailing = len(data) - len(data.rstrip(_BLANK))
        self._blanks = self._blanks + trailing if trailing == len(data) else trailing

    def _check_blanks(self) -> None:
        in_head = self._connection.their_state is h11.SEND_RESPONSE
        if not self._many_blanks or not (in_head or self._chunked):
            return
        unread, _ = self._connection.trailing_data
        if in_head:  # what follows it is looked at when it has been read
            unread = _END_OF_HEAD.split(unread, 1)[0]
        else:
            self._many_blanks = False
        if _has_long_run(unread):
            raise RemoteProtocolError(f"not an HTTP answer: more than {MAX_BLANKS} blanks in a row")

    def next_event(self) -> Item:
        """Return the next item in the bytes fed so far.

        Raises:
            RemoteProtocolError: They are not an HTTP answer.
        """
        while True:
            self._check_blanks()
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
                self._chunked = any(name == b"transfer-encoding" for name, _ in headers)
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


def _has_long_run(data: bytes) -> bool:
    # Whole runs, not a run of that length: the search for one begins anew at each of its blanks.
    return len(data) > MAX_BLANKS and any(
        run.end() - run.start() > MAX_BLANKS for run in _BLANKS.finditer(data)
    )
