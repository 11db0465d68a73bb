"""Doing once what many ask for at the same time."""

from __future__ import annotations

import copy
import threading
from collections.abc import Awaitable, Callable

from routermcp_proto.exceptions import MCPError

from ..runtime import Event, Runtime


class _Flight:
    def __init__(self, landed: Event) -> None:
        self.landed = landed
        self.done = False
        self.error: MCPError | None = None


class SingleFlight:
    """Lets the first caller do the work while the others wait for what comes of it.

    A leader that is cancelled takes nobody with it: one of those who wait becomes the next.
    An error is shared, each caller raising a copy of its own.

    Args:
        lock: Held for a moment, so that many may have the same one.
    """

    __slots__ = ("_flight", "_lock")

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = lock or threading.Lock()
        self._flight: _Flight | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is doing the work."""
        return self._flight is not None

    async def run(self, runtime: Runtime, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work, or wait until somebody has done it.

        Raises:
            MCPError: The work failed.
        """
        while True:
            mine = _Flight(runtime.event())
            try:
                with self._lock:
                    flight = self._flight
                    if flight is None:
                        flight = self._flight = mine
                if flight is mine:
                    return await self._lead(mine, work)
            finally:
                if self._flight is mine:
                    self._flight = None
                    try:
                        mine.landed.set()
                    finally:  # Ctrl-C may have cut the first attempt short
                        mine.landed.set()
            await flight.landed.wait()
            if flight.error is not None:
                raise copy.copy(flight.error) from flight.error
            if flight.done:
                return None

    async def _lead(self, flight: _Flight, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
            flight.done = True
        except MCPError as error:
            flight.error = error
            raise
