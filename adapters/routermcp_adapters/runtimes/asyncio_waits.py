"""What asyncio waits for that is none of its transports: flags, descriptors, and work in threads."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from ..concurrency.threads import pool_for
from ..runtime import Descriptor

T = TypeVar("T")

#: Seconds between two polls of a connection being opened, where the loop cannot watch it.
PROACTOR_POLL_SECONDS = 0.01


class AsyncioEvent:
    """A flag that can be waited for together with streams."""

    __slots__ = ("_is_raised", "_loop", "_together", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_raised = False
        self._waiters: list[asyncio.Future[None]] = []
        """One for each task: none may cancel that of another."""
        self._together: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Raise the flag."""
        # No task waits in a loop that is closed, and it would refuse to wake one.
        if self._is_raised or self._loop.is_closed():
            return
        self._is_raised = True
        for waiter in self._waiters:
            _raise_flag(waiter)

    async def wait(self) -> None:
        """Wait until it is raised."""
        # A queued call waits here: asyncio.wait() would take four times as long. The garbage that is
        # collected meanwhile may raise the flag, so it is looked at when the waiter is in its place.
        waiter = self._waiter()
        try:
            if not self._is_raised:
                await waiter
        finally:
            self._waiters.remove(waiter)

    @property
    def raised(self) -> asyncio.Future[None]:
        """What :func:`asyncio.wait` takes, which cancels nothing that it waits for."""
        if self._together is None:
            self._together = self._waiter()
            if self._is_raised:
                _raise_flag(self._together)
        return self._together

    def _waiter(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter


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


async def run_blocking(work: Callable[[], T], *, lookup: bool = False) -> T:
    """Run work in a daemon thread; on cancellation it is abandoned."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def report(result: T | None, error: BaseException | None) -> None:
        # The loop may be closed by now: then no task waits for the result. In debug mode it logs
        # the arguments of a slow callback, so the result, which may be a token, is none.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: finish(result, error))

    job = pool_for(lookup=lookup).start(work, report)
    try:
        return await done
    finally:
        job.abandon()
