"""A reader of a shared stream between the calls of a session.

A server may speak at any time: it pings, announces a change, asks for input, fills its pipes with
log lines. While a call waits for its answer, that call reads. In between the *attendant* does, in a
task of asyncio, a system task of trio or a daemon thread, which no cancel scope of an application
encloses. It exists only while a stream is open on which the server may speak.

It does not keep its session alive. When the client was dropped without ``disconnect``, its
:class:`IncomingHandler` is collected with it, and the attendant ends, and with it the stream.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from routermcp_proto.events import Event
from routermcp_proto.exceptions import MCPError, TransportError

from ..logs import log
from ..runtime import Cancel
from .deadline import CallDeadline
from .incoming import IncomingHandler, OnEvent, PostMessage

#: Seconds to wait for an attendant that was cancelled. A plain callback in a thread cannot be
#: interrupted; its thread ends after it.
STOP_SECONDS = 1.0

#: Reads a stream until it ends, and handles each event that belongs to no call.
Read = Callable[[OnEvent], Awaitable[None]]

ArgsT = ParamSpec("ArgsT")
T = TypeVar("T")


def weak_method(method: Callable[ArgsT, Awaitable[T]]) -> Callable[ArgsT, Awaitable[T]]:
    """Return a coroutine function that calls a method of an object without keeping the object alive."""
    weak = weakref.WeakMethod(method)

    async def call(*args: ArgsT.args, **kwargs: ArgsT.kwargs) -> T:
        bound = weak()
        if bound is None:
            raise TransportError("the client was dropped without disconnect()", code="closed")
        return await bound(*args, **kwargs)

    return call


_running: ContextVar[Attendant | None] = ContextVar("routermcp_attendant", default=None)


class Attendant:
    """Reads a stream while no call does, for as long as it is open.

    A callback that fails has no caller to raise to: its error is logged.

    Args:
        incoming: Handles the events; not kept alive.
        opening: The deadline of the call that has opened the stream.
        read: Reads the stream.
        post: Sends an answer to the server.
        abandon: Closes the stream at once when the client was collected, and waits for no lock;
            None where something else does.
        place: The name of the server, for the log.
    """

    def __init__(
        self,
        incoming: IncomingHandler,
        opening: CallDeadline,
        read: Read,
        post: PostMessage,
        abandon: Callable[[], object] | None,
        place: str,
    ) -> None:
        self._runtime = opening.runtime
        self._incoming = weakref.ref(incoming, self._collected)
        self._deadline = opening.unlimited
        self._read = read
        self._post = post
        self._abandon = abandon
        self._place = place
        self._ended = self._runtime.event()
        self._cancel: Cancel | None = None
        self._over = self._cancelled = False

    @property
    def ended(self) -> bool:
        """Whether it does not read any more."""
        return self._over

    async def wait(self) -> None:
        """Wait until it does not read any more."""
        await self._ended.wait()

    def start(self) -> None:
        """Begin to read, where the runtime has room for that."""
        try:
            self._cancel = self._runtime.begin(self._run, lasting=True)
        except OSError as error:
            log.warning("%s is heard only while a call waits for it: %s", self._place, error)
            self._ended.set()

    def cancel(self) -> None:
        """Have the attendant end soon, unless one of its own callbacks asks for that.

        Such a callback goes on; the stream is at its end by then, and so is the attendant.
        """
        if self._cancel is not None and _running.get() is not self:
            self._cancel_now()

    async def stop(self) -> None:
        """Cancel it and wait for its end, for a bounded time."""
        if self._cancel is None or _running.get() is self:
            return
        self._cancel_now()
        scope = self._runtime.deadline(self._runtime.now() + STOP_SECONDS)
        try:
            async with scope:
                await self._ended.wait()
        except TimeoutError:
            if not scope.expired:
                raise
            log.debug("a callback still runs that %s has called between calls", self._place)

    def _cancel_now(self) -> None:
        self._cancelled = True
        if self._cancel is not None:
            self._cancel()

    def _collected(self, _: object) -> None:
        self._cancel_now()
        if self._abandon is not None:
            self._abandon()

    async def _run(self) -> None:
        _running.set(self)
        try:
            await self._read(self._handle)
        except MCPError as error:
            log.debug("%s is not read any more between calls: %s", self._place, error)
        except Exception:  # noqa: BLE001 - no caller is left to raise it to
            if not self._cancelled:  # in blocking code a cancel is a deadline that has passed
                log.exception("%s is not read any more between calls", self._place)
        finally:
            self._over = True
            self._ended.set()

    async def _handle(self, event: Event) -> None:
        incoming = self._incoming()
        if incoming is None:
            return
        deadline = self._deadline()
        try:
            async with deadline.scope:
                await incoming.handle(deadline, self._post, None, event)
        except TransportError as error:
            log.debug("%s could not be answered: %s", self._place, error)
        except Exception:  # noqa: BLE001 - a callback's error must not end the others
            if not self._cancelled:
                log.exception("a callback has failed that %s has called between calls", self._place)
