"""Daemon threads for work that cannot be interrupted, such as looking a name up.

An event loop's own executor joins its threads when the loop closes, so one lookup that
hangs for a minute would hold ``asyncio.run`` for as long. These threads are abandoned.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TypeVar

from . import _fork

T = TypeVar("T")

#: Threads at work at once, abandoned ones included. Name lookups and token stores are
#: short; 64 that all hang mean that nothing of the kind will work, and more would not help.
MAX_THREADS = 64

_slots = threading.BoundedSemaphore(MAX_THREADS)
_numbers = itertools.count(1)


def _after_fork() -> None:
    """Forget the threads of the parent process."""
    global _slots  # noqa: PLW0603 - the threads are one set for the process
    _slots = threading.BoundedSemaphore(MAX_THREADS)


_fork.do_in_child(_after_fork)


def start(work: Callable[[], T], done: Callable[[T | None, BaseException | None], object]) -> None:
    """Run work in a daemon thread and report there how it ended.

    Args:
        work: What to do.
        done: Called in the thread with the result and the error, one of which is None.

    Raises:
        OSError: Too many such threads are at work.
    """
    slots = _slots
    if not slots.acquire(blocking=False):
        raise OSError(f"{MAX_THREADS} lookups are under way already")

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as problem:  # noqa: BLE001 - reported to the waiting caller, whatever it is
            error = problem
        finally:
            slots.release()
        done(result, error)

    try:
        threading.Thread(target=run, name=f"routermcp-{next(_numbers)}", daemon=True).start()
    except BaseException:
        slots.release()
        raise
