"""What the driver needs of a runtime, and what a byte stream has to offer.

The driver is one text of ``async def`` that imports no runtime and awaits only what it is
given here. asyncio and trio run it natively. In blocking code nothing here ever suspends,
so a coroutine is run to its end by a single ``send(None)`` (:mod:`.runtimes.run_sync`).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol, TypeVar

Address = tuple[int, Any]
"""A family and what :meth:`socket.socket.connect` takes in it."""


T = TypeVar("T")

Work = Callable[[], Coroutine[Any, Any, None]]
"""What is begun and goes on by itself."""

Cancel = Callable[[], object]
"""Cancels what was begun."""

Descriptor = int | socket.socket
"""What the system can watch."""

#: Bytes asked of a socket at once: the size of a TLS record's neighbourhood and of h11's
#: and asyncio's own buffers; larger reads gain nothing measurable on loopback.
RECEIVE_SIZE = 64 * 1024


class StreamClosedError(OSError):
    """The stream was found closed before one byte of the data was handed over."""


class ByteStream(Protocol):
    """A connection. Errors are :class:`OSError`; deadlines and cancellation are the runtime's."""

    async def send_all(self, data: bytes) -> None:
        """Send all of the data.

        Raises:
            StreamClosedError: Nothing of it was sent.
            OSError: The connection failed; some of it may have been sent.
        """
        ...

    async def receive_some(self) -> bytes:
        """Wait for data and return it, or ``b""`` at the end of the stream."""
        ...

    def receive_nowait(self) -> bytes | None:
        """Return data that is already there, ``b""`` at the end of the stream, None for nothing yet."""
        ...

    async def aclose(self) -> None:
        """Close the connection, after what was sent has left."""
        ...

    def abort(self) -> None:
        """Close at once, without waiting; may be called again."""
        ...


class DeadlineScope(Protocol):
    """A limit on the time that the enclosed code may take."""

    @property
    def expired(self) -> bool:
        """Whether the limit was hit."""
        ...

    def move(self, at: float | None) -> None:
        """Set another point in time, or None for no limit."""
        ...

    async def __aenter__(self) -> Any:
        """Set the limit."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Lift the limit; past it, raise :class:`TimeoutError`."""
        ...


class Event(Protocol):
    """A flag that is raised once."""

    def set(self) -> object:
        """Raise the flag and wake all who wait."""
        ...

    async def wait(self) -> object:
        """Wait until the flag is raised."""
        ...


class Runtime(Protocol):
    """A way to run the driver."""

    name: str
    """``asyncio``, ``trio`` or ``blocking``."""

    survives_fork: bool
    """Whether a child process may go on with it."""

    @property
    def over(self) -> bool:
        """Whether nothing can run there any more."""
        ...

    def check(self) -> None:
        """See that the caller runs where this runtime was made.

        Raises:
            ConfigError: It is another event loop, or none.
        """
        ...

    def now(self) -> float:
        """Return the runtime's clock in seconds."""
        ...

    def time_left(self) -> float | None:
        """Return the seconds to the nearest deadline where waits have to be told; None where none has to.

        Only blocking code needs it: asyncio and trio end a wait from outside.

        Raises:
            TimeoutError: None are left.
        """
        ...

    def random(self) -> float:
        """Return a random number from 0 to 1."""
        ...

    def deadline(self, at: float | None) -> DeadlineScope:
        """Limit the enclosed code; past the point it raises :class:`TimeoutError`."""
        ...

    def shield(self, seconds: float) -> AbstractAsyncContextManager[Any]:
        """Let the enclosed code run for so long although its caller is being cancelled.

        Running out of that time is no error.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def event(self) -> Event:
        """Make a flag."""
        ...

    async def wait_any(self, streams: Sequence[ByteStream], flag: Event | None) -> None:
        """Wait until one of the streams has data for ``receive_nowait``, or the flag is raised.

        Args:
            streams: Streams that this runtime has made; no other task waits for them.
            flag: Made by :meth:`event`, or None.
        """
        ...

    async def wait_ready(
        self,
        readable: Sequence[Descriptor],
        writable: Sequence[Descriptor],
        flag: Event | None = None,
        seconds: float | None = None,
    ) -> None:
        """Wait until the system says that something can be done, or so much time has passed.

        Args:
            readable: Pipes and sockets, one of which has data or has ended.
            writable: Those one of which takes data or has failed.
            flag: Made by :meth:`event`, or None.
            seconds: The longest wait, None for no limit but the deadline.
        """
        ...

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called where the runtime runs, from any thread; nothing where it has ended.

        Args:
            function: What to call; it waits for nothing. In blocking code it is called at once.
        """
        ...

    def begin(self, work: Work, *, lasting: bool = False) -> Cancel:
        """Have work done that goes on although its caller gives up, at most until the runtime ends.

        Args:
            work: What to do, in the caller's context; it raises nothing.
            lasting: It goes on for long, so it must not keep short work waiting for a thread.

        Returns:
            A function that cancels the work soon. It waits for nothing and takes no lock, so that
            it may be called from any thread, and when garbage is collected.

        Raises:
            OSError: Too much such work is waiting.
        """
        ...

    async def run_blocking(self, work: Callable[[], T], *, lookup: bool = False) -> T:
        """Run work in a daemon thread, in the caller's context; its errors are the caller's.

        When the caller gives up, work that has begun is abandoned with its thread, and work
        that still waits for one is not begun.

        Args:
            work: What to run.
            lookup: It looks a name up, which a token store that hangs is not to hold up.

        Raises:
            OSError: Too much such work is waiting.
        """
        ...

    async def connect(
        self, addresses: Sequence[Address], tls: ssl.SSLContext | None, server_name: str
    ) -> ByteStream:
        """Open a connection to the first address that answers, with TLS where a context is given.

        Args:
            addresses: In the order of preference.
            tls: The context, None for a plain connection.
            server_name: Whom the certificate has to name.

        Raises:
            OSError: None of them took the connection, or TLS failed.
        """
        ...
