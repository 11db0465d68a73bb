"""The runtime of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import ssl
from collections.abc import Callable, Sequence
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from routermcp_proto.exceptions import ConfigError

from ..concurrency import threads
from ..runtime import RECEIVE_SIZE, Address, ByteStream, Cancel, Descriptor, Event, StreamClosedError, Work
from .asyncio_ready import wait_ready
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
                _let_go(transport)
            else:
                transport.abort()


def _let_go(transport: Any) -> None:
    """Close a transport whose loop is closed, or another process's: only its descriptor, at once.

    There is no public way: asyncio closes by its loop, and a loop copied by fork shares its
    list of descriptors with the parent.
    """
    encrypted = getattr(transport, "_ssl_protocol", None)
    if encrypted is not None:
        transport._closed = True  # noqa: SLF001
        transport = encrypted._transport  # noqa: SLF001
    if getattr(transport, "_sock", None) is not None:
        transport._call_connection_lost(None)  # noqa: SLF001


class _Scope:
    """A limit on the enclosed code, as :func:`asyncio.timeout_at` sets one.

    At the limit the task is cancelled; on the way out that cancellation becomes a
    :class:`TimeoutError`, unless the task was cancelled from elsewhere too. The standard
    one takes three times as long to set and to lift, which every call would pay.
    """

    __slots__ = ("_at", "_cancelling", "_loop", "_task", "_timer", "expired")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float | None) -> None:
        self._loop = loop
        self._at = at
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self.expired = False

    def move(self, at: float | None) -> None:
        self._at = at
        if self._task is not None and not self.expired:
            self._disarm()
            self._arm()

    def _arm(self) -> None:
        if self._at is not None:
            self._timer = self._loop.call_at(self._at, self._expire)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _expire(self) -> None:
        self._timer = None
        if self._task is not None:
            self.expired = True
            self._task.cancel()

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        if self._task is None:
            raise ConfigError("a client can only be used inside a task of the event loop")
        self._cancelling = self._task.cancelling()
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._disarm()
        task, self._task = self._task, None
        if (
            self.expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError("the deadline has passed") from error
        return None


class _Shield(_Scope):
    """Time to clean up. A cancellation that was delivered leaves the task free to await."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await super().__aexit__(kind, error, trace)
        except TimeoutError:
            return True


class _Event:
    """A flag that can be waited for together with streams."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.raised: asyncio.Future[None] = loop.create_future()
        self._loop = loop

    def set(self) -> None:
        # No task waits in a loop that is closed, and it would refuse to wake one.
        if not self.raised.done() and not self._loop.is_closed():
            self.raised.set_result(None)

    async def wait(self) -> None:
        # Several tasks may wait for one future, and none of them may cancel it.
        await asyncio.wait([self.raised])


class AsyncioRuntime:
    """Runs the driver in the event loop that is running now."""

    name = "asyncio"
    survives_fork = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
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

    def event(self) -> _Event:
        """Make a flag."""
        return _Event(self._loop)

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Wait until one of the streams has data, or the flag is raised."""
        waits = [cast("AsyncioStream", stream).readable() for stream in streams]
        if flag is not None:
            waits.append(cast("_Event", flag).raised)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    def time_left(self) -> None:
        """Return None: deadlines end waits from outside."""

    def deadline(self, at: float | None) -> _Scope:
        """Limit the enclosed code."""
        return _Scope(self._loop, at)

    def shield(self, seconds: float) -> _Shield:
        """Let the enclosed code run for so long although its caller is being cancelled."""
        return _Shield(self._loop, self.now() + seconds)

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

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run work in a daemon thread; on cancellation it is abandoned."""
        loop = self._loop
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

        job = threads.start(work, report)
        try:
            return await done
        finally:
            job.abandon()

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
        raised = cast("_Event", flag).raised if flag is not None else None
        await wait_ready(readable, writable, raised, seconds)
