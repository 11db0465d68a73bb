"""CPU time and memory of a long ``tools/list``: this client beside the official one.

::

    .cache/benchmark/bin/python benchmarks/bench_list.py [--check] [--short] [--tools N] [--json FILE]

Each client lists the tools in processes of its own, which take turns, so that the memory of one is not
that of another. What counts is the CPU of the listing, when the client is connected, and by how much
the memory of the process was above what it had been before (``VmHWM``, Linux). Medians are printed.
The number of tools that came is checked.

``--check`` ends with 1 where the official client takes fewer than ``LEAST_CPU`` times our CPU, or ours
more than ``MOST_MEMORY`` of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bare_server
import results
from clients import OFFICIAL, OURS

#: The least that the official client takes, as a multiple of our CPU.
LEAST_CPU = 5.0
#: What it is to take.
GOAL_CPU = 7.5
#: The most of its memory that ours takes, and what it is to take.
MOST_MEMORY, GOAL_MEMORY = 0.55, 0.45
#: Tools of the list: more than any server has, so that what each of them costs stands out.
TOOLS = 10_000
#: Processes of each client.
RUNS, SHORT_RUNS = 5, 2


def client_of(name: str, url: str) -> Any:
    """Return a client that is to be entered."""
    if name == OURS:
        return importlib.import_module("routermcp").RouterMCPClient(url)
    return importlib.import_module(name).Client(url)


async def list_tools(name: str, url: str) -> tuple[float, float]:
    """Return the milliseconds of CPU of a listing, and the memory that listing took, in MiB."""
    async with client_of(name, url) as client:
        before = peak_memory()
        began = time.process_time()
        tools = await tools_of(client)
        milliseconds = (time.process_time() - began) * 1000
    assert len(tools) == int(url.rpartition("/")[2])
    return milliseconds, peak_memory() - before


async def tools_of(client: Any) -> Any:
    """Return the tools of a server, whatever the client puts them in."""
    listed = await client.list_tools()
    return getattr(listed, "tools", listed)


def peak_memory() -> float:
    """Return the most memory that this process has ever had, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not say how much memory a process had")


def measure(url: str, names: list[str], runs: int) -> dict[str, tuple[float, float]]:
    """Return the CPU and the memory of each client."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            command = [sys.executable, __file__, "--client", name, "--url", url]
            done = subprocess.run(command, capture_output=True, check=True, env=os.environ)
            milliseconds, memory = json.loads(done.stdout)
            taken[name].append((milliseconds, memory))
    return {
        name: (statistics.median(run[0] for run in each), statistics.median(run[1] for run in each))
        for name, each in taken.items()
    }


def bounds(taken: dict[str, tuple[float, float]]) -> list[results.Bound]:
    """Return what must hold."""
    (cpu, memory), (their_cpu, their_memory) = taken[OURS], taken[OFFICIAL]
    share, most = memory / their_memory, MOST_MEMORY
    return [
        results.Bound("mcp: CPU of a long list", their_cpu / cpu, GOAL_CPU, stretch=9.0, limit=LEAST_CPU),
        results.Bound("memory of a long list, of mcp's", share, GOAL_MEMORY, at_most=True, limit=most),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--tools", type=int, default=TOOLS, help="tools of the list")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(asyncio.run(list_tools(options.client, options.url))))
        return 0
    runs = SHORT_RUNS if options.short else RUNS
    with bare_server.started() as url:
        taken = measure(f"{url.removesuffix('/mcp')}/list/{options.tools}", [OURS, OFFICIAL], runs)
    for name, (milliseconds, memory) in taken.items():
        ours = taken[OURS]
        ratios = f"{milliseconds / ours[0]:>6.2f}x {memory / ours[1]:>6.2f}x"
        print(f"{name:<10} {milliseconds:>7.0f} ms {memory:>6.1f} MiB {ratios}")
    print(f"goal                               {GOAL_CPU:>6.2f}x")
    rows = {name: {"ms": figures[0], "mib": figures[1]} for name, figures in taken.items()}
    return results.finish(options, bounds(taken), clients=rows)


if __name__ == "__main__":
    sys.exit(main())
