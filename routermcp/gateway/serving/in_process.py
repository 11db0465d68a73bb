"""A gateway in the same process and event loop, with no socket between."""

from __future__ import annotations

import asyncio
import copy
import weakref
from collections.abc import Mapping
from typing import Any

from routermcp_adapters.runtime import Runtime, StreamClosedError
from routermcp_adapters.streams.base import MessageStream
from routermcp_proto.exceptions import ConfigError

from ..backend import Backend, Changing
from .stream import StreamServer

#: Messages queued for a client that does not read.
MAX_QUEUED_MESSAGES = 64


class MemoryTransport:
    """Opens streams to a backend in the same event loop, each for one user.

    Args:
        backend: The backend to serve.
        name: Its name in errors.
        loop: The loop of the backend, None for the one that opens a stream.
    """

    def __init__(
        self,
        backend: Backend,
        name: str = "the local gateway",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._backend = backend
        self._name = name
        self._loop = loop
        self._user_id: str | None = None
        self._streams: weakref.WeakSet[MemoryStream] = weakref.WeakSet()
        if isinstance(backend, Changing):
            backend.on_changed = self._announce

    def _announce(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        for stream in tuple(self._streams):
            stream.announce(method, params, session_id, server)

    def for_user(self, user_id: str | None) -> MemoryTransport:
        """Return the transport for a user."""
        own = copy.copy(self)
        own._user_id = user_id  # noqa: SLF001 - of a copy of ours
        return own

    async def open(self, runtime: Runtime) -> MessageStream:
        """Open a stream.

        Raises:
            ConfigError: The client runs in another event loop.
        """
        if runtime.name != "asyncio" or self._loop not in (None, asyncio.get_running_loop()):
            raise ConfigError(f"{self._name} is reached from its own event loop only; use its url elsewhere")
        stream = MemoryStream(self._backend, self._user_id)
        self._streams.add(stream)
        return stream

    def __str__(self) -> str:
        return self._name


class MemoryStream:
    """One client's connection."""

    def __init__(self, backend: Backend, user_id: str | None) -> None:
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._server = StreamServer(backend, self._inbox.put, user_id)
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    def announce(
        self, method: str, params: Mapping[str, Any], session_id: str | None = None, server: str | None = None
    ) -> None:
        """Send the client a notification that it is subscribed to."""
        if not self._closed:
            self._server.announce(method, params, session_id, server)

    async def send(self, payload: bytes) -> None:
        """Send a message to the gateway."""
        if self._closed:
            raise StreamClosedError("the stream is closed")
        await self._server.receive(payload)

    async def receive(self) -> bytes:
        """Wait for a message of the gateway, ``b""`` at the end."""
        if self._closed:
            return b""
        return await self._inbox.get()

    async def aclose(self) -> None:
        """Cancel the requests under way."""
        self.abort()
        if self._closing is not None:
            await self._closing

    def abort(self) -> None:
        """Begin to cancel the requests under way."""
        if not self._closed:
            self._closed = True
            if self._inbox.full():
                self._inbox.get_nowait()
            self._inbox.put_nowait(b"")
            self._closing = asyncio.ensure_future(self._server.close())
