"""ASGI's lifespan: what an application does at startup and at shutdown.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from routermcp_proto.exceptions import MCPError

from .asgi import Receive, Send

log = logging.getLogger("routermcp.gateway")

LifespanHook = Callable[[], Awaitable[None]]


async def run_lifespan(
    receive: Receive, send: Send, on_startup: LifespanHook | None, on_shutdown: LifespanHook | None
) -> None:
    """Run the hooks when the server asks for them, and report how they ended.

    Where the startup fails, the server ends, and the shutdown hook does not run.
    """
    await receive()
    if not await _run_hook("startup", on_startup, send):
        return
    await receive()
    await _run_hook("shutdown", on_shutdown, send)


async def _run_hook(stage: str, hook: LifespanHook | None, send: Send) -> bool:
    try:
        if hook is not None:
            await hook()
    except Exception as error:
        log.exception("the %s of the gateway failed", stage)
        # The texts of our own errors hold no secrets; those of other libraries may.
        reason = str(error) if isinstance(error, MCPError) else type(error).__name__
        await send({"type": f"lifespan.{stage}.failed", "message": reason})
        return False
    await send({"type": f"lifespan.{stage}.complete"})
    return True
