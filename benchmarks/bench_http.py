"""CPU time of a tool call over HTTP: this client and the official ``mcp`` package.

The official package is no dependency of the project; it is installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e . mcp==2.3.0
    .cache/benchmark/bin/python benchmarks/bench_http.py [--check]

Both clients live in one process and take turns in blocks of calls, so that whatever else
the machine does falls on both. The server is another process, ``bare_server.py``, whose time
is not counted. A call sends and returns about
100 bytes of JSON. The median over the blocks is printed, in microseconds of CPU per call.

``--check`` ends with 1 where the official client takes less than 5 times as much at
concurrency 1, or less than 8 times as much at concurrency 16.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import bare_server
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
    options = parser.parse_args()
    with bare_server.started() as url:
        costs = asyncio.run(measure(url, options.protocol))
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
