"""Reading simple answers without a state machine, and all others with h11.

Almost every answer is a short head with a body that is either of a stated length or in chunks,
as event streams are. Such an answer is read here in a fifth of the time that h11 takes, which is
half the cost of a call. Every other answer is handed to h11 from its first byte on, and a chunked
body from its first odd chunk on, so that h11 alone decides which bytes are malformed: for any
bytes the two readers report the same.
"""

from __future__ import annotations

import re

from ..exceptions import RemoteProtocolError
from .reader import END_OF_BODY, MAX_HEAD_SIZE, NEED_DATA, BodyData, Item, ResponseHead, ResponseReader

# A subset of RFC 9112: a status of 200 or above, names that are tokens, values of visible
# ASCII with single or more spaces only between words, every line ended with CR LF.
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) ([!-~](?:[ !-~]*[!-~])?)\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [!-~](?:[ !-~]*[!-~])?\r\n)+)\r\n"
)
_BEGINNING = b"HTTP/1.1 "

#: Digits of a length that is read here: a petabyte, beyond any limit on messages.
_MAX_LENGTH_DIGITS = 15

# A subset of RFC 9112, section 7.1: a size of at most 4 GiB without extensions.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_MAX_CHUNK_LINE = 10
_CR_LF = b"\r\n"
_BEGINNING_OF_CR_LF = (b"", b"\r")

# How the body ends that is being read; h11 reads it where there is another way.
_NO_BODY_YET, _BY_LENGTH, _BY_CHUNKS, _COMPLETE = range(4)
_CHUNKED = -1
"""In the place of a length."""


