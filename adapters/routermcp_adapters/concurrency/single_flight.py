"""Running once what many callers ask for at the same time (Go's ``singleflight``)."""

from __future__ import annotations

import copy
import threading
from collections.abc import Awaitable, Callable

from routermcp_proto.exceptions import MCPError

from ..runtime import Event, Runtime
from . import fork
from .ctrl_c import ensured

_lock = threading.Lock()


def _after_fork() -> None:
    """Forget a thread of the parent process that held the lock."""
    global _lock  # noqa: PLW0603 - the lock is one for the process
    _lock = threading.Lock()


fork.do_in_child(_after_fork)


class _Flight:
    def __init__(self, landed: Event) -> None:
        self.landed = landed
        self.done = False
        self.error: MCPError | None = None


class SingleFlight:
    """Lets the first caller run the work while the others wait for its result.

    If the first caller is cancelled, one of those that wait runs the work again. An error is
    shared, and each caller raises a copy of its own.

    Args:
        lock: Held for a moment, so that many may share one; None for that of the process.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = ("_flight", "_lock")

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = lock
        self._flight: _Flight | None = None

    @property
    def busy(self) -> bool:
        """Whether a caller is running the work."""
        return self._flight is not None

    async def run(self, runtime: Runtime, work: Callable[[], Awaitable[object]]) -> None:
        """Run the work, or wait until another caller has run it.

        Raises:
            MCPError: The work failed.
        """
        while True:
            mine = _Flight(runtime.event())
            landing = ensured(self._land, mine)
            try:
                with self._lock or _lock:
                    flight = self._flight
                    if flight is None:
                        flight = self._flight = mine
                if flight is mine:
                    return await self._lead(mine, work)
            finally:
                landing.close()
            await flight.landed.wait()
            if flight.error is not None:
                raise copy.copy(flight.error) from flight.error
            if flight.done:
                return None

    def _land(self, flight: _Flight) -> None:
        """Let a new flight start, and wake the callers that wait for this one; may be called again."""
        if self._flight is flight:
            self._flight = None
        flight.landed.set()

    async def _lead(self, flight: _Flight, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
            flight.done = True
        except MCPError as error:
            flight.error = error
            raise
