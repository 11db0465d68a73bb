"""Resetting in a forked child process what it must not share with its parent: connections, sessions, locks.

A server that forks its workers after the application was loaded (gunicorn with preload,
Celery) copies connected clients. Both processes would write to the same connections, and a
lock that another thread held at that moment would stay locked for ever in the child.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Forkable(Protocol):
    """An object that has to be reset in a child process."""

    def after_fork(self) -> None:
        """Reset: only this thread is left, and what is open belongs to the parent."""
        ...


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()

# ``watch(item)`` resets an item in each child, for as long as the item lives.
watch = _watched.add


_resets: list[Callable[[], None]] = []

# ``do_in_child(reset)`` calls a function in each child.
do_in_child = _resets.append


_inherited: list[object] = []

# Keep what a child has taken over, so that it is never closed there: that would disturb the parent.
never_close = _inherited.append


def _in_child() -> None:
    for reset in _resets:
        reset()
    for item in tuple(_watched):
        item.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
