"""A transport over WebSocket, on the sans-I/O layer of ``websockets``.

The protocol of WebSocket is a machine without I/O, as that of MCP is: this module only
carries bytes between the two and the runtime's socket. So one text serves asyncio, trio
and blocking code.
"""

import socket
from collections import deque

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri


class WebSocketTransport:
    """Opens a WebSocket for each session.

    Args:
        url: For example ``ws://127.0.0.1:8765/mcp``; the host is an address.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self, runtime) -> "WebSocketStream":
        uri = parse_uri(self._url)
        stream = await runtime.connect([(socket.AF_INET, (uri.host, uri.port))], None, uri.host)
        websocket = WebSocketStream(stream, ClientProtocol(uri, max_size=64 * 1024 * 1024))
        try:
            await websocket.shake_hands()
        except BaseException:
            websocket.abort()
            raise
        return websocket

    def __str__(self) -> str:
        return self._url.partition("?")[0]


class WebSocketStream:
    """One message of MCP in one text message of WebSocket."""

    def __init__(self, stream, protocol: ClientProtocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._messages: deque[bytes] = deque()
        self._fragments = b""
        self._unsent = False

    async def shake_hands(self) -> None:
        protocol = self._protocol
        protocol.send_request(protocol.connect())
        await self._flush()
        while protocol.state.name == "CONNECTING":
            await self._read()
            if protocol.handshake_exc is not None:
                raise OSError(f"the WebSocket was refused: {protocol.handshake_exc}") from (
                    protocol.handshake_exc if isinstance(protocol.handshake_exc, InvalidHandshake) else None
                )

    async def send(self, payload: bytes) -> None:
        if self._unsent:
            # A send that was broken off has left half a frame: nothing can follow it.
            self.abort()
            raise OSError("a message was cut off half-way")
        if self._protocol.state.name != "OPEN":
            raise OSError("the WebSocket is closed")
        self._protocol.send_text(payload)
        await self._flush()

    async def _flush(self) -> None:
        self._unsent = True
        for data in self._protocol.data_to_send():
            if data:
                await self._stream.send_all(data)
        self._unsent = False

    async def receive(self) -> bytes:
        while not self._messages:
            if not await self._read():
                return b""
        return self._messages.popleft()

    async def _read(self) -> bool:
        """Take what comes; say whether there can be more."""
        data = await self._stream.receive_some()
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        return bool(data)

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return  # pings are answered by the protocol itself
        self._fragments = frame.data if frame.opcode is not Opcode.CONT else self._fragments + frame.data
        if frame.fin:
            self._messages.append(bytes(self._fragments))
            self._fragments = b""

    async def aclose(self) -> None:
        if not self._unsent:
            self._protocol.send_close(1000)
            await self._flush()
        self.abort()

    def abort(self) -> None:
        self._stream.abort()
