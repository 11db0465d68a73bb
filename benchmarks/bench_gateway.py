"""CPU time of the gateway for a tool call that it passes on, beside other gateways.

fastmcp is no dependency of the project; it is installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e '.[cli,gateway]' fastmcp==4.2.3
    .cache/benchmark/bin/python benchmarks/bench_gateway.py [--check] [--short] [--all] [--json FILE]

Four processes: this one holds the client; ``routermcp serve`` and a fastmcp proxy stand side
by side before one server, ``bare_server.py``. First 200 clients connect and make a call, and stay:
what the gateway has grown by, for each. Then the client takes turns between
the two in blocks of calls, so that whatever else the machine does falls on both. What a
process has used of the CPU is read from ``/proc`` (Linux), so a block may be short. Medians
over the blocks are printed; that of the CPU's ratio is over the ratios of the blocks.

With ``--all`` also the gateways that serve a program on its pipes: ``routermcp proxy --stdio``, mcp-proxy and
supergateway, before the same server on its pipes. That server's CPU and memory are not counted, though
supergateway starts one for each client; mcp-proxy and supergateway are installed below
``$ROUTERMCP_TEST_CACHE``.

``--check`` ends with 1 where the gateway takes more than twice the CPU that its client takes
for a call, or has less than four times the throughput of fastmcp's proxy at concurrency 16; where a call with
256 at once takes ``MOST_OF_A_CROWD`` times the CPU of one with 16; or a connection more than ``MOST_KB``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bare_server
import results

from routermcp import RouterMCPClient

ROOT = Path(__file__).resolve().parents[1]

#: The most CPU of the gateway for a call, as a multiple of the client's.
MOST_CPU = 2.0
#: The least throughput, as a multiple of fastmcp's.
LEAST_THROUGHPUT = 4.0
#: The most CPU of a call with 256 at once, as a multiple of one with 16.
MOST_OF_A_CROWD = 1.2
#: The most memory of an open connection, in KB.
MOST_KB = 40.0
#: Calls at once.
CONCURRENCIES = (1, 16)
CROWD = 256
#: Blocks of calls to each gateway; of ``--short``, of a crowd, and of those that no bound is of.
BLOCKS, FEW_BLOCKS = 11, 5
#: Calls of a block: a tenth of a second or more, ours and theirs.
CALLS, THEIR_CALLS = 320, 16
#: Clients that stay connected.
CLIENTS = 200
#: Clients of a gateway that starts a process for each.
FEW_CLIENTS = 20
MCP_PROXY = "mcp-proxy==0.13.0"
SUPERGATEWAY = ("supergateway", "4.0.0")
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
    blocks: int
    clients: int = CLIENTS
    """Clients that stay connected when memory is measured."""
    kb: float = 0.0
    """Memory of the process for each of them."""
    cpu: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    client_cpu: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    throughput: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    @property
    def crowd_blocks(self) -> int:
        """Blocks of a crowd, which are long with a gateway that is slow."""
        return FEW_BLOCKS if self.calls == CALLS else 1

    def cpu_seconds(self) -> float:
        """Return what all threads of the process have used so far."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def memory(self) -> int:
        """Return the KB of memory that the process holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@contextmanager
def started(command: Sequence[str]) -> Generator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block runs."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


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


def of_programs(port: int) -> dict[str, tuple[list[str], int]]:
    """Return the gateways that serve a program on its pipes: their commands, and clients that stay."""
    sys.path.append(str(ROOT))
    from tests import third_party  # noqa: PLC0415 - only where these are measured

    server = [sys.executable, str(ROOT / "benchmarks" / "bare_server.py"), "--stdio"]
    python = third_party.python_environment(MCP_PROXY)
    package = third_party.npm_package(*SUPERGATEWAY)
    at = ["--port", str(port)]
    proxy = [sys.executable, "-m", "routermcp", "proxy", "--stdio", shlex.join(server), *at]
    supergateway = [
        str(third_party.node()),
        str(package / "dist" / "index.js"),
        "--stdio",
        shlex.join(server),
    ]
    supergateway += ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none", *at]
    return {
        "routermcp proxy": (proxy, CLIENTS),
        "mcp-proxy": ([str(python.parent / "mcp-proxy"), *at, "--", *server], CLIENTS),
        "supergateway": (supergateway, FEW_CLIENTS),
    }


def versions() -> dict[str, str]:
    """Say what the gateways are that no package of this environment is."""
    return dict([MCP_PROXY.split("=="), SUPERGATEWAY])


@contextmanager
def gateways(*, short: bool) -> Generator[list[Gateway]]:
    """Start the server and both gateways before it."""
    blocks = FEW_BLOCKS if short else BLOCKS
    with ExitStack() as stack:
        server = stack.enter_context(bare_server.started())
        ours, theirs = free_port(), free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        config = Path(folder) / "routermcp.jsonc"
        config.write_text(json.dumps({"mcpServers": {"bench": {"url": server}}}))
        serve = [sys.executable, "-m", "routermcp", "serve", "--config", str(config), "--port", str(ours)]
        proxy = [sys.executable, "-c", FASTMCP, server, str(theirs)]
        our_process, their_process = (stack.enter_context(started(command)) for command in (serve, proxy))
        both = [
            Gateway("routermcp", f"http://127.0.0.1:{ours}/mcp", "bench.echo", our_process, CALLS, blocks),
            Gateway("fastmcp", f"http://127.0.0.1:{theirs}/mcp", "echo", their_process, THEIR_CALLS, blocks),
        ]
        wait_for(ours)
        wait_for(theirs)
        yield both


@contextmanager
def gateway_of_program(name: str) -> Generator[Gateway]:
    """Start a gateway that serves a program on its pipes."""
    port = free_port()
    command, clients = of_programs(port)[name]
    calls = CALLS if name.startswith("routermcp") else 4 * THEIR_CALLS
    with started(command) as process:
        wait_for(port)
        url = f"http://127.0.0.1:{port}/mcp"
        yield Gateway(name, url, "echo", process, calls, FEW_BLOCKS, clients)


async def burst(client: RouterMCPClient, gateway: Gateway, calls: int, concurrency: int) -> None:
    """Make calls, all in all, by so many workers."""

    async def worker() -> None:
        for _ in range(calls // concurrency):
            answer = await client.call_tool(gateway.tool, ARGUMENTS)
            assert answer.text == ARGUMENTS["text"]

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def measure(beside: list[Gateway], concurrencies: Sequence[int]) -> None:
    """Take turns."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RouterMCPClient(each.url, timeout=0)) for each in beside]
        for concurrency in concurrencies:
            for client, gateway in zip(clients, beside, strict=True):
                await client.list_tools()
                # Connections are open, caches filled and code specialised by then.
                await burst(client, gateway, max(gateway.calls, concurrency), concurrency)
            for turn in range(BLOCKS):
                for client, gateway in zip(clients, beside, strict=True):
                    if turn < (gateway.crowd_blocks if concurrency == CROWD else gateway.blocks):
                        await block(client, gateway, concurrency)


