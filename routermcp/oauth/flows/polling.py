"""Polling a store of tokens until another process has written to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from routermcp_adapters.runtime import Runtime
from routermcp_proto.exceptions import TokenStoreError

#: Failed looks in a row at a store, after which its error is raised: Redis and databases restart
#: in seconds.
MAX_FAILED_POLLS = 20


async def poll_until(look: Callable[[], Awaitable[bool]], runtime: Runtime, poll_seconds: float) -> None:
    """Poll until a look returns True.

    Raises:
        TokenStoreError: The store was away for longer than it takes to be started anew.
        Exception: What a look raises besides.
    """
    blind = 0
    while True:
        try:
            if await look():
                return
            blind = 0
        except TokenStoreError:
            blind += 1
            if blind == MAX_FAILED_POLLS:
                raise
        await runtime.sleep(poll_seconds)
