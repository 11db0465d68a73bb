"""Clients that are forgotten while they are connected."""

from __future__ import annotations

import inspect
import warnings
import weakref
from types import FrameType
from typing import Protocol

Place = tuple[str, int]
"""A file and a line."""

_OURS = ("routermcp", "routermcp_adapters")


def caller() -> Place:
    """Return where the code that is not ours has called us."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


class Holdings(Protocol):
    """What is open and has to be closed; it must not lead to the owner, which it would keep alive."""

    def close(self, *, everything: bool) -> None:
        """Close everything, or that only that nobody can be using any more."""
        ...


class SelfClosing:
    """What closes by itself when it is collected or the interpreter ends."""

    def close(self, *, everything: bool) -> None:
        """Do nothing."""


class UnclosedGuard:
    """Closes what an owner holds, and warns, if the owner is collected as garbage meanwhile.

    It is set by storing an attribute, between which and what it is about no Ctrl-C can come.

    Args:
        owner: Whom to watch.
        made_at: Where the owner was made.

    Attributes:
        holdings: What it holds now, None for nothing.
    """

    def __init__(self, owner: object, made_at: Place) -> None:
        self.holdings: Holdings | None = None
        weakref.finalize(owner, _close, weakref.ref(owner), self, made_at)


def _close(owner: weakref.ref[object], watch: UnclosedGuard, made_at: Place) -> None:
    holdings = watch.holdings
    if holdings is None:
        return
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
