"""One test body on three runtimes, against peers that follow a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import trio

from routermcp_adapters.runtime import ByteStream, Runtime
from routermcp_adapters.runtimes.asyncio import AsyncioRuntime
from routermcp_adapters.runtimes.blocking import BlockingRuntime
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_adapters.runtimes.trio import TrioRuntime

T = TypeVar("T")

RUNTIMES = ("asyncio", "trio", "blocking")

#: Seconds after which something that does not happen never will.
PATIENCE = 20.0

Body = Callable[[Runtime], Coroutine[Any, Any, T]]


def run(name: str, body: Body[T]) -> T:
    """Run a body on a runtime, which it is given."""

    async def in_asyncio() -> T:
        async with asyncio.timeout(PATIENCE):
            return await body(AsyncioRuntime())

    async def in_trio() -> T:
        with trio.fail_after(PATIENCE):
            return await body(TrioRuntime())

    if name == "asyncio":
        return asyncio.run(in_asyncio())
    if name == "trio":
        return trio.run(in_trio)
    return run_sync(body(BlockingRuntime()))


def wait_until(happened: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, "it never happens"


class Peer:
    """A TCP server that runs a script for each connection, one after another.

    Args:
        script: Called with each accepted socket, in a thread.
    """

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.accepted = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with sock, contextlib.suppress(OSError):
                sock.settimeout(20)
                self._script(sock)

    def close(self) -> None:
        """Stop serving."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def peer(script: Callable[[socket.socket], None]) -> Iterator[Peer]:
    """Serve while the block runs."""
    serving = Peer(script)
    try:
        yield serving
    finally:
        serving.close()


async def connected(runtime: Runtime, address: tuple[str, int]) -> ByteStream:
    """Open a plain connection to a peer."""
    return await runtime.connect([(socket.AF_INET, address)], None, address[0])


async def receive_exactly(stream: ByteStream, size: int) -> bytes:
    """Receive so many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = await stream.receive_some()
        assert piece, "the stream ended too early"
        data += piece
    return bytes(data)


def read_until_closed(sock: socket.socket) -> bytes:
    """Read whatever comes until the other side closes."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data
