"""Serving over standard input and output, for hosts that start their servers as child processes.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/stdio
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from routermcp_adapters.runtimes.asyncio import AsyncioRuntime
from routermcp_proto.exceptions import RemoteProtocolError
from routermcp_proto.framing import LineDecoder

from ..backend import Backend, Changing
from ..config.listening import DEFAULT_DRAIN_SECONDS
from .stream import StreamServer

#: Bytes read at once.
CHUNK = 64 * 1024


async def serve_stdio(
    backend: Backend,
    source: int | None = None,
    sink: int | None = None,
    drain_seconds: float = DEFAULT_DRAIN_SECONDS,
) -> None:
    """Serve until the input ends, and answer what was asked until then.

    Args:
        backend: The backend to serve.
        source: The descriptor to read messages from, one a line; default standard input.
        sink: The descriptor to write answers to; default standard output.
        drain_seconds: Seconds that requests under way get when the input ends.
    """
    read_from = sys.stdin.fileno() if source is None else source
    write_to = sys.stdout.fileno() if sink is None else sink
    runtime, turn = AsyncioRuntime(), asyncio.Lock()

    async def send(payload: bytes) -> None:
        async with turn:
            # The end of the input tells that the client is gone.
            with contextlib.suppress(BrokenPipeError):
                await asyncio.shield(runtime.run_blocking(lambda: _write_all(write_to, payload + b"\n")))

    server = StreamServer(backend, send)
    if isinstance(backend, Changing):
        backend.on_changed = server.announce
    lines = LineDecoder()
    try:
        # In threads: standard streams may be files, which no event loop can wait for.
        while data := await runtime.run_blocking(lambda: os.read(read_from, CHUNK)):
            for line in lines.receive_data(data):
                await server.receive(line)
        for line in lines.receive_eof():
            await server.receive(line)
        await server.drain(drain_seconds)
    except RemoteProtocolError as error:
        print(f"routermcp: {error}", file=sys.stderr)  # noqa: T201 - standard output is the client's
    finally:
        await server.close()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
