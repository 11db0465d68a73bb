"""One at a time, in the order of arrival, on any runtime."""

from __future__ import annotations

import threading
from collections import deque

from ..runtime import Event, Runtime


class Mutex:
    """Lets one caller in at a time; the others wait until their deadline.

    Each caller takes a :class:`Turn`, begins it inside a ``try`` and ends it in ``finally``.
    A context manager would not do: Ctrl-C may come when it has begun and its block has not.

    Args:
        runtime: How to wait.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.lock = threading.Lock()
        self.turns: deque[Turn] = deque()
        """The turn that has begun, and those that wait behind it."""


class Turn:
    """The turn of one caller."""

    __slots__ = ("_flag", "_mutex")

    def __init__(self, mutex: Mutex) -> None:
        self._mutex = mutex
        self._flag: Event | None = None

    async def begin(self) -> None:
        """Wait until everybody has ended who came before."""
        mutex = self._mutex
        with mutex.lock:
            mutex.turns.append(self)
            if mutex.turns[0] is self:
                return
            flag = self._flag = mutex.runtime.event()
        await flag.wait()

    def end(self) -> None:
        """Let the next one in, or wait no longer; may be called again."""
        turns = self._mutex.turns
        with self._mutex.lock:
            if self in turns:
                turns.remove(self)
            flag = turns[0]._flag if turns else None  # noqa: SLF001 - of another of these
            if flag is not None:
                flag.set()
