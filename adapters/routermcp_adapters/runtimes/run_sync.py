"""Running a coroutine without an event loop.

A coroutine whose awaits never suspend runs from start to end in one ``send(None)``. All
I/O of the blocking runtime is of that kind: it blocks the thread instead. So the driver's
one text serves blocking code as it is, with no loop, no thread and no portal between.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Limits(threading.local):
    """The deadlines of the calls that a thread is making, outermost first."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []


limits = _Limits()


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises:
        RuntimeError: It did suspend, in an await that belongs to an event loop.
    """
    scopes = limits.scopes
    depth = len(scopes)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    finally:
        # Ctrl-C may have kept a limit from being lifted, and it would limit all later calls.
        # No function is called here, so that another Ctrl-C cannot come between.
        del scopes[depth:]
    coroutine.close()
    raise RuntimeError("blocking code was given an awaitable that only an event loop can wait for")


def native(coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Leave a coroutine to the event loop: the counterpart of :func:`run_sync` on the async side."""
    return coroutine
