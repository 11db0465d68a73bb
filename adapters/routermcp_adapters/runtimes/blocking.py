"""The runtime of plain blocking code: every wait blocks the calling thread."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, cast

from ..concurrency import threads
from ..runtime import Address, ByteStream, Cancel, Descriptor, Event, Work
from .happy_eyeballs import connect_first
from .run_sync import limits, run_sync
from .sockets import SocketStream, open_stream

T = TypeVar("T")

#: Seconds that one wait blocks at most before CPython looks at Ctrl-C again. A signal that
#: comes between its last look and the system call does not end the call; on Windows no signal
#: ends a wait for a lock either. A person who presses Ctrl-C waits that long then.
LONGEST_WAIT_SECONDS = 1.0


def _wake(sock: socket.socket) -> None:
    """Wake a thread that waits for a socket, which closing it does not do."""
    # Not the method of an SSLSocket, which would have the other thread read what is encrypted.
    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Scope:
    """A deadline on the stack of a thread."""

    def __init__(self, clock: BlockingRuntime, at: float | None, *, shields: bool = False) -> None:
        self.clock = clock
        self.at = at
        self.shields = shields
        self.expired = False

    def move(self, at: float | None) -> None:
        self.at = at

    async def __aenter__(self) -> Self:
        limits.scopes.append(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        limits.scopes.remove(self)
        return self.shields and self.expired and isinstance(error, TimeoutError)


class BlockingRuntime:
    """Runs the driver in the thread that calls it, which may be any.

    Args:
        longest_wait: Seconds that one wait blocks at most before Ctrl-C is noticed.
    """

    name = "blocking"
    survives_fork = True
    over = False

    def __init__(self, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._longest_wait = longest_wait
        self._waits = (self._wait_readable, self._wait_writable)

    def check(self) -> None:
        """Do nothing: blocking code may be called from any thread."""

    def now(self) -> float:
        """Return the clock in seconds."""
        return time.monotonic()

    def random(self) -> float:
        """Return a random number from 0 to 1."""
        return random.random()  # noqa: S311 - spreads retries, keeps no secret

    def deadline(self, at: float | None) -> _Scope:
        """Limit the enclosed code."""
        return _Scope(self, at)

    def shield(self, seconds: float) -> _Scope:
        """Let the enclosed code run for so long, whatever the outer deadlines."""
        return _Scope(self, self.now() + seconds, shields=True)

    def time_left(self) -> float | None:
        """Return the seconds to the nearest deadline, None for no limit."""
        return self._remaining()

    def _remaining(self) -> float | None:
        """Return the seconds that are left, None for no limit.

        Raises:
            TimeoutError: None are left.
        """
        scopes: list[_Scope] = [scope for scope in limits.scopes if scope.clock is self]
        nearest: float | None = None
        for scope in reversed(scopes):
            if scope.at is not None and (nearest is None or scope.at < nearest):
                nearest = scope.at
            if scope.shields:
                break
        if nearest is None:
            return None
        now = self.now()
        if nearest > now:
            return nearest - now
        for scope in scopes:
            scope.expired = scope.expired or (scope.at is not None and scope.at <= now)
        raise TimeoutError("the deadline has passed")

    def _next_wait(self, seconds: float | None = None) -> float:
        """Return the seconds that one wait may block: so many at most, and not past the deadline.

        Raises:
            TimeoutError: The deadline has passed.
        """
        limits = (self._longest_wait, self._remaining(), seconds)
        return min(limit for limit in limits if limit is not None)

    async def sleep(self, seconds: float) -> None:
        """Wait, but not past the deadline."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            time.sleep(self._next_wait(left))
        self._remaining()

    def event(self) -> _Event:
        """Make a flag that threads wait for."""
        return _Event(self._next_wait)

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Wait until one of the streams has data, or the flag is raised."""
        await self.wait_ready([cast("SocketStream", stream).fileno() for stream in streams], [], flag)

    async def wait_ready(
        self,
        readable: Sequence[Descriptor],
        writable: Sequence[Descriptor],
        flag: Event | None = None,
        seconds: float | None = None,
    ) -> None:
        """Wait until the system says that something can be done, or so much time has passed."""
        sources = [*readable] if flag is None else [*readable, cast("_Event", flag).fileno()]
        until = None if seconds is None else self.now() + seconds
        while True:
            if _any_ready(sources, writable, self._next_wait(seconds)):
                return
            if until is not None:
                seconds = until - self.now()
                if seconds <= 0:
                    return

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function: in blocking code a thread needs no other to wake it."""
        function()

    def begin(self, work: Work, *, lasting: bool = False) -> Cancel:
        """Run work in a daemon thread, which notices a cancel at its next look at the deadline."""
        scope = self.deadline(None)

        async def run() -> None:
            try:
                async with scope:
                    await work()
            except TimeoutError:
                if not scope.expired:
                    raise

        start = threads.start_lasting if lasting else threads.start_long
        start(lambda: run_sync(run()))
        return partial(scope.move, float("-inf"))

    async def run_blocking(self, work: Callable[[], T], *, lookup: bool = False) -> T:
        """Run work in a daemon thread and wait for it until the deadline."""
        done = self.event()
        return await threads.run_in_thread(work, done.wait, done.set, lookup=lookup)

    async def connect(
        self, addresses: Sequence[Address], tls: ssl.SSLContext | None, server_name: str
    ) -> ByteStream:
        """Open a connection to the first address that answers, with TLS where a context is given."""
        return await open_stream(await connect_first(self, addresses), tls, server_name, self._waits, _wake)

    async def _wait_readable(self, sock: socket.socket) -> None:
        while not _any_ready([sock], (), self._next_wait()):
            pass

    async def _wait_writable(self, sock: socket.socket) -> None:
        while not _any_ready((), [sock], self._next_wait()):
            pass


