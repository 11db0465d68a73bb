"""Compressed bodies, which some servers and proxies send although no request asked for them.

Source: RFC 9110, section 8.4.1; RFC 1950, RFC 1951 and RFC 1952.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..exceptions import RemoteProtocolError

#: Bytes that one piece of a compressed body may become before the reader looks at its limits again.
MAX_PIECE = 256 * 1024

#: How many times longer than what came a body may become. JSON shrinks to a tenth, seldom to a
#: fiftieth; a body made to fill the memory goes to a thousandth, which is what deflate can do.
MAX_RATIO = 200

#: Bytes that a body may have whatever the ratio: a short answer of many blanks is no attack.
FREE_SIZE = 1024 * 1024

#: Content codings that are decoded.
ENCODINGS = ("gzip", "x-gzip", "deflate")

_GZIP = 16 + zlib.MAX_WBITS


class Decompressor:
    """Decompresses one body that comes in any pieces.

    Args:
        encoding: The ``Content-Encoding``, in lower case.

    Raises:
        LookupError: It is not in :data:`ENCODINGS`.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in ENCODINGS:
            raise LookupError(encoding)
        self._encoding = encoding
        self._begun = b""
        self._zlib = None if encoding == "deflate" else zlib.decompressobj(_GZIP)
        self._received = 0
        self._given = 0

    def receive_data(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and give what they become, piece by piece.

        Raises:
            RemoteProtocolError: They are not compressed so, or become far more than was sent.
        """
        self._received += len(data)
        if self._zlib is None:
            self._begun += data
            if len(self._begun) < 2:
                return
            # Some send a raw stream of RFC 1951 where RFC 9110 has one with the head of RFC 1950.
            head = int.from_bytes(self._begun[:2], "big")
            wrapped = self._begun[0] & 0x0F == zlib.DEFLATED and head % 31 == 0
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
            data, self._begun = self._begun, b""
        while data:
            try:
                piece = self._zlib.decompress(data, MAX_PIECE)
            except zlib.error as error:
                raise RemoteProtocolError(f"the body is not {self._encoding}: {error}") from None
            self._given += len(piece)
            if self._given > max(FREE_SIZE, self._received * MAX_RATIO):
                raise RemoteProtocolError(
                    f"the body of {self._encoding} grows to more than {MAX_RATIO} times its size"
                )
            if piece:
                yield piece
            data = self._zlib.unconsumed_tail
            if not data and self._zlib.eof and self._zlib.unused_data:
                if self._encoding == "deflate":
                    return
                data, self._zlib = self._zlib.unused_data, zlib.decompressobj(_GZIP)

    def receive_eof(self) -> None:
        """Take the end of the body.

        Raises:
            RemoteProtocolError: The body is cut short.
        """
        if self._received and (self._zlib is None or not self._zlib.eof):
            raise RemoteProtocolError(f"the body of {self._encoding} was cut short")
