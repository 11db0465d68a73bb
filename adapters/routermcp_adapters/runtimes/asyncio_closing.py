"""Closing what an event loop of asyncio cannot close any more."""

from __future__ import annotations

from typing import Any


def let_go(transport: Any) -> None:
    """Close a transport whose loop is closed, or another process's: only its descriptor, at once.

    There is no public way: asyncio closes by its loop, and a loop copied by fork shares its
    list of descriptors with the parent.
    """
    encrypted = getattr(transport, "_ssl_protocol", None)
    if encrypted is not None:
        transport._closed = True  # noqa: SLF001
        transport = encrypted._transport  # noqa: SLF001
    if getattr(transport, "_sock", None) is not None:
        transport._call_connection_lost(None)  # noqa: SLF001
