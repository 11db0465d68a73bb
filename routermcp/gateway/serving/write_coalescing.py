"""uvicorn's protocol on a transport that sends the writes of one turn of the loop at once.

uvicorn writes the head of a response and its body apart. Each write is a system call here and
another wake-up of the client, which together cost as much as a quarter of the gateway's work
on a call.

A head leaves with the first piece of its body, at once: until there is one, the response must not
begin (ASGI, "Response Start"). What follows in a stream is gathered to the end of the turn.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    # One of uvicorn's two protocols stands beside the classes of this module.
    HTTPProtocol = object

#: Bytes that are held back at most until the turn of the loop ends: asyncio's size of a full
#: buffer, so that the writer of more has to wait as without us.
MAX_GATHERED = 64 * 1024

#: How the heads of responses begin that a body follows, which none of 1xx is.
_HEADS = (b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4", b"HTTP/1.1 5")


class CoalescingTransport(asyncio.Transport):
    """Holds a head back until its body follows, other data until the running turn of the event loop ends.

    Everything but writing is the wrapped transport's. Each method is written out: with ``__getattr__``
    every attribute of this class would be looked up in the slow way.

    Attributes:
        last_length: The length of what was written last: all of it may be kept until its end is sent.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._length = 0
        self._head_waits = False
        self.last_length = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Write data at the end of the turn, or at once where a head waits for it."""
        piece = bytes(data)
        self._gathered.append(piece)
        self._length += len(piece)
        if self._head_waits or self._length > MAX_GATHERED:
            self.flush()
        elif len(self._gathered) == 1:
            self._head_waits = piece.startswith(_HEADS)
            if not self._head_waits:
                self._loop.call_soon(self.flush)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Write pieces of data at the end of the turn."""
        for data in list_of_data:
            self.write(data)

    def flush(self) -> None:
        """Write what was held back."""
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._length, self._head_waits = 0, False
            self.last_length = len(data)
            # The client may have gone since: uvloop raises then, where asyncio drops the data.
            if not self._transport.is_closing():
                self._transport.write(data)

    def write_eof(self) -> None:
        """Close the sending side after the pending data."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection after the pending data."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._gathered.clear()
        self._length, self._head_waits = 0, False
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closing or closed."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes."""
        return self._length + self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how much may wait unsent before the writer is told to pause."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return these limits."""
        return self._transport.get_write_buffer_limits()

    def can_write_eof(self) -> bool:
        """Return whether the sending side can be closed alone."""
        return self._transport.can_write_eof()

    def is_reading(self) -> bool:
        """Return whether data is being received."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Receive nothing until told to."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._transport.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the wrapped transport says of the connection."""
        return self._transport.get_extra_info(name, default)


class GatheringProtocol(HTTPProtocol):
    """Has a protocol of uvicorn write in fewer pieces."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        coalescing: Any = CoalescingTransport(transport, asyncio.get_running_loop())
        super().connection_made(coalescing)

    def on_response_complete(self) -> None:
        """Send what is left of a response: its head alone, where no body follows (HEAD)."""
        coalescing: Any = self.transport
        coalescing.flush()
        super().on_response_complete()