if hasattr(select, "poll"):

    def _any_ready(readable: Sequence[Descriptor], writable: Sequence[Descriptor], seconds: float) -> bool:
        poll = select.poll()
        for source in readable:
            poll.register(source, select.POLLIN)
        for source in writable:
            poll.register(source, select.POLLOUT)
        # poll() counts whole milliseconds; one more keeps a wait from ending just too early.
        return bool(poll.poll(seconds * 1000 + 1))

else:  # Windows has no poll, and its select has no limit on descriptor numbers

    def _any_ready(readable: Sequence[Descriptor], writable: Sequence[Descriptor], seconds: float) -> bool:
        if not readable and not writable:
            time.sleep(seconds)
            return False
        # A refused connection is reported as exceptional there, not as writable.
        return any(select.select(readable, writable, writable, seconds))


def _close_all(ends: Iterable[socket.socket]) -> None:
    for end in ends:
        end.close()


class _Event:
    """A flag that threads wait for, until the deadline of the one that waits.

    Each runtime has an event, a scope and a way to wake of its own; no module sees two of them.
    """

    _ends: tuple[socket.socket, socket.socket] | None = None

    def __init__(self, next_wait: Callable[[], float]) -> None:
        self._flag = threading.Event()
        self._next_wait = next_wait
        # Garbage may be collected, and a flag raised, while this thread holds it.
        self._lock = threading.RLock()

    def set(self) -> None:
        with self._lock:
            self._flag.set()
            self._raise_end()

    def _raise_end(self) -> None:
        """Make the descriptor readable; one that is full of earlier signals is."""
        if self._ends is not None:
            with contextlib.suppress(BlockingIOError):
                self._ends[1].send(b"!")

    def fileno(self) -> int:
        """Return a descriptor that is readable once the flag is raised, to wait for it among others."""
        with self._lock:
            if self._ends is None:
                self._ends = socket.socketpair()
                # Not by __del__: among circular garbage the sockets may go first, with a ResourceWarning.
                weakref.finalize(self, _close_all, self._ends).atexit = False
                # A signal that nothing takes must not hold up the thread that raises the flag again.
                self._ends[1].setblocking(False)
                if self._flag.is_set():
                    self._raise_end()
            return self._ends[0].fileno()

    async def wait(self) -> None:
        while not self._flag.is_set():
            self._flag.wait(self._next_wait())
