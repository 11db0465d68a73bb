"""The runtime of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import os
import random
import select
import ssl
from collections.abc import Callable, Sequence
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from routermcp_proto.exceptions import ConfigError

from ..runtime import RECEIVE_SIZE, Address, ByteStream, Cancel, Descriptor, Event, StreamClosedError, Work
from .asyncio_closing import let_go
from .asyncio_waits import AsyncioEvent, run_blocking, wait_ready
from .happy_eyeballs import connect_first

T = TypeVar("T")

#: Bytes that may wait in a stream before reading from the socket pauses: a few reads'
#: worth, so that a consumer that stops does not fill the memory.
HIGH_WATER = 4 * RECEIVE_SIZE

#: Bytes of the buffer that all connections of a client are read into: an answer of 64 KiB with its
#: head comes in one piece.
BUFFER_SIZE = 4 * RECEIVE_SIZE

#: Seconds that a TLS peer has for its goodbye before the connection closes without it.
CLOSING_SECONDS = 0.5

#: Limits of calls that are kept before those that were lifted are thrown out: a few KiB.
LEAST_ROOM = 100

# The event of a connection whose other end is closed; not every system has it.
_HANG_UP: int = getattr(select, "POLLRDHUP", 0)


class _Arrival(asyncio.Future[None]):
    """What a task waits for until there is data.

    The task of any other future runs in the next turn of the event loop, and a turn costs a system
    call and 3 % of a short call's instructions. The loop reports data in a turn in which no task
    runs yet, so this one's runs right there.
    """

    _task: tuple[Callable[[Any], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Have a function called when there is data; that of a task comes with its context."""
        if context is None:
            super().add_done_callback(fn)
        else:
            super().add_done_callback(fn, context=context)
            self._task = fn, context

    def arrive(self) -> None:
        """Run the task that waits. One that was cancelled waits no more: the loop runs it soon."""
        task = self._task
        if task is not None and self.remove_done_callback(task[0]):
            self.set_result(None)
            task[1].run(task[0], self)
        elif not self.done():
            self.set_result(None)


class AsyncioStream(asyncio.BufferedProtocol):
    """A transport as a :class:`~routermcp_adapters.runtime.ByteStream`.

    The transport delivers data; at most one task waits for it. Data that comes while no task
    waits is kept, which is how an idle connection in the pool learns that the peer has closed it.

    Args:
        loop: Where the connection is.
        buffer: Bytes that the transport reads into. Other connections may share it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._buffer = buffer
        self._received = b""
        self._eof = False
        self._lost: Exception | None = None
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writable = True
        self._gone: asyncio.Future[None] = loop.create_future()
        self._poll: select.poll | None = None
        self._process = os.getpid()

    # ---- called by the transport ---------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer that the transport reads into: always the same, which spares allocations."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keep data and wake the task that waits for it."""
        data = bytes(self._buffer[:nbytes])
        self._received = self._received + data if self._received else data
        if len(self._received) > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        reader = self._reader
        if isinstance(reader, _Arrival):
            self._reader = None
            reader.arrive()
        else:
            self._wake_reader()

    def eof_received(self) -> bool:
        """Note the end of the stream."""
        self._eof = True
        self._wake_reader()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._eof = True
        self._lost = exc
        self._wake_reader()
        self._wake_writer()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """Let writers wait until the transport has caught up."""
        self._writable = False

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable = True
        self._wake_writer()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _wake_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    # ---- called by the driver ------------------------------------------------------

    async def send_all(self, data: bytes) -> None:
        """Send all of the data."""
        transport = self._transport
        if transport is None or self._eof or transport.is_closing():
            raise StreamClosedError("the peer has closed the connection") from self._lost
        transport.write(data)
        while not self._writable and not self._eof:
            self._writer = self._loop.create_future()
            await self._writer
        if self._lost is not None:
            raise OSError(str(self._lost)) from self._lost

    async def receive_some(self) -> bytes:
        """Wait for data and return it, or ``b""`` at the end of the stream."""
        while not self._received:
            if self._eof:
                if self._lost is not None:
                    raise OSError(str(self._lost)) from self._lost
                return b""
            await self.readable()
        return self._take()

    def readable(self) -> asyncio.Future[None]:
        """Return a future that is done once there is data, or the end; for one task at a time."""
        if self._reader is None or self._reader.done():
            # Other loops than asyncio's own may keep SystemExit of a task that runs in such a turn.
            direct = isinstance(self._loop, asyncio.SelectorEventLoop)
            self._reader = _Arrival(loop=self._loop) if direct else self._loop.create_future()
            if self._received or self._eof:
                self._reader.set_result(None)
        return self._reader

    def _take(self) -> bytes:
        data, self._received = self._received, b""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def receive_nowait(self) -> bytes | None:
        """Return data that has already come, ``b""`` at the end, None for nothing yet."""
        if self._received:
            return self._take()
        return b"" if self._eof or self._hung_up() else None

    def _hung_up(self) -> bool:
        """Ask the socket itself: the loop may have had no time yet to report that the peer is gone."""
        if not _HANG_UP or self._transport is None or self._transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), _HANG_UP)
        return bool(self._poll.poll(0))

    async def aclose(self) -> None:
        """Close, after what was sent has left."""
        if self._transport is not None:
            self._transport.close()
            try:
                await asyncio.wait([self._gone], timeout=CLOSING_SECONDS)
            finally:
                self.abort()

    def abort(self) -> None:
        """Close at once."""
        transport = self._transport
        if transport is None:
            return
        with contextlib.suppress(RuntimeError):
            if self._loop.is_closed() or os.getpid() != self._process:
                let_go(transport)
            else:
                transport.abort()


