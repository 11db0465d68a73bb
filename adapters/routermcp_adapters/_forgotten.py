"""Clients that are forgotten while they are connected."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable
from types import FrameType

from ._pool import ConnectionPool, Holdings

Place = tuple[str, int]
"""A file and a line."""

_OURS = ("routermcp", "routermcp_adapters")


def caller() -> Place:
    """Return where the code that is not ours has called us."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def watch(owner: object, pool: ConnectionPool, made_at: Place) -> Callable[[], object]:
    """Close a pool with its owner, and warn if the owner is collected as garbage before that.

    Returns:
        What ends the watch.
    """
    # Neither the pool nor a runtime that may know the owner: this must not keep it alive.
    return weakref.finalize(owner, _close, weakref.ref(owner), pool.holdings(), made_at).detach


def _close(owner: weakref.ref[object], holdings: Holdings, made_at: Place) -> None:
    if owner() is not None:
        # The interpreter ends; threads that are in the middle of a call end with it.
        holdings.close(everything=False)
        return
    holdings.close(everything=True)
    warnings.warn_explicit(
        "a client was made here and has not been disconnected: use it in a with block, or call disconnect()",
        ResourceWarning,
        *made_at,
    )
