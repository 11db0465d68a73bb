"""Work that is done to the end although whoever began it gives up.

A caller may be cancelled, run out of time or be stopped by Ctrl-C at any moment, which is right
for nearly everything. It is not for a request that spends something: an authorization server
that has taken a refresh token gives the next one in its answer, and nowhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

from ..runtime import Runtime
from ..wire_log import log

T = TypeVar("T")

#: Seconds to clean up in what nobody waits for any more: a round trip to a store.
CLEAN_UP_SECONDS = 2.0


class BackgroundTask(Generic[T]):
    """Work in a task or thread of its own, for which whoever began it waits, or does not.

    Args:
        runtime: Where it runs.
        work: What to do.
        clean_up: What is to be done after it by whoever has begun it, or here if they have left.
        on_end: Told when all that is done.
    """

    def __init__(
        self,
        runtime: Runtime,
        work: Callable[[], Awaitable[T]],
        clean_up: Callable[[], Awaitable[object]],
        on_end: Callable[[BackgroundTask[T]], object],
    ) -> None:
        self._runtime = runtime
        self._work = work
        self._clean_up = clean_up
        self._on_end = on_end
        self._ended = runtime.event()
        self._gate = threading.Lock()
        self._done = self._left = False
        self._result: T | None = None
        self._error: Exception | None = None

    def begin(self) -> None:
        """Begin.

        Raises:
            OSError: Too much such work is waiting.
        """
        self._runtime.begin(self._run)

    async def outcome(self) -> T:
        """Wait for what comes of it.

        Raises:
            Exception: What the work raised.
        """
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    async def end(self) -> None:
        """Wait until it is over, whatever comes of it."""
        await self._ended.wait()

    def leave(self) -> bool:
        """Wait for it no longer; say whether it still goes on, and so cleans up itself."""
        with self._gate:
            self._left = True
            return not self._done

    async def _run(self) -> None:
        try:
            if not self._left:  # it may have waited long for its turn
                self._result = await self._work()
        except Exception as error:  # noqa: BLE001 - for the caller, whatever it is
            self._error = error
        finally:
            with self._gate:
                self._done, left = True, self._left
            if left:
                async with self._runtime.shield(CLEAN_UP_SECONDS):
                    await self._forlorn()
            self._ended.set()
            self._on_end(self)

    async def _forlorn(self) -> None:
        """Clean up for who has left."""
        if self._error is not None:
            log.warning("what nobody waits for any more has failed: %s", self._error)
        try:
            await self._clean_up()
        except Exception as error:  # noqa: BLE001 - there is nobody to tell
            log.warning("what nobody waits for any more could not be cleaned up: %s", error)
