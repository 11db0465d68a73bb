"""The stream between a client and a server that is a function in the same process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from routermcp_adapters.runtime import Event, Runtime, StreamClosedError


class ServerEnd(Protocol):
    """The server's end of a connection, without any I/O; times are seconds of the client's clock."""

    broken: OSError | None
    """Why the connection ended, None while it is open."""

    def receive(self, payload: bytes, now: float) -> None:
        """Take a message."""
        ...

    def to_send(self, now: float) -> list[bytes]:
        """Do what is due, and return the messages to be sent."""
        ...

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until something is due, None for nothing."""
        ...

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification."""
        ...


class FakeStream:
    """The connection of one client: sending serves a message at once, receiving waits for the next.

    Args:
        connection: The server's end.
        runtime: Where the client runs.
    """

    def __init__(self, connection: ServerEnd, runtime: Runtime) -> None:
        self._connection = connection
        self._runtime = runtime
        self._lock = threading.RLock()  # of blocking clients, one thread may send and another receive
        self._messages: deque[bytes] = deque()
        self._closed = False
        self._news: Event | None = None

    async def send(self, payload: bytes) -> None:
        """Have the server take a message."""
        with self._lock:
            if self._closed or self._connection.broken is not None:
                raise StreamClosedError("the connection is closed")
            self._connection.receive(payload, self._runtime.now())
            self._tell()

    async def receive(self) -> bytes:
        """Wait for the next message of the server, ``b""`` at the end."""
        while True:
            with self._lock:
                now = self._runtime.now()
                self._messages.extend(self._connection.to_send(now))
                if self._messages:
                    return self._messages.popleft()
                if self._closed or self._connection.broken is not None:
                    return b""
                news = self._news = self._runtime.event()
                seconds = self._connection.seconds_left(now)
            await self._runtime.wait_ready((), (), news, seconds)

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification; may be called from any thread."""
        with self._lock:
            if not self._closed:
                self._connection.notify(method, params)
                self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            self._runtime.call_soon(news.set)

    async def aclose(self) -> None:
        """Close the connection."""
        self.abort()

    def abort(self) -> None:
        """Close the connection."""
        with self._lock:
            self._closed = True
            self._tell()