async def block(client: RouterMCPClient, gateway: Gateway, concurrency: int) -> None:
    """Make a block of calls, and note what it took."""
    calls = max(gateway.calls, concurrency) // concurrency * concurrency
    there, here, began = gateway.cpu_seconds(), time.process_time(), time.perf_counter()
    await burst(client, gateway, calls, concurrency)
    took = time.perf_counter() - began
    note(gateway.cpu, concurrency, (gateway.cpu_seconds() - there) / calls * 1e6)
    note(gateway.client_cpu, concurrency, (time.process_time() - here) / calls * 1e6)
    note(gateway.throughput, concurrency, calls / took)


async def hold_open(gateway: Gateway) -> None:
    """Let clients connect and make a call, and note what the gateway has grown by for each."""
    async with AsyncExitStack() as stack:

        async def join() -> None:
            client = await stack.enter_async_context(RouterMCPClient(gateway.url))
            assert (await client.call_tool(gateway.tool, ARGUMENTS)).text == ARGUMENTS["text"]

        for _ in range(gateway.clients // 10):
            await join()
        before = gateway.memory()
        for _ in range(gateway.clients):
            await join()
        gateway.kb = (gateway.memory() - before) / gateway.clients


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


def rows(gateway: Gateway) -> Generator[dict[str, Any]]:
    """Yield what was measured of a gateway, by concurrency."""
    for concurrency in gateway.cpu:
        yield {
            "gateway": gateway.name,
            "concurrency": concurrency,
            "cpu": middle(gateway.cpu, concurrency),
            "client_cpu": middle(gateway.client_cpu, concurrency),
            "of_client": middle_ratio(gateway.cpu, gateway.client_cpu, concurrency),
            "calls_per_second": middle(gateway.throughput, concurrency),
            "kb_per_connection": gateway.kb,
        }


def bounds(ours: Gateway, theirs: Gateway) -> list[results.Bound]:
    """Return what must hold."""
    made: list[results.Bound] = []
    for concurrency in CONCURRENCIES:
        ratio, most = middle_ratio(ours.cpu, ours.client_cpu, concurrency), MOST_CPU
        name = f"gateway: CPU of a call, of its client's, c={concurrency}"
        made.append(results.Bound(name, ratio, most, at_most=True, limit=most))
    times = middle(ours.throughput, CONCURRENCIES[-1]) / middle(theirs.throughput, CONCURRENCIES[-1])
    name = "gateway: throughput, of fastmcp's proxy, c=16"
    made.append(results.Bound(name, times, LEAST_THROUGHPUT, limit=LEAST_THROUGHPUT))
    crowd = middle(ours.cpu, CROWD) / middle(ours.cpu, CONCURRENCIES[-1])
    name = f"gateway: CPU of a call, c={CROWD} of c=16"
    made.append(results.Bound(name, crowd, MOST_OF_A_CROWD, at_most=True))
    name = "gateway: memory of an open connection"
    made.append(results.Bound(name, ours.kb, MOST_KB, at_most=True, unit=" KB"))
    return made


def show(gateway: Gateway) -> None:
    """Print what was measured of a gateway."""
    for row in rows(gateway):
        times = f"{row['cpu']:>7.0f} us {row['client_cpu']:>5.0f} us {row['of_client']:>6.2f}x"
        rest = f"{row['calls_per_second']:>6.0f}/s {row['kb_per_connection']:>5.0f} KB"
        print(f"{row['gateway']:<15} {row['concurrency']:>4} {times} {rest}", flush=True)


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--all", action="store_true", help="also mcp-proxy and supergateway")
    options = parser.parse_args()
    print("gateway         once    gateway   client   ratio   calls  a connection")
    with gateways(short=options.short) as both:
        # Memory first: what a crowd has freed would be used again.
        for gateway in both:
            asyncio.run(hold_open(gateway))
        asyncio.run(measure(both, (*CONCURRENCIES, CROWD)))
        for gateway in both:
            show(gateway)
    found = [row for gateway in both for row in rows(gateway)]
    if options.all:
        for name in of_programs(0):
            with gateway_of_program(name) as gateway:
                asyncio.run(hold_open(gateway))
                asyncio.run(measure([gateway], (*CONCURRENCIES, CROWD)))
                show(gateway)
                found += rows(gateway)
    return results.finish(options, bounds(*both), rows=found, versions=versions() if options.all else {})


if __name__ == "__main__":
    sys.exit(main())