class DirectResponseReader:
    """A :class:`~routermcp_proto.http.reader.ResponseReader` with a fast path.

    Args:
        max_head_size: Bytes of the longest head.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_framing",
        "_h11",
        "_left",
        "_length",
        "_max_head_size",
        "_method",
        "_open",
    )

    def __init__(self, max_head_size: int = MAX_HEAD_SIZE) -> None:
        self._max_head_size = max_head_size
        self._method = b""
        self._h11: ResponseReader | None = None
        self._buffer = b""
        self._at: int = 0
        """Where in the buffer the bytes begin that were not read yet."""
        self._framing = _NO_BODY_YET
        self._length = 0
        self._left = 0
        """Bytes that have not arrived of the body, or of a chunk with the line end behind it."""
        self._open = True

    def start(self, method: bytes) -> None:
        """Expect the answer to a request that is being sent."""
        self._method = method
        self._h11 = None
        self._framing = _NO_BODY_YET

    def receive_data(self, data: bytes) -> None:
        """Feed bytes; ``b""`` is the end of the connection.

        Raises:
            RemoteProtocolError: They cannot belong to an answer.
        """
        if self._h11 is not None:
            self._h11.receive_data(data)
        elif data:
            self._buffer = self._rest() + data if self._buffer else data
            self._at = 0
        else:
            self._open = False

    def next_event(self) -> Item:
        """Return the next item in the bytes fed so far.

        Raises:
            RemoteProtocolError: They are not an HTTP answer.
        """
        if self._h11 is not None:
            return self._h11.next_event()
        if self._framing == _COMPLETE:
            return END_OF_BODY
        if self._framing == _NO_BODY_YET:
            return self._head()
        if self._framing == _BY_CHUNKS:
            return self._data_by_chunks()
        data = self._buffer[self._at : self._at + self._left]
        if not data:
            return NEED_DATA if self._open else self._cut()
        self._left -= len(data)
        self._at += len(data)
        if not self._left:
            self._framing = _COMPLETE
            self._buffer, self._at = self._buffer[self._at :], 0
        return BodyData(data)

    def _rest(self) -> bytes:
        return self._buffer[self._at :]

    def _complete(self, end: int) -> None:
        """Note the end of the answer; what follows it in the buffer belongs to no answer."""
        self._framing = _COMPLETE
        self._buffer, self._at = self._buffer[end:], 0

    def _head(self) -> Item:
        if b"\n\r\n" not in self._buffer and b"\n\n" not in self._buffer:
            plausible = _BEGINNING.startswith(self._buffer[: len(_BEGINNING)])
            waits = plausible and self._open and len(self._buffer) <= self._max_head_size
            return NEED_DATA if waits else self._hand_over()
        match = _HEAD.match(self._buffer)
        if match is None or match.end() > self._max_head_size:
            return self._hand_over()
        headers, length = _read_fields(match[3])
        status = int(match[1])
        if length is None or status in (204, 304):
            return self._hand_over()
        self._at = match.end()
        if length == _CHUNKED:
            self._framing, self._left = _BY_CHUNKS, 0
        elif length:
            self._framing = _BY_LENGTH
            self._length = self._left = length
        else:
            self._complete(self._at)
        return ResponseHead(status, tuple(headers), match[2])

    def _data_by_chunks(self) -> Item:
        buffer, at, left = self._buffer, self._at, self._left
        if left == 2:
            # The line end of a chunk whose data was given out before it came.
            end = buffer[at : at + 2]
            if end != _CR_LF:
                return NEED_DATA if self._open and end in _BEGINNING_OF_CR_LF else self._hand_over_body()
            at += 2
            left = 0
        if not left:
            size = _CHUNK_SIZE.match(buffer, at)
            if size is None:
                self._left, self._at = 0, at
                rest = self._rest()
                waits = self._open and len(rest) < _MAX_CHUNK_LINE and b"\n" not in rest
                return NEED_DATA if waits else self._hand_over_body()
            left = int(size[1], 16) + 2
            if left == 2:
                return self._last_chunk(at, size.end())
            at = size.end()
        data = buffer[at : at + left - 2]
        at += len(data)
        left -= len(data)
        if left == 2 and buffer[at : at + 2] == _CR_LF:
            at += 2
            left = 0
        self._left, self._at = left, at
        if data:
            return BodyData(data)
        return NEED_DATA if self._open else self._hand_over_body()

    def _last_chunk(self, at: int, end: int) -> Item:
        """Read the end of the body: no trailers, or h11 reads them."""
        self._left, self._at = 0, at
        line = self._buffer[end : end + 2]
        if line == _CR_LF:
            self._complete(end + 2)
            return END_OF_BODY
        return NEED_DATA if self._open and line in _BEGINNING_OF_CR_LF else self._hand_over_body()

    def _hand_over(self) -> Item:
        """Let h11 read the answer from its first byte."""
        return self._read_with_h11(b"", 0)

    def _hand_over_body(self) -> Item:
        """Let h11 read a chunked body from here on: after a whole chunk, or within one."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        if not self._left:
            return self._read_with_h11(head, 1)
        return self._read_with_h11(head + b"%x\r\n_" % (self._left - 1), 2)

    def _read_with_h11(self, before: bytes, items: int) -> Item:
        """Give h11 what was not read yet.

        Args:
            before: Bytes in front of it that bring h11 to the same place.
            items: How many items it makes of these.
        """
        from .h11_reader import H11ResponseReader  # noqa: PLC0415 - takes long to import, and few need it

        reader = self._h11 = H11ResponseReader(self._max_head_size)
        reader.start(self._method)
        data = before + self._rest()
        self._buffer, self._at = b"", 0
        if data:
            reader.receive_data(data)
        if not self._open:
            reader.receive_data(b"")
        for _ in range(items):
            reader.next_event()
        return reader.next_event()

    def _cut(self) -> Item:
        """Report a body that ended too early, in h11's words."""
        raise RemoteProtocolError(
            "not an HTTP answer: peer closed connection without sending complete message body "
            f"(received {self._length - self._left} bytes, expected {self._length})"
        )

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange now."""
        if self._h11 is not None:
            return self._h11.reusable
        return self._open and self._framing == _COMPLETE and not self._buffer

    @property
    def trailing(self) -> bool:
        """Whether bytes arrived that belong to no answer."""
        if self._h11 is not None:
            return self._h11.trailing
        return self._framing == _COMPLETE and (bool(self._buffer) or not self._open)


def _read_fields(lines: bytes) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """Return the fields of a head, and the length of its body: None where h11 has to find it out."""
    headers: list[tuple[bytes, bytes]] = []
    length: int | None = None
    for line in lines.split(_CR_LF)[:-1]:
        name, _, value = line.partition(b": ")
        name = name.lower()
        headers.append((name, value))
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
                return headers, None
            length = int(value)
        elif name == b"transfer-encoding":
            # h11 gives the value in lower case.
            if length is not None or value != b"chunked":
                return headers, None
            length = _CHUNKED
        elif name == b"connection" and value.lower() != b"keep-alive":
            return headers, None
    return headers, length
