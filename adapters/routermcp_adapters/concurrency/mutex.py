"""A lock for any runtime, which callers get in the order of their arrival."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..runtime import Event, Runtime
from .ctrl_c import ensured

T = TypeVar("T")
ArgT = TypeVar("ArgT")


class _Turn:
    """The place of one caller in the queue."""

    flag: Event | None = None


class Mutex:
    """Runs the work of one caller at a time; the others wait until their deadline.

    Args:
        runtime: Makes the events that callers wait for.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._turns: deque[_Turn] = deque()
        """The turn that has the lock, and those that wait behind it."""

    @property
    def idle(self) -> bool:
        """Whether no caller has the lock or waits for it."""
        return not self._turns and not self._lock.locked()

    async def run(self, work: Callable[[ArgT], Awaitable[T]], argument: ArgT) -> T:
        """Wait for all earlier callers, then run the work.

        Raises:
            Exception: What the work raised.
        """
        turn = _Turn()
        leaving = ensured(self._leave, turn)
        try:
            with self._lock:
                self._turns.append(turn)
                if self._turns[0] is not turn:
                    turn.flag = self._runtime.event()
            if turn.flag is not None:
                await turn.flag.wait()
            return await work(argument)
        finally:
            leaving.close()

    def _leave(self, turn: _Turn) -> None:
        """Let the next caller in, or leave the queue; may be called again."""
        turns = self._turns
        with self._lock:
            if turn in turns:
                turns.remove(turn)
            flag = turns[0].flag if turns else None
            if flag is not None:
                flag.set()
