"""A byte stream over a non-blocking socket, for runtimes that can wait for a socket.

trio and blocking code use it; they differ in how they wait. TLS is the standard
library's, on the same socket: an operation that cannot go on says whether it waits to
read or to write, is waited for, and tried again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from ..runtime import RECEIVE_SIZE, StreamClosedError

Wait = Callable[[socket.socket], Awaitable[Any]]
Wake = Callable[[socket.socket], object]


class SocketStream:
    """A connected socket as a :class:`~routermcp_adapters.runtime.ByteStream`.

    Args:
        sock: The socket.
        waits: How to wait until it can be read, and written.
        wake: Wakes the caller that waits for it, since it is about to be closed.
    """

    def __init__(self, sock: socket.socket, waits: tuple[Wait, Wait], wake: Wake) -> None:
        self._socket = sock
        self._wait_readable, self._wait_writable = waits
        self._wake = wake
        self._process = os.getpid()
        self._encrypted = isinstance(sock, ssl.SSLSocket)

    async def send_all(self, data: bytes) -> None:
        """Send all of the data."""
        rest = memoryview(data)
        sock = self._socket
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError):
                await self._wait(self._wait_writable)
            except ssl.SSLWantReadError:
                await self._wait(self._wait_readable)
            except OSError as error:
                if len(rest) == len(data):
                    raise StreamClosedError(str(error)) from error
                raise

    async def receive_some(self) -> bytes:
        """Wait for data and return it, or ``b""`` at the end of the stream."""
        sock = self._socket
        if not self._encrypted:
            await self._wait(self._wait_readable)
        while True:
            try:
                return sock.recv(RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                await self._wait(self._wait_readable)
            except ssl.SSLWantWriteError:
                await self._wait(self._wait_writable)

    async def _wait(self, ready: Wait) -> None:
        try:
            await ready(self._socket)
        except ValueError as error:
            # The descriptor is -1: another thread has closed the socket.
            raise OSError(errno.EBADF, "the connection was closed meanwhile") from error

    def receive_nowait(self) -> bytes | None:
        """Return data that has already come, ``b""`` at the end, None for nothing yet."""
        try:
            return self._socket.recv(RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except (OSError, ValueError):
            return b""

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for several at once."""
        return self._socket.fileno()

    async def aclose(self) -> None:
        """Close; the kernel still sends what it holds."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def abort(self) -> None:
        """Close at once; a caller that waits for the socket finds it closed."""
        if self._socket.fileno() >= 0:
            # A connection that was copied by fork goes on in the parent process.
            if self._process == os.getpid():
                with contextlib.suppress(OSError):
                    self._wake(self._socket)
            with contextlib.suppress(OSError):
                self._socket.close()


async def open_stream(
    sock: socket.socket, tls: ssl.SSLContext | None, server_name: str, waits: tuple[Wait, Wait], wake: Wake
) -> SocketStream:
    """Make a stream of a connected socket and, where a context is given, do the TLS handshake."""
    wait_readable, wait_writable = waits
    try:
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
            await _shake_hands(sock, wait_readable, wait_writable)
    except BaseException:
        sock.close()
        raise
    return SocketStream(sock, waits, wake)


async def _shake_hands(sock: ssl.SSLSocket, wait_readable: Wait, wait_writable: Wait) -> None:
    while True:
        try:
            return sock.do_handshake()
        except ssl.SSLWantReadError:
            await wait_readable(sock)
        except ssl.SSLWantWriteError:
            await wait_writable(sock)
