"""Warnings of clients that are collected as garbage while they are connected."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Sequence
from types import FrameType
from typing import Protocol

_OURS = ("routermcp", "routermcp_adapters")


class Closable(Protocol):
    """A resource that has to be closed; it must not refer to its owner, which it would keep alive."""

    def close(self, *, everything: bool) -> None:
        """Close everything, or only what no thread or task can be using any more."""
        ...


class UnclosedGuard:
    """Closes the resources of an owner, and warns, if the owner is collected before it has done so.

    It is armed by storing an attribute, between which and the opening no Ctrl-C can come.

    Args:
        owner: The client that is about to hold resources.

    Attributes:
        resources: What is open now, None for nothing; empty where it closes by itself when it
            is collected.
    """

    def __init__(self, owner: object) -> None:
        self.resources: Sequence[Closable] | None = None
        weakref.finalize(owner, _close_forgotten, weakref.ref(owner), self, _caller_outside())


def _caller_outside() -> tuple[str, int]:
    """Return the file and line of the nearest caller outside this project."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def _close_forgotten(owner: weakref.ref[object], guard: UnclosedGuard, made_at: tuple[str, int]) -> None:
    if guard.resources is None:
        return
    # When the interpreter ends, threads that are in the middle of a call end with it.
    collected = owner() is None
    for resource in guard.resources:
        resource.close(everything=collected)
    if collected:
        warnings.warn_explicit(
            "a client was made here and has not been disconnected: "
            "use it in a with block, or call disconnect()",
            ResourceWarning,
            *made_at,
        )
