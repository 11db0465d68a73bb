"""Pausing the cyclic garbage collector while a large answer is read.

A list of 10,000 tools becomes some 300,000 objects, none of which is garbage. The
collector looks through all of them again and again while they are made, which is four
fifths of the time it takes to read the list.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

from . import fork
from .ctrl_c import ensured

#: Bytes of an answer from which on the collector is paused: below, it hardly gets to run.
PAUSE_SIZE = 1024 * 1024

#: Objects that CPython 3.12 freezes itself when it starts, some hundred. An application that freezes its own
#: has at least as many as the modules imported here, which are several thousand.
FROZEN_AT_START = 1_000

_lock = threading.Lock()
_pausing: set[object] = set()
_paused_by_us = False


@contextmanager
def paused() -> Generator[None]:
    """Pause the collector while a large answer is read; several may be read at once.

    ``ROUTERMCP_NO_GC_PAUSE`` in the environment switches this off.
    """
    if "ROUTERMCP_NO_GC_PAUSE" in os.environ:
        yield
        return
    pause = object()
    ending = ensured(_end_gc_pause, pause)
    try:
        _begin_gc_pause(pause)
        yield
    finally:
        ending.close()


def collect_new() -> None:
    """Let the collector look through what was made since it last did, if it is paused.

    Objects that are still in the processor's cache take it a fifth of the time that they take at
    the end of the pause.
    """
    if _paused_by_us:
        gc.collect(0)


def _after_fork() -> None:
    """End the pauses of threads that exist in the parent process only."""
    global _lock, _paused_by_us  # noqa: PLW0603 - the collector is one for the process
    _lock = threading.Lock()
    _pausing.clear()
    if _paused_by_us:
        gc.enable()
        _paused_by_us = False


fork.do_in_child(_after_fork)


def _begin_gc_pause(pause: object) -> None:
    global _paused_by_us  # noqa: PLW0603 - the collector is one for the process
    with _lock:
        if not _pausing and gc.isenabled():
            _paused_by_us = True
            gc.disable()
        _pausing.add(pause)


def _end_gc_pause(pause: object) -> None:
    """End a pause, whether or not it had begun; may be called again."""
    global _paused_by_us  # noqa: PLW0603 - the collector is one for the process
    with _lock:
        _pausing.discard(pause)
        if not _pausing and _paused_by_us:
            _promote()
            gc.enable()
            _paused_by_us = False


def _promote() -> None:
    """Move what was made in the pause to the oldest generation, without looking through it.

    Otherwise the collector looks through all of it at once, which is a sixth of the time that a long list
    takes. It has no cycles, and is freed without the collector. An application that has frozen objects of
    its own keeps them so.
    """
    if gc.get_freeze_count() <= FROZEN_AT_START:
        gc.freeze()
        gc.unfreeze()
