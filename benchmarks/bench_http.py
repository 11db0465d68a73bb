"""CPU time of a tool call over HTTP: this client and the official ``mcp`` package.

The official package is no dependency of the project; it is installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e . mcp==2.3.0
    .cache/benchmark/bin/python benchmarks/bench_http.py [--check]

Both clients live in one process and take turns in blocks of calls, so that whatever else
the machine does falls on both. The server is another process, a bare asyncio one that
knows just enough MCP of both eras; its time is not counted. A call sends and returns about
100 bytes of JSON. The median over the blocks is printed, in microseconds of CPU per call.

``--check`` ends with 1 where the official client takes less than 5 times as much at
concurrency 1, or less than 8 times as much at concurrency 16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp import Client

from routermcp import RouterMCPClient

#: What the official client has to take at least, as a multiple, by concurrency.
REQUIRED = {1: 5.0, 16: 8.0}
#: Blocks of each client. The median of 15 stands still to about 3 %.
BLOCKS = 15
#: Calls of a block: long beside the 1 us that the CPU clock resolves, short beside a scheduler's tick.
CALLS = 320
#: Calls before counting: connections are open, caches filled and code specialised by then.
WARM_UP = 200

ARGUMENTS = {"text": "a" * 60}
Call = Callable[[], Awaitable[Any]]


class Server(asyncio.Protocol):
    """One connection of the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, separator, rest = self.buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            self.respond(body if head.startswith(b"POST") else b"")

    def respond(self, body: bytes) -> None:
        if not body:
            return self.send(b"405 Method Not Allowed", b"")
        message = json.loads(body)
        if "id" not in message:
            return self.send(b"202 Accepted", b"")
        result = self.result(message["method"], message.get("params", {}))
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            answer["error"] = {"code": -32601, "message": "method not found"}
        else:
            answer["result"] = result
        return self.send(b"200 OK", json.dumps(answer).encode())

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        server_info = {"name": "bench", "version": "1"}
        complete = {"resultType": "complete"}
        cached = {**complete, "ttlMs": 0, "cacheScope": "private"}
        if method == "tools/call":
            return {**complete, "content": [{"type": "text", "text": params["arguments"]["text"]}]}
        if method == "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            return {**cached, "tools": [{"name": "echo", "inputSchema": schema}]}
        if method == "server/discover":
            return {
                **cached,
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "_meta": {"io.modelcontextprotocol/serverInfo": server_info},
            }
        if method == "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": server_info,
            }
        return None

    def send(self, status: bytes, body: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


async def serve() -> None:
    """Serve on a free port, after printing it."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def ours(url: str, protocol: str) -> AsyncGenerator[Call]:
    """Give a call of this project's client."""
    async with RouterMCPClient(url=url, protocol=protocol) as client:
        yield lambda: client.call_tool("echo", ARGUMENTS)


@asynccontextmanager
async def theirs(url: str, protocol: str) -> AsyncGenerator[Call]:
    """Give a call of the official client."""
    async with Client(url, mode="auto" if protocol == "auto" else "legacy") as client:
        yield lambda: client.call_tool("echo", ARGUMENTS)


async def burst(call: Call, calls: int, concurrency: int) -> float:
    """Make calls and return the microseconds of CPU that each took."""

    async def worker() -> None:
        for _ in range(calls // concurrency):
            await call()

    began = time.process_time()
    if concurrency == 1:
        await worker()
    else:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - began) / calls * 1e6


async def measure(url: str, protocol: str) -> dict[int, tuple[float, float]]:
    """Return the cost of a call, ours and theirs, by concurrency."""
    costs: dict[int, tuple[float, float]] = {}
    async with AsyncExitStack() as stack:
        our_call = await stack.enter_async_context(ours(url, protocol))
        their_call = await stack.enter_async_context(theirs(url, protocol))
        for call in (our_call, their_call):
            answer = await call()
            text = answer.content[0]
            assert (text["text"] if isinstance(text, dict) else text.text) == ARGUMENTS["text"]
        for concurrency in REQUIRED:
            blocks: tuple[list[float], list[float]] = ([], [])
            for call in (our_call, their_call):
                await burst(call, WARM_UP // concurrency * concurrency, concurrency)
            for _ in range(BLOCKS):
                blocks[0].append(await burst(our_call, CALLS, concurrency))
                blocks[1].append(await burst(their_call, CALLS, concurrency))
            costs[concurrency] = (statistics.median(blocks[0]), statistics.median(blocks[1]))
    return costs


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail below the required multiples")
    parser.add_argument("--protocol", choices=("auto", "2025-11-25"), default="auto")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/mcp"
            costs = asyncio.run(measure(url, options.protocol))
        finally:
            server.kill()
    print("concurrency  routermcp     mcp  ratio  required")
    missed = False
    for concurrency, (mine, official) in costs.items():
        ratio = official / mine
        missed = missed or ratio < REQUIRED[concurrency]
        print(
            f"{concurrency:>11}  {mine:>6.0f} us  {official:>5.0f} us"
            f"  {ratio:>4.1f}x  {REQUIRED[concurrency]:>7.0f}x"
        )
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
