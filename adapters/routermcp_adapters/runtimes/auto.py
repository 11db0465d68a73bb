"""Detecting the runtime that the caller runs in."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from routermcp_proto.exceptions import ConfigError

from .blocking import BlockingRuntime

if TYPE_CHECKING:
    from ..runtime import Runtime


def running() -> Runtime:
    """Return the runtime of the event loop that is running.

    Raises:
        ConfigError: There is none.
    """
    # A module that another thread is importing is listed before its names exist; nothing runs in it yet.
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_task = getattr(lowlevel, "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        from .trio import TrioRuntime  # noqa: PLC0415 - only where trio is used

        return TrioRuntime()
    from .asyncio import AsyncioRuntime  # noqa: PLC0415 - only where asyncio is used

    try:
        return AsyncioRuntime()
    except RuntimeError:
        raise ConfigError(
            "RouterMCPClient needs asyncio or trio to be running; in plain code use SyncRouterMCPClient"
        ) from None


@cache
def blocking() -> Runtime:
    """Return the runtime of plain code."""
    return BlockingRuntime()
