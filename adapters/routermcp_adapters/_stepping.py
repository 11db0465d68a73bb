"""Running a coroutine without an event loop.

A coroutine whose awaits never suspend runs from start to end in one ``send(None)``. All
I/O of the blocking runtime is of that kind: it blocks the thread instead. So the driver's
one text serves blocking code as it is, with no loop, no thread and no portal between.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises:
        RuntimeError: It did suspend: something in it belongs to an event loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("blocking code was given something that only an event loop can wait for")


def native(coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Leave a coroutine to the event loop: the counterpart of :func:`step` on the async side."""
    return coroutine
