"""An event stream that stays open over an httpx client.

A read of httpx that is cancelled ends its response, and one of blocking code cannot be cancelled. So
a task or thread of its own reads the stream, and whoever receives from it waits for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from routermcp_proto.events import Event

from ..runtime import Cancel, Runtime
from ..runtime import Event as Flag

#: Pieces of a stream that are read ahead of the one that receives: some messages, and little memory.
MAX_AHEAD = 16

#: Seconds to close the response: as long as a TLS goodbye may take.
CLOSE_RESPONSE_SECONDS = 0.5


class HttpxStream:
    """The events of a response, read ahead.

    Args:
        runtime: Where it is read.
        read: Waits for the next piece and returns its events, None at the end.
        close: Closes the response; runs where it was read.
        interrupt: Wakes a thread that waits for the next piece.
    """

    def __init__(
        self,
        runtime: Runtime,
        read: Callable[[], Awaitable[list[Event] | None]],
        close: Callable[[], Awaitable[None]],
        interrupt: Callable[[], object],
    ) -> None:
        self._runtime = runtime
        self._read = read
        self._close = close
        self._interrupt = interrupt
        self._ahead: deque[list[Event]] = deque()
        self._error: Exception | None = None
        self._ended = False
        self._more: Flag | None = None
        self._room: Flag | None = None
        self._cancel: Cancel | None = None

    def start(self) -> None:
        """Begin to read.

        Raises:
            OSError: Too much such work is waiting.
        """
        self._cancel = self._runtime.begin(self._run, lasting=True)

    async def _run(self) -> None:
        try:
            while not self._ended:
                events = await self._read()
                if events is None:
                    break
                self._ahead.append(events)
                _wake(self._more)
                await self._wait_for_room()
        except Exception as error:  # noqa: BLE001 - raised to the one that receives
            self._error = error
        finally:
            self._ended = True
            _wake(self._more)
            async with self._runtime.shield(CLOSE_RESPONSE_SECONDS):
                await self._close()

    async def _wait_for_room(self) -> None:
        while len(self._ahead) >= MAX_AHEAD and not self._ended:
            flag = self._room = self._runtime.event()
            if len(self._ahead) >= MAX_AHEAD and not self._ended:
                await flag.wait()

    async def receive(self) -> list[Event]:
        """Wait for the next events, none at the end; see :class:`ResponseStream`."""
        while not self._ahead:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return []
            flag = self._more = self._runtime.event()
            if not self._ahead and not self._ended:
                await flag.wait()
        events = self._ahead.popleft()
        _wake(self._room)
        return events

    def abort(self) -> None:
        """Have the reading end soon."""
        self._ended = True
        if self._cancel is not None:
            self._cancel()
        self._interrupt()
        _wake(self._room)


def _wake(flag: Flag | None) -> None:
    if flag is not None:
        flag.set()