class _Alarm:
    """The limits of all calls, for which the event loop has one timer.

    A timer for each call would be set and cancelled again, which costs 3 % of a short one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._limits: list[tuple[float, int, _Scope]] = []
        """A heap: the next limit is the first. Those that were lifted stay until there is no room."""
        self._room = LEAST_ROOM
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf
        """When the timer rings."""

    def set(self, scope: _Scope, at: float) -> int:
        """Have a scope expire at a point in time, and return the number of that limit."""
        if len(self._limits) >= self._room:
            self._limits = [limit for limit in self._limits if limit[2].limit == limit[1]]
            heapq.heapify(self._limits)
            self._room = max(LEAST_ROOM, 2 * len(self._limits))
        number = next(self._numbers)
        heapq.heappush(self._limits, (at, number, scope))
        if at < self._at:
            self._set_timer()
        return number

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = self._limits[0][0]
        self._timer = self._loop.call_at(self._at, self._ring)

    def _ring(self) -> None:
        due, limits = self._at, self._limits
        self._at, self._timer = math.inf, None
        while limits and (limits[0][0] <= due or limits[0][2].limit != limits[0][1]):
            _, number, scope = heapq.heappop(limits)
            if scope.limit == number:
                scope.expire()
        if limits:
            self._set_timer()


class _Scope:
    """A limit on the enclosed code, as :func:`asyncio.timeout_at` sets one.

    At the limit the task is cancelled; on the way out that cancellation becomes a
    :class:`TimeoutError`, unless the task was cancelled from elsewhere too. The standard
    one takes several times as long to set and to lift, which every call would pay.

    As a shield it is time to clean up, whose end is no error: a cancellation that was delivered leaves
    the task free to await.
    """

    __slots__ = ("_alarm", "_at", "_cancelling", "_loop", "_shields", "_task", "expired", "limit")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, alarm: _Alarm, at: float | None, *, shields: bool = False
    ) -> None:
        self._loop = loop
        self._alarm = alarm
        self._at = at
        self._shields = shields
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.limit = 0
        """The number of the limit that is set, 0 for none."""
        self.expired = False

    def move(self, at: float | None) -> None:
        self._at = at
        if self._task is not None and not self.expired:
            self.limit = self._alarm.set(self, at) if at is not None else 0

    def expire(self) -> None:
        self.limit = 0
        if self._task is not None:
            self.expired = True
            self._task.cancel()

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        if self._task is None:
            raise ConfigError("a client can only be used inside a task of the event loop")
        self._cancelling = self._task.cancelling()
        if self._at is not None:
            self.limit = self._alarm.set(self, self._at)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.limit = 0
        task, self._task = self._task, None
        if (
            self.expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            if self._shields:
                return True
            raise TimeoutError("the deadline has passed") from error
        return None


class AsyncioRuntime:
    """Runs the driver in the event loop that is running now."""

    name = "asyncio"
    survives_fork = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._alarm = _Alarm(self._loop)
        self._shared_buffer: memoryview | None = None
        # The loop itself does not keep them alive.
        self._begun: set[asyncio.Task[None]] = set()

    @property
    def over(self) -> bool:
        """Whether the event loop is closed."""
        return self._loop.is_closed()

    def check(self) -> None:
        """See that the caller runs in the same event loop.

        Raises:
            ConfigError: It runs elsewhere.
        """
        try:
            if asyncio.get_running_loop() is self._loop:
                return
        except RuntimeError:
            pass
        raise ConfigError(
            "this client was connected in another event loop; disconnect it there, or make one for each"
        )

    random = staticmethod(random.random)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def event(self) -> AsyncioEvent:
        """Make a flag."""
        return AsyncioEvent(self._loop)

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Wait until one of the streams has data, or the flag is raised."""
        waits = [cast("AsyncioStream", stream).readable() for stream in streams]
        if flag is not None:
            waits.append(cast("AsyncioEvent", flag).raised)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    def time_left(self) -> None:
        """Return None: deadlines end waits from outside."""

    def deadline(self, at: float | None) -> _Scope:
        """Limit the enclosed code."""
        return _Scope(self._loop, self._alarm, at)

    def shield(self, seconds: float) -> _Scope:
        """Let the enclosed code run for so long although its caller is being cancelled."""
        return _Scope(self._loop, self._alarm, self.now() + seconds, shields=True)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called in the event loop."""
        # A loop that is closed has no task that waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def begin(self, work: Work, *, lasting: bool = False) -> Cancel:
        """Run work in a task of its own."""
        del lasting
        loop = self._loop
        task = loop.create_task(work())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

        def cancel() -> None:
            # A loop that is closed has ended its tasks.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

        return cancel

    async def run_blocking(self, work: Callable[[], T], *, lookup: bool = False) -> T:
        """Run work in a daemon thread; on cancellation it is abandoned."""
        return await run_blocking(work, lookup=lookup)

    async def connect(
        self, addresses: Sequence[Address], tls: ssl.SSLContext | None, server_name: str
    ) -> AsyncioStream:
        """Open a connection to the first address that answers, with TLS where a context is given."""
        loop = self._loop
        sock = await connect_first(self, addresses)
        try:
            _, stream = await loop.create_connection(
                lambda: AsyncioStream(loop, self._buffer()),
                sock=sock,
                ssl=tls,
                server_hostname=server_name if tls is not None else None,
            )
        except BaseException:
            sock.close()
            raise
        return stream

    def _buffer(self) -> memoryview:
        """Return the buffer of a connection.

        A loop over selectors takes what it has read out of the buffer before it reads again, so one
        serves all connections; others may have many reads under way. A view, because asyncio's TLS
        slices what it is given and fills the slice.
        """
        if not isinstance(self._loop, asyncio.SelectorEventLoop):
            return memoryview(bytearray(RECEIVE_SIZE))
        if self._shared_buffer is None:
            self._shared_buffer = memoryview(bytearray(BUFFER_SIZE))
        return self._shared_buffer

    async def wait_ready(
        self,
        readable: Sequence[Descriptor],
        writable: Sequence[Descriptor],
        flag: Event | None = None,
        seconds: float | None = None,
    ) -> None:
        """Wait until the system says that something can be done, or so much time has passed."""
        raised = cast("AsyncioEvent", flag).raised if flag is not None else None
        await wait_ready(readable, writable, raised, seconds)
