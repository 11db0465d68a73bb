"""Decoding server-sent events from bytes.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

The decoder works on bytes: line ends, field names and the colon are ASCII, and UTF-8 has
no ASCII byte inside a character, so only values have to be decoded at all. Data stays
bytes, since the JSON reader takes those.
"""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import RemoteProtocolError
from ..framing import MAX_MESSAGE_SIZE
from .numbers import whole_number

#: The longest ``retry`` in milliseconds, thirty years; a larger number is read as that.
MAX_RETRY_MS = 10**12

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event with at least one data line, which may be empty."""

    event: str
    """Its type, ``message`` if the stream names none."""

    data: bytes
    """Its data lines, joined with line feeds."""

    id: str
    """The last event id of the stream so far."""


class SSEDecoder:
    """Decodes an event stream that comes in any pieces.

    Args:
        max_event_size: Bytes of one event, and of one line.

    Attributes:
        last_event_id: The id after which the stream can be resumed, empty for none.
        retry: Milliseconds to wait before that, None if the stream does not say.
    """

    def __init__(self, max_event_size: int = MAX_MESSAGE_SIZE) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._max = max_event_size
        self._start: bytes | None = b""
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = b""
        self._id: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the event that is being received."""
        return self._line_size + self._data_size

    def receive_data(self, data: bytes) -> list[ServerSentEvent]:
        """Feed bytes and return the events that they complete.

        Raises:
            RemoteProtocolError: An event is too large.
        """
        if self._start is not None:
            data = self._without_bom(data)
        if self._after_cr and data:
            # A line feed here belongs to the carriage return that ended the last piece.
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if not data:
            return []
        self._after_cr = data[-1:] == b"\r"
        events: list[ServerSentEvent] = []
        *ended, rest = _lines(data)
        for piece in ended:
            # Most lines come in one piece.
            if self._line_size or self._line_size + self._data_size + len(piece) > self._max:
                self._grow(piece)
                line = b"".join(self._line)
                self._line, self._line_size = [], 0
            else:
                line = piece
            if line:
                self._take(line)
            else:
                self._dispatch(events)
        if rest:
            self._grow(rest)
        return events

    def receive_eof(self) -> list[ServerSentEvent]:
        """Feed the end of the stream and return the event that lacks its blank line.

        The standard discards it. Some servers leave out the last blank line of a complete event, so
        the caller decides by the data.
        """
        events: list[ServerSentEvent] = []
        if self._line:
            retry = self.retry
            self._take(b"".join(self._line))
            self.retry = retry  # a number that was cut short is another one
            self._line, self._line_size = [], 0
        # A resumed stream has to begin with this event again, unless the caller could use it.
        self._id = None
        self._dispatch(events)
        return events

    def _without_bom(self, data: bytes) -> bytes:
        begun = (self._start or b"") + data
        if len(begun) < len(_BOM) and _BOM.startswith(begun):
            self._start = begun
            return b""
        self._start = None
        return begun.removeprefix(_BOM)

    def _grow(self, piece: bytes) -> None:
        self._line_size += len(piece)
        if self._line_size + self._data_size > self._max:
            raise RemoteProtocolError(f"an event is larger than {self._max} bytes")
        self._line.append(piece)

    def _take(self, line: bytes) -> None:
        colon = line.find(b":")
        name = line if colon < 0 else line[:colon]
        # A line may be as long as a message, so its value is copied once.
        value = b"" if colon < 0 else line[colon + 2 if line[colon + 1 : colon + 2] == b" " else colon + 1 :]
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = whole_number(value, MAX_RETRY_MS)

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        if self._id is not None:
            self.last_event_id = self._id
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            event = self._event.decode("utf-8", "replace") if self._event else "message"
            events.append(ServerSentEvent(event, data, self.last_event_id))
        self._forget()

    def _forget(self) -> None:
        self._data, self._data_size = [], 0
        self._event, self._id = b"", None


def _lines(data: bytes) -> list[bytes]:
    """Split data at each line end; the last item is what follows the last one.

    Nearly every stream has line ends of one kind, which are found without looking at each byte.
    """
    if b"\r" not in data:
        return data.split(b"\n")
    lines = data.split(b"\r\n")
    if data.count(b"\r") == data.count(b"\n") == len(lines) - 1:
        return lines
    lines = data.splitlines()
    return [*lines, b""] if data[-1:] in (b"\r", b"\n") else lines
