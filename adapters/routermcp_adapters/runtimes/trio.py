"""The runtime of trio."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import trio

from routermcp_proto.exceptions import ConfigError

from ..concurrency.threads import run_in_thread
from ..runtime import Address, ByteStream, Cancel, Descriptor, Event, Work
from .happy_eyeballs import connect_first
from .sockets import SocketStream, open_stream

T = TypeVar("T")


#: Turns of the loop that a task waits for another to leave a descriptor: one would do.
MAX_BUSY_TRIES = 100


async def _wait_readable(source: Descriptor) -> None:
    try:
        for _ in range(MAX_BUSY_TRIES):
            try:
                return await trio.lowlevel.wait_readable(source)
            except trio.BusyResourceError:
                # The attendant was woken to step aside, and does so when it runs next.
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.wait_readable(source)
    except trio.ClosedResourceError as error:
        raise OSError(errno.EBADF, "the connection was closed meanwhile") from error
    except trio.BusyResourceError as error:
        raise OSError(errno.EBUSY, "another task reads the connection") from error


async def _wait_writable(source: Descriptor) -> None:
    try:
        await trio.lowlevel.wait_writable(source)
    except trio.ClosedResourceError as error:
        raise OSError(errno.EBADF, "the connection was closed meanwhile") from error


_WAITS = (_wait_readable, _wait_writable)


def _wake(sock: socket.socket) -> None:
    # Garbage is collected anywhere, outside of trio too; no task waits for garbage.
    if trio.lowlevel.in_trio_run():
        trio.lowlevel.notify_closing(sock)


class _Scope:
    """A cancel scope that ends in :class:`TimeoutError`."""

    def __init__(self, at: float | None, *, shields: bool = False) -> None:
        self._scope = trio.CancelScope(deadline=trio.current_time() if at is None else at, shield=shields)
        if at is None:
            self._scope.deadline = float("inf")
        self._shields = shields

    @property
    def expired(self) -> bool:
        return self._scope.cancelled_caught

    def move(self, at: float | None) -> None:
        self._scope.deadline = float("inf") if at is None else at

    async def __aenter__(self) -> Self:
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        swallow = bool(self._scope.__exit__(kind, error, trace))
        if self._scope.cancelled_caught and not self._shields:
            raise TimeoutError("the deadline has passed") from None
        return swallow


def _do_nothing() -> None:
    """Do nothing; scheduling it tells whether trio still runs."""


class TrioRuntime:
    """Runs the driver under the trio that is running now."""

    name = "trio"
    survives_fork = False

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def check(self) -> None:
        """See that the caller runs under the same trio.

        Raises:
            ConfigError: It runs elsewhere.
        """
        if not trio.lowlevel.in_trio_task() or trio.lowlevel.current_trio_token() is not self._token:
            raise ConfigError(
                "this client was connected under another run of trio; disconnect it there first"
            )

    @property
    def over(self) -> bool:
        """Whether that run of trio has ended."""
        try:
            self._token.run_sync_soon(_do_nothing, idempotent=True)
        except trio.RunFinishedError:
            return True
        return False

    now = staticmethod(trio.current_time)
    random = staticmethod(random.random)
    sleep = staticmethod(trio.sleep)
    event = staticmethod(trio.Event)

    def time_left(self) -> None:
        """Return None: deadlines end waits from outside."""

    def deadline(self, at: float | None) -> _Scope:
        """Limit the enclosed code."""
        return _Scope(at)

    def shield(self, seconds: float) -> _Scope:
        """Let the enclosed code run for so long although its caller is being cancelled."""
        return _Scope(trio.current_time() + seconds, shields=True)

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Wait until one of the streams has data, or the flag is raised."""
        await self.wait_ready([cast("SocketStream", stream).fileno() for stream in streams], [], flag)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called in trio."""
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function)

    def begin(self, work: Work, *, lasting: bool = False) -> Cancel:
        """Run work in a system task of trio."""
        del lasting
        token, scope = self._token, trio.CancelScope()

        async def run() -> None:
            with scope:
                await work()

        def cancel() -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)

        trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())
        return cancel

    async def run_blocking(self, work: Callable[[], T], *, lookup: bool = False) -> T:
        """Run work in a daemon thread; on cancellation it is abandoned."""
        done = trio.Event()

        def wake() -> None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(done.set)

        return await run_in_thread(work, done.wait, wake, lookup=lookup)

    async def connect(
        self, addresses: Sequence[Address], tls: ssl.SSLContext | None, server_name: str
    ) -> SocketStream:
        """Open a connection to the first address that answers, with TLS where a context is given."""
        return await open_stream(await connect_first(self, addresses), tls, server_name, _WAITS, _wake)

    async def wait_ready(
        self,
        readable: Sequence[Descriptor],
        writable: Sequence[Descriptor],
        flag: Event | None = None,
        seconds: float | None = None,
    ) -> None:
        """Wait until the system says that something can be done, or so much time has passed."""
        waits: list[tuple[Callable[..., Awaitable[object]], Descriptor]] = [
            *((_wait_readable, source) for source in readable),
            *((_wait_writable, source) for source in writable),
        ]
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            if len(waits) == 1 and flag is None:
                await waits[0][0](waits[0][1])
            elif waits or flag is not None:
                failures: list[OSError] = []
                async with trio.open_nursery() as nursery:
                    for wait, source in waits:
                        nursery.start_soon(_first_wait_to_end, nursery, failures, wait, source)
                    if flag is not None:
                        nursery.start_soon(_first_wait_to_end, nursery, failures, flag.wait)
                if failures:
                    raise failures[0]
            else:
                await trio.sleep_forever()


async def _first_wait_to_end(
    nursery: trio.Nursery, failures: list[OSError], wait: Callable[..., Awaitable[object]], *args: Any
) -> None:
    """Wait, and end the other waits of the nursery; a failure is noted, so that no group is made of it."""
    try:
        await wait(*args)
    except OSError as error:
        failures.append(error)
    nursery.cancel_scope.cancel()
