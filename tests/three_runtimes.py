"""One test body for asyncio, for trio and for plain blocking code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import trio

from routermcp.testing.three_runtimes import RUNTIMES, abandon, gather, make_client, run

__all__ = [
    "LATE_SECONDS",
    "RUNTIMES",
    "SLACK_SECONDS",
    "abandon",
    "abandon_when",
    "gather",
    "make_client",
    "run",
]

#: Seconds by which a call may miss its deadline on real sockets; the moment itself is tested on virtual
#: time (``tests/adapters/test_driver.py``).
SLACK_SECONDS = 0.35

#: Seconds after which something hangs that is not about a deadline.
LATE_SECONDS = 10.0

#: Seconds within which a request reaches a server on this machine, however busy that is.
ARRIVAL_SECONDS = 2.0

#: Seconds between two looks at whether a request has reached its server.
LOOK_SECONDS = 0.005


async def abandon_when(
    reached: Callable[[], object], runtime: str, call: Callable[..., Coroutine[Any, Any, Any]]
) -> bool:
    """Start a call and give it up once something has happened; return whether it was given up.

    Blocking code cannot look while it waits: there the call gets a time-out in which that does happen.
    """
    if runtime == "asyncio":
        task = asyncio.ensure_future(call())
        while not reached() and not task.done():
            await asyncio.sleep(LOOK_SECONDS)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        return task.cancelled()
    if runtime == "trio":
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    while not reached():
                        await trio.sleep(LOOK_SECONDS)
                    scope.cancel()

                nursery.start_soon(look)
                await call()
                nursery.cancel_scope.cancel()
        return scope.cancelled_caught
    given_up = await abandon(runtime, ARRIVAL_SECONDS, call)
    assert reached()
    return given_up
