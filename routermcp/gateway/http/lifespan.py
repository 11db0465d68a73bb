"""The beginning and the end of an application, as ASGI servers announce them.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from routermcp_proto.exceptions import MCPError

from .asgi import Receive, Send

logger = logging.getLogger("routermcp.gateway")

Step = Callable[[], Awaitable[None]]


async def live(receive: Receive, send: Send, on_startup: Step | None, on_shutdown: Step | None) -> None:
    """Do what is to be done at the beginning and at the end, and tell the server of it.

    Where the beginning fails, the server ends; what is to be done at the end is not done then.
    """
    await receive()
    if not await _take("startup", on_startup, send):
        return
    await receive()
    await _take("shutdown", on_shutdown, send)


async def _take(stage: str, step: Step | None, send: Send) -> bool:
    try:
        if step is not None:
            await step()
    except Exception as error:
        logger.exception("the %s of the gateway failed", stage)
        # The texts of our own errors hold no secrets; of others nobody knows.
        reason = str(error) if isinstance(error, MCPError) else type(error).__name__
        await send({"type": f"lifespan.{stage}.failed", "message": reason})
        return False
    await send({"type": f"lifespan.{stage}.complete"})
    return True
