"""Cleaning up although Ctrl-C comes in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")


def ensured(release: Callable[[T], object], held: T) -> Generator[None]:
    """Return a generator whose ``close``, called in ``finally``, releases something to the end.

    CPython raises KeyboardInterrupt where a Python function begins and where a call has returned,
    so a function that is called in ``finally`` may be cut short before its first line. ``close``
    is no Python function: it leads straight into the ``finally`` below, which calls ``release``
    again if Ctrl-C came during the first call. A context manager cannot do that: its ``__exit__``
    is a Python function too.

    Args:
        release: Undoes what the ``try`` block did, or the part of it that was done; may be called twice.
        held: Its argument.
    """
    cleanup = _cleanup(release, held)
    next(cleanup)
    return cleanup


def _cleanup(release: Callable[[T], object], held: T) -> Generator[None]:
    try:
        yield
    finally:
        try:
            release(held)
        except KeyboardInterrupt:
            release(held)
            raise
