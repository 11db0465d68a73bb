"""One at a time, in the order of arrival, on any runtime."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Self

from .runtime import Event, Runtime


class Mutex:
    """Lets one caller in at a time; the others wait until their deadline.

    Args:
        runtime: How to wait.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._taken = False
        self._queue: deque[Event] = deque()

    async def __aenter__(self) -> Self:
        """Wait for the turn."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return self
            turn = self._runtime.event()
            self._queue.append(turn)
        try:
            await turn.wait()
        except BaseException:
            with self._lock:
                waits = turn in self._queue
                if waits:
                    self._queue.remove(turn)
            if not waits:
                self._pass_on()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._taken = False
