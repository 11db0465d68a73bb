"""Work that runs to its end although its caller gives up.

A caller may be cancelled, run out of time or be stopped by Ctrl-C at any moment, which is right
for nearly everything. It is not for a request that spends something: an authorization server
that has taken a refresh token gives the next one in its answer, and nowhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

from ..logs import log
from ..runtime import Runtime

T = TypeVar("T")

#: Seconds that a detached task has to clean up: a round trip to a store.
CLEAN_UP_SECONDS = 2.0


class BackgroundTask(Generic[T]):
    """Work in a task or thread of its own, for which its caller may wait.

    Args:
        runtime: Where it runs.
        work: The coroutine function to run.
        clean_up: Runs after it: in the caller, or in the task once the caller has detached it.
        on_end: Called when all that has ended.
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
        self._done = self._detached = False
        self._result: T | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Start the work.

        Raises:
            OSError: Too much such work is waiting.
        """
        self._runtime.begin(self._run)

    async def result(self) -> T:
        """Wait for the result.

        Raises:
            Exception: What the work raised.
        """
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    async def wait(self) -> None:
        """Wait until the task has ended, and ignore its error."""
        await self._ended.wait()

    def detach(self) -> bool:
        """Give the result up, and return whether the task still runs and so cleans up itself."""
        with self._gate:
            self._detached = True
            return not self._done

    async def _run(self) -> None:
        try:
            if not self._detached:  # it may have waited long for a thread
                self._result = await self._work()
        except Exception as error:  # noqa: BLE001 - raised to the caller, whatever it is
            self._error = error
        finally:
            with self._gate:
                self._done, detached = True, self._detached
            if detached:
                async with self._runtime.shield(CLEAN_UP_SECONDS):
                    await self._clean_up_detached()
            self._ended.set()
            self._on_end(self)

    async def _clean_up_detached(self) -> None:
        if self._error is not None:
            log.warning("background work that its caller gave up has failed: %s", self._error)
        try:
            await self._clean_up()
        except Exception as error:  # noqa: BLE001 - no caller is left to raise it to
            log.warning("background work that its caller gave up could not be cleaned up: %s", error)
