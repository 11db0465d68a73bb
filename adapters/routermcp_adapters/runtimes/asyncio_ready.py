"""Waiting in asyncio for descriptors that no transport of it owns."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Sequence

from ..runtime import Descriptor

#: Seconds between two polls of a connection being opened, where the loop cannot watch it.
PROACTOR_POLL_SECONDS = 0.01


async def wait_ready(
    readable: Sequence[Descriptor],
    writable: Sequence[Descriptor],
    raised: asyncio.Future[None] | None,
    seconds: float | None,
) -> None:
    """Wait as :meth:`~routermcp_adapters.runtime.Runtime.wait_ready` does.

    Args:
        readable: Pipes and sockets, one of which has data or has ended.
        writable: Those one of which takes data or has failed.
        raised: Ends the wait too, None for nothing.
        seconds: The longest wait, None for no limit.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    waits = [ready] if raised is None else [ready, raised]
    try:
        for source in readable:
            loop.add_reader(source, _raise_flag, ready)
        for source in writable:
            loop.add_writer(source, _raise_flag, ready)
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    except NotImplementedError:
        # Windows' proactor cannot watch sockets that are not its own.
        if not any(select.select(readable, writable, writable, 0)):
            await asyncio.sleep(PROACTOR_POLL_SECONDS)
    finally:
        # Where the loop cannot watch, it has nothing to remove either.
        with contextlib.suppress(NotImplementedError):
            for source in readable:
                loop.remove_reader(source)
            for source in writable:
                loop.remove_writer(source)


def _raise_flag(flag: asyncio.Future[None]) -> None:
    if not flag.done():
        flag.set_result(None)
