"""uvicorn's protocol on a transport that sends the writes of one turn of the loop at once.

uvicorn writes the head of a response and its body apart. Each write is a system call here and
another wake-up of the client, which together cost as much as a quarter of the gateway's work
on a call.
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


class CoalescingTransport:
    """Holds written data back until the running turn of the event loop ends.

    Everything but writing is the wrapped transport's.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._length = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Write data at the end of the turn."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(bytes(data))
        self._length += len(data)
        if self._length > MAX_GATHERED:
            self._send()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Write pieces of data at the end of the turn."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._length = 0
            # The client may have gone since: uvloop raises then, where asyncio drops the data.
            if not self._transport.is_closing():
                self._transport.write(data)

    def write_eof(self) -> None:
        """Close the sending side after the pending data."""
        self._send()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection after the pending data."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._gathered.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closing or closed."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes."""
        return self._length + self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatheringProtocol(HTTPProtocol):
    """Has a protocol of uvicorn write in fewer pieces."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        coalescing: Any = CoalescingTransport(transport, asyncio.get_running_loop())
        super().connection_made(coalescing)
