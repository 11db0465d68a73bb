"""Splitting bytes into lines: the framing of stdio and of every other stream of JSON-RPC messages.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/stdio
"""

from __future__ import annotations

from .exceptions import RemoteProtocolError

#: Bytes of one message over any transport: a line with a carriage return at its end, a JSON answer,
#: an event. Tools return files and images as base64; 64 MiB holds a picture of 48 MB and keeps a
#: hostile server from filling the memory.
MAX_MESSAGE_SIZE = 64 * 1024 * 1024


class LineDecoder:
    """Splits bytes that come in any pieces into lines.

    Args:
        max_line_size: Bytes of the longest line.
    """

    def __init__(self, max_line_size: int = MAX_MESSAGE_SIZE) -> None:
        self._max = max_line_size
        self._pieces: list[bytes] = []
        self._size = 0

    def receive_data(self, data: bytes) -> list[bytes]:
        """Feed bytes and return the lines that they complete, without line ends and without empty lines.

        Raises:
            RemoteProtocolError: A line is too long.
        """
        head, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(head)
            return []
        self._keep(head)
        lines = [b"".join(self._pieces)]
        *whole, last = rest.split(b"\n")
        lines += whole
        self._pieces, self._size = [], 0
        self._keep(last)
        return self._checked(lines)

    def receive_eof(self) -> list[bytes]:
        """Return the last line, if it had no line end."""
        lines = [b"".join(self._pieces)]
        self._pieces, self._size = [], 0
        return self._checked(lines)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max:
            raise RemoteProtocolError(f"a line is longer than {self._max} bytes")
        if piece:
            self._pieces.append(piece)

    def _checked(self, lines: list[bytes]) -> list[bytes]:
        if max(map(len, lines)) > self._max:
            raise RemoteProtocolError(f"a line is longer than {self._max} bytes")
        stripped = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        return [line for line in stripped if line]
