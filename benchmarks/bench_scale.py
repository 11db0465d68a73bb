"""How the cost grows: with the tools of a list, open sessions, the size of a result, and calls at once.

::

    python benchmarks/bench_scale.py [--check] [--short] [--json FILE]

* tools: milliseconds of CPU of a ``tools/list`` of 10 to 100,000 tools.
* sessions: milliseconds of CPU to open 1 to 10,000 sessions on one client and make a call on each.
* payload: milliseconds of CPU of a call whose result has 100 B to 50 MB, as JSON; and as an event.
* concurrency: milliseconds of CPU of all of 1 to 1,000 calls at once.

Each point is the least of some runs, as what other programs do only adds to it; the server is another
process. What grows as its size does has a slope of 1 where both axes are logarithmic, and what grows with
the square of it 2. Two slopes are looked at, that of the last step and that of the way from ``first`` to the
end (below, what a call costs anyway hides the rest), and ``--check`` ends with 1 where one is steeper than
``MOST_SLOPE``. A step between may be steep, where data no longer fits into a cache of the processor.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import bare_server
import results
from clients import ARGUMENTS
from growth import MOST_SLOPE, steepest

from routermcp import RouterMCPClient

#: Runs of a point, and its seconds of CPU after which there are no more.
RUNS, ENOUGH_SECONDS = 5, 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """One line.

    Attributes:
        name: What grows.
        sizes: How far.
        first: The size from which on the slope counts.
        run: Costs one size: takes the server's origin and the size, and returns seconds of CPU.
    """

    name: str
    sizes: Sequence[int]
    first: int
    run: Callable[[str, int], Awaitable[float]]


async def tools(origin: str, count: int) -> float:
    """List so many tools."""
    async with RouterMCPClient(f"{origin}/list/{count}", timeout=0) as client:
        began = time.process_time()
        assert len(await client.list_tools()) == count
        return time.process_time() - began


async def sessions(origin: str, count: int) -> float:
    """Open so many sessions, and make a call on each."""
    async with RouterMCPClient(f"{origin}/mcp", user_id="admin") as client:
        opened = [client.create_session(f"user-{number}") for number in range(count)]
        began = time.process_time()
        for session in opened:
            await session.connect()
            assert (await session.call_tool("echo", ARGUMENTS)).text == ARGUMENTS["text"]
        return time.process_time() - began


async def result_of(url: str, size: int) -> float:
    """Make a call whose result has so many letters."""
    async with RouterMCPClient(url, timeout=0) as client:
        await client.call_tool("echo", ARGUMENTS)
        began = time.process_time()
        assert len((await client.call_tool("echo", ARGUMENTS)).text) == size
        return time.process_time() - began


async def json_result(origin: str, size: int) -> float:
    """Read a result of so many letters from a JSON body."""
    return await result_of(f"{origin}/mcp/{size}", size)


async def event_result(origin: str, size: int) -> float:
    """Read a result of so many letters from an event of a stream."""
    return await result_of(f"{origin}/events/{size}", size)


async def concurrency(origin: str, count: int) -> float:
    """Make so many calls at once."""
    async with RouterMCPClient(f"{origin}/mcp") as client:

        async def all_at_once() -> None:
            made = await asyncio.gather(*(client.call_tool("echo", ARGUMENTS) for _ in range(count)))
            assert all(each.text == ARGUMENTS["text"] for each in made)

        await all_at_once()
        began = time.process_time()
        await all_at_once()
        return time.process_time() - began


SCALES = (
    Scale("tools", (10, 100, 1_000, 10_000, 100_000), 100, tools),
    Scale("sessions", (1, 10, 100, 1_000, 10_000), 10, sessions),
    Scale("payload, JSON", (100, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000), 100_000, json_result),
    Scale("payload, SSE", (100, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000), 100_000, event_result),
    Scale("concurrency", (1, 10, 100, 1_000), 10, concurrency),
)
#: The largest size of ``--short``, as a part of the largest.
SHORT_PART = 10


def measure(scale: Scale, origin: str, size: int) -> float:
    """Return the least milliseconds of CPU of some runs."""
    taken: list[float] = []
    while len(taken) < RUNS and sum(taken) < ENOUGH_SECONDS:
        taken.append(asyncio.run(scale.run(origin, size)))
    return min(taken) * 1e3


def main() -> int:
    """Run the benchmark and return its exit code."""
    options = results.parser(__doc__).parse_args()
    lines: dict[str, list[tuple[int, float]]] = {}
    bounds: list[results.Bound] = []
    with bare_server.started() as url:
        origin = url.removesuffix("/mcp")
        for scale in SCALES:
            largest = scale.sizes[-1] // (SHORT_PART if options.short else 1)
            points = lines[scale.name] = []
            for size in scale.sizes:
                if size <= largest:
                    points.append((size, measure(scale, origin, size)))
                    print(f"{scale.name:<15} {size:>11,} {points[-1][1]:>10.2f} ms", flush=True)
            found = steepest(points, scale.first)
            name = f"slope of {scale.name}"
            bounds.append(results.Bound(name, found, MOST_SLOPE, at_most=True, unit="", limit=MOST_SLOPE))
            print(f"{scale.name:<15}       slope {found:>10.2f}")
    return results.finish(options, bounds, lines=lines)


if __name__ == "__main__":
    sys.exit(main())
