"""CPU time of the gateway for a tool call that it passes on, and its throughput beside fastmcp's proxy.

fastmcp is no dependency of the project; it is installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e '.[cli,gateway]' fastmcp==4.2.3
    .cache/benchmark/bin/python benchmarks/bench_gateway.py [--check]

Four processes: this one holds the client; ``routermcp serve`` and a fastmcp proxy stand side
by side before one server, ``bare_server.py``. The client takes turns between
the two in blocks of calls, so that whatever else the machine does falls on both. What a
process has used of the CPU is read from ``/proc`` (Linux), so a block may be short. Medians
over the blocks are printed; that of the CPU's ratio is over the ratios of the blocks.

``--check`` ends with 1 where the gateway takes more than twice the CPU that its client takes
for a call, or has less than four times the throughput of fastmcp's proxy at concurrency 16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bare_server

from routermcp import RouterMCPClient

#: The most CPU of the gateway for a call, as a multiple of the client's.
MOST_CPU = 2.0
#: The least throughput, as a multiple of fastmcp's.
LEAST_THROUGHPUT = 4.0
#: Calls at once.
CONCURRENCIES = (1, 16)
#: Blocks of calls to each gateway.
BLOCKS = 11
#: Calls of a block: a tenth of a second or more, ours and theirs.
CALLS, THEIR_CALLS = 320, 16
#: Seconds for a gateway to start.
START_SECONDS = 60.0

ARGUMENTS = {"text": "a" * 60}

FASTMCP = """
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[1], name="proxy").run(
    transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="critical"
)
"""


@dataclass
class Gateway:
    """A gateway, and what was measured of it, by concurrency."""

    name: str
    url: str
    tool: str
    process: subprocess.Popen[bytes]
    calls: int
    """Calls of a block."""
    cpu: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    client_cpu: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    throughput: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def cpu_seconds(self) -> float:
        """Return what all threads of the process have used so far."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def started(*command: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block runs."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens there."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")


@contextmanager
def gateways() -> Generator[list[Gateway]]:
    """Start the server and both gateways before it."""
    with ExitStack() as stack:
        server = stack.enter_context(bare_server.started())
        ours, theirs = free_port(), free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        config = Path(folder) / "routermcp.jsonc"
        config.write_text(json.dumps({"mcpServers": {"bench": {"url": server}}}))
        serve = [sys.executable, "-m", "routermcp", "serve", "--config", str(config), "--port", str(ours)]
        proxy = [sys.executable, "-c", FASTMCP, server, str(theirs)]
        our_process, their_process = (stack.enter_context(started(*command)) for command in (serve, proxy))
        both = [
            Gateway("routermcp", f"http://127.0.0.1:{ours}/mcp", "bench.echo", our_process, CALLS),
            Gateway("fastmcp", f"http://127.0.0.1:{theirs}/mcp", "echo", their_process, THEIR_CALLS),
        ]
        wait_for(ours)
        wait_for(theirs)
        yield both


async def burst(client: RouterMCPClient, gateway: Gateway, calls: int, concurrency: int) -> None:
    """Make calls, all in all, by so many workers."""

    async def worker() -> None:
        for _ in range(calls // concurrency):
            answer = await client.call_tool(gateway.tool, ARGUMENTS)
            assert answer.text == ARGUMENTS["text"]

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def measure(both: list[Gateway]) -> None:
    """Take turns."""
    async with (
        RouterMCPClient(both[0].url) as first,
        RouterMCPClient(both[1].url) as second,
    ):
        clients = (first, second)
        for concurrency in CONCURRENCIES:
            for client, gateway in zip(clients, both, strict=True):
                await client.list_tools()
                # Connections are open, caches filled and code specialised by then.
                await burst(client, gateway, gateway.calls, concurrency)
            for _ in range(BLOCKS):
                for client, gateway in zip(clients, both, strict=True):
                    there, here, began = gateway.cpu_seconds(), time.process_time(), time.perf_counter()
                    calls = gateway.calls
                    await burst(client, gateway, calls, concurrency)
                    took = time.perf_counter() - began
                    note(gateway.cpu, concurrency, (gateway.cpu_seconds() - there) / calls * 1e6)
                    note(gateway.client_cpu, concurrency, (time.process_time() - here) / calls * 1e6)
                    note(gateway.throughput, concurrency, calls / took)


def note(table: dict[int, list[float]], concurrency: int, value: float) -> None:
    """Add a value."""
    table.setdefault(concurrency, []).append(value)


def middle(table: dict[int, list[float]], concurrency: int) -> float:
    """Return the median of what was noted."""
    return statistics.median(table[concurrency])


def middle_ratio(above: dict[int, list[float]], below: dict[int, list[float]], concurrency: int) -> float:
    """Return the median of the ratios of two values of each block, which the machine slowed down alike."""
    pairs = zip(above[concurrency], below[concurrency], strict=True)
    return statistics.median(one / other for one, other in pairs)


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail beyond the bounds")
    options = parser.parse_args()
    with gateways() as both:
        asyncio.run(measure(both))
    ours, theirs = both
    missed = False
    print("concurrency  gateway  client  ratio  most     ours   fastmcp   ratio  least")
    for concurrency in CONCURRENCIES:
        cpu, client = middle(ours.cpu, concurrency), middle(ours.client_cpu, concurrency)
        mine, other = middle(ours.throughput, concurrency), middle(theirs.throughput, concurrency)
        ratio = middle_ratio(ours.cpu, ours.client_cpu, concurrency)
        missed = missed or ratio > MOST_CPU
        missed = missed or (concurrency > 1 and mine < LEAST_THROUGHPUT * other)
        print(
            f"{concurrency:>11}  {cpu:>4.0f} us  {client:>3.0f} us  {ratio:>4.2f}x  {MOST_CPU:.0f}x"
            f"  {mine:>5.0f}/s  {other:>6.0f}/s  {mine / other:>5.1f}x  {LEAST_THROUGHPUT:.0f}x"
        )
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
