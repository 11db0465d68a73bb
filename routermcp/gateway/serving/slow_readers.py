"""Clients that do not read what is sent to them: how long the gateway keeps it, and how much of it.

A response that is complete holds no place for requests any more, and closing a connection waits until
its data are gone: without these bounds, small requests with large answers fill the memory of the gateway.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import Counter
from typing import Any, cast

from .bounds import DEFAULT_BOUNDS, ConnectionBounds
from .write_coalescing import GatheringProtocol

#: Bytes that a client which does not keep up reads in its time: a tenth of what a modem of 1990 does.
MIN_READ = 16 * 1024

# ``SO_LINGER`` for no seconds: closing resets the connection.
_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class ReadingProtocol(GatheringProtocol):
    """A protocol of uvicorn that gives up clients which do not read.

    Nothing is looked at before the transport says that its buffer is full: a client that reads costs nothing.

    Args:
        bounds: What connections may take.

    Attributes:
        source: What the connection is counted by.
        stalled_at: Since when the buffer has been full, on the clock of the event loop; None where it is not.
    """

    def __init__(self, *args: Any, bounds: ConnectionBounds = DEFAULT_BOUNDS, **more: Any) -> None:
        super().__init__(*args, **more)
        self._bounds = bounds
        self.source: str | None = None
        self.stalled_at: float | None = None
        self._unread_before = 0
        self._read_timer: asyncio.TimerHandle | None = None

    @property
    def unread_bytes(self) -> int:
        """The number of bytes that wait for the client."""
        return self.transport.get_write_buffer_size()

    @property
    def held_bytes(self) -> int:
        """The number of bytes in memory for that."""
        return max(self.unread_bytes, cast("Any", self.transport).last_length)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as it is written to."""
        super().pause_writing()
        self.stalled_at = self.loop.time()
        self._watch_reading()
        self._keep_within_memory()

    def resume_writing(self) -> None:
        """Note that the client has read nearly everything."""
        self._forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_stall()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close the connection at once, with what the client has not read."""
        self._forget_stall()
        # The system, too, would keep what it has, and wait for the client.
        sock: socket.socket | None = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _forget_stall(self) -> None:
        self.stalled_at = None
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _watch_reading(self) -> None:
        self._unread_before = self.unread_bytes
        self._read_timer = self.loop.call_later(self._bounds.unread_seconds, self._look_at_reading)

    def _look_at_reading(self) -> None:
        if self.unread_bytes <= self._unread_before - MIN_READ:
            self._watch_reading()
        else:
            self.give_up()

    def _keep_within_memory(self) -> None:
        """Give up clients while too much waits: the first to stall of the address for which the most does."""
        stalled = [each for each in cast("set[Any]", self.connections) if each.stalled_at is not None]
        waiting: Counter[str | None] = Counter()
        for each in stalled:
            waiting[each.source] += each.held_bytes
        total = waiting.total()
        while total > self._bounds.unread_bytes:
            most = max(waiting, key=lambda source: waiting[source])
            own = [each for each in stalled if each.source == most]
            first = min(own, key=lambda each: each.stalled_at)
            stalled.remove(first)
            waiting[most] -= first.held_bytes
            total -= first.held_bytes
            first.give_up()
