"""uvicorn's protocol on a transport that sends what is written in one turn of the loop at once.

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
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HTTPProtocol

#: Bytes that are held back at most until the turn of the loop ends: what asyncio takes for a
#: full buffer, so that whoever writes more is told to wait as without us.
MAX_GATHERED = 64 * 1024


class CoalescingTransport(asyncio.Transport):
    """Holds back what is written until the running turn of the event loop ends.

    Args:
        transport: Where everything goes.
        loop: The running event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._length = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Take data that is to be sent."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(bytes(data))
        self._length += len(data)
        if self._length > MAX_GATHERED:
            self._send()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Take pieces of data that are to be sent."""
        for data in list_of_data:
            self.write(data)

    def _send(self) -> None:
        if self._gathered:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._length = 0
            self._transport.write(data)

    def can_write_eof(self) -> bool:
        """Whether the sending side can be closed alone."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Close the sending side after what was written."""
        self._send()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection after what was written."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._gathered.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or is about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def is_reading(self) -> bool:
        """Whether data is received."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Receive nothing more until told."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many unsent bytes on writers have to wait."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._length + self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return from how many unsent bytes on writers have to wait, and until when."""
        return self._transport.get_write_buffer_limits()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who has the connection."""
        return self._transport.get_protocol()


class GatheringProtocol(HTTPProtocol):
    """HTTP as uvicorn serves it, in fewer writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(CoalescingTransport(transport, asyncio.get_running_loop()))
