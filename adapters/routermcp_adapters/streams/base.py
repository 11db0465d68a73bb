"""The streams that an author of a custom transport implements.

Either a :class:`MessageStream`, which keeps messages apart itself (a WebSocket, a queue),
or a :class:`~routermcp_adapters.runtime.ByteStream` in a :class:`LineStream`, which puts
one message on a line as stdio does.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.framing import LineDecoder

from ..runtime import ByteStream, Runtime


class MessageStream(Protocol):
    """A connection that carries whole messages. Errors are :class:`OSError`.

    One caller at a time sends, and one receives. Either may be cancelled at any await.
    """

    async def send(self, payload: bytes) -> None:
        """Send one message.

        A send that is cancelled or fails half-way must not leave half a message: either
        what is left goes out before the next message, or the stream breaks.

        Raises:
            StreamClosedError: Nothing of it was sent.
            OSError: The connection failed.
        """
        ...

    async def receive(self) -> bytes:
        """Wait for the next message and return it, ``b""`` at the end.

        A receive that is cancelled loses nothing: what had come is there for the next one.

        Raises:
            OSError: The connection failed.
        """
        ...

    async def aclose(self) -> None:
        """Close in an orderly way, within a bound."""
        ...

    def abort(self) -> None:
        """Close at once, without waiting; may be called again."""
        ...


class Transport(Protocol):
    """Opens a stream to a server for each session.

    In blocking code the same coroutines run, but nothing they await may suspend.
    """

    async def open(self, runtime: Runtime) -> MessageStream:
        """Open a stream to the server.

        Args:
            runtime: The asyncio, trio or blocking runtime that the client runs in, with
                its clock, waits and events.

        Raises:
            OSError: The server cannot be reached.
            MCPError: The same, with a message of your own.
        """
        ...

    def __str__(self) -> str:
        """Return the name of the server for messages, without secrets."""
        ...


class LineStream:
    """One message a line over a byte stream.

    Args:
        stream: The bytes.
        max_message_size: Bytes of the longest line.
    """

    def __init__(self, stream: ByteStream, max_message_size: int | None = None) -> None:
        self._stream = stream
        self._decoder = LineDecoder() if max_message_size is None else LineDecoder(max_message_size)
        self._lines: deque[bytes] = deque()
        self._sending = False

    async def send(self, payload: bytes) -> None:
        """Send one line.

        A byte stream cannot say how much of a cancelled send has left, so one that was
        broken off breaks the connection: the next message would continue half a line.
        """
        if self._sending:
            self.abort()
            raise OSError("an earlier message was cut off half-way, so the connection is unusable")
        self._sending = True
        await self._stream.send_all(payload + b"\n")
        self._sending = False

    async def receive(self) -> bytes:
        """Return the next line, ``b""`` at the end of the stream."""
        while not self._lines:
            data = await self._stream.receive_some()
            try:
                if not data:
                    self._lines.extend(self._decoder.receive_eof())
                    return self._lines.popleft() if self._lines else b""
                self._lines.extend(self._decoder.receive_data(data))
            except RemoteProtocolError as error:
                raise OSError(str(error)) from error
        return self._lines.popleft()

    async def aclose(self) -> None:
        """Close the byte stream."""
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the byte stream at once."""
        self._stream.abort()
