"""What a child process must not take over from its parent: connections, sessions, locks.

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
    """Something that has to be made new in a child process."""

    def after_fork(self) -> None:
        """Begin anew: only this thread is left, and what is open belongs to the parent."""
        ...


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()

# Add from here on: ``watch(thing)`` for as long as the thing lives.
watch = _watched.add


_acts: list[Callable[[], None]] = []

# Have something done in every child.
do_in_child = _acts.append


_inherited: list[object] = []

# Keep what a child has taken over, so that it is never closed there: that would disturb the parent.
never_close = _inherited.append


def _in_child() -> None:
    for act in _acts:
        act()
    for thing in tuple(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
