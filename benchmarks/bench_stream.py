"""Long streams: many reports of progress, a result of 50 MB, and how soon the first event is delivered.

::

    .cache/benchmark/bin/python benchmarks/bench_stream.py [--check] [--short] [--json FILE]

* progress: CPU time of each report that a call delivers to a callback, of 10,000 and of 1,000.
* large: CPU time, time, and memory (``VmHWM`` over what it was before, Linux) of a result of 50 MB, as JSON
  and as one event of a stream.
* first: microseconds from the call until its first report is delivered, the server having sent it at once and
  the answer later.

Each is measured in processes of its own, which take turns. Beside this client stand the official one, and
bare httpx and aiohttp, that read the same bytes line by line and parse each message, without any check. Where
a client gives up, its error stands in the place of its figures. The number of reports and the size of the
result are checked.

``--check`` ends with 1 where this client takes more CPU than ``MOST_OF_HTTPX`` of what httpx takes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import bare_server
import results
from bench_list import peak_memory
from clients import ARGUMENTS, OFFICIAL, OURS

BASELINE = "httpx"
CLIENTS = (OURS, OFFICIAL, BASELINE, "aiohttp")

MANY, FEW = 10_000, 1_000
LARGE = 50_000_000
#: Calls of which the first report is timed.
FIRST_CALLS = 60
#: What is measured, by name: where the server has it, and how many calls there are.
STREAMS: dict[str, tuple[str, int]] = {
    "10,000 reports": (f"progress/{MANY}", 1),
    "1,000 reports": (f"progress/{FEW}", 5),
    "50 MB, JSON": (f"mcp/{LARGE}", 1),
    "50 MB, SSE": (f"events/{LARGE}", 1),
    "first event": ("late", FIRST_CALLS),
}
#: In ``--short``.
SHORT = ("1,000 reports", "first event")
#: The most CPU of this client, as a multiple of what bare httpx takes to read the same.
MOST_OF_HTTPX = {"10,000 reports": 1.25, "1,000 reports": 1.25, "50 MB, JSON": 0.75, "50 MB, SSE": 0.75}
#: Processes of each client.
RUNS, SHORT_RUNS = 3, 2
#: Seconds of a process, after which it has given up.
GIVE_UP_SECONDS = 60

OnReport = Callable[[], None]
Call = Callable[[OnReport], Awaitable[str]]
"""Makes a call and returns its text; the callback is called at each report."""


# ---- the clients ---------------------------------------------------------------------------------


async def _ours(url: str, use: Callable[[Call], Awaitable[Any]]) -> Any:
    client_of: Any = importlib.import_module("routermcp").RouterMCPClient
    async with client_of(url) as client:

        async def call(on_report: OnReport) -> str:
            made = await client.call_tool("echo", ARGUMENTS, on_progress=lambda _: on_report())
            return made.text

        return await use(call)


async def _official(url: str, use: Callable[[Call], Awaitable[Any]]) -> Any:
    client_of: Any = importlib.import_module(OFFICIAL).Client
    async with client_of(url) as client:

        async def call(on_report: OnReport) -> str:
            async def report(*_: Any) -> None:
                on_report()

            made = await client.call_tool("echo", ARGUMENTS, progress_callback=report)
            return made.content[0].text

        return await use(call)


_REQUEST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": ARGUMENTS, "_meta": {"progressToken": 1}},
}


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split what comes at its line feeds; the last line need not end in one."""
    pieces: list[bytes] = []
    async for chunk in chunks:
        first, *more = chunk.split(b"\n")
        pieces.append(first)
        for each in more:
            yield b"".join(pieces)
            pieces = [each]
    yield b"".join(pieces)


async def _read(chunks: AsyncIterator[bytes], on_report: OnReport) -> str:
    """Read the messages of a response, whatever its framing."""
    text = ""
    async for line in _lines(chunks):
        if line.startswith((b"data: ", b"{")):
            message = json.loads(line.removeprefix(b"data: "))
            if "method" in message:
                on_report()
            else:
                text = message["result"]["content"][0]["text"]
    return text


async def _httpx(url: str, use: Callable[[Call], Awaitable[Any]]) -> Any:
    async with importlib.import_module("httpx").AsyncClient(timeout=GIVE_UP_SECONDS) as client:

        async def call(on_report: OnReport) -> str:
            async with client.stream("POST", url, json=_REQUEST) as response:
                return await _read(response.aiter_bytes(), on_report)

        return await use(call)


async def _aiohttp(url: str, use: Callable[[Call], Awaitable[Any]]) -> Any:
    async with importlib.import_module("aiohttp").ClientSession() as client:

        async def call(on_report: OnReport) -> str:
            async with client.post(url, json=_REQUEST) as response:
                return await _read(response.content.iter_any(), on_report)

        return await use(call)


_OPEN: dict[str, Callable[[str, Callable[[Call], Awaitable[Any]]], Awaitable[Any]]] = {
    OURS: _ours,
    OFFICIAL: _official,
    "httpx": _httpx,
    "aiohttp": _aiohttp,
}

# ---- a process -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """What one client took for each call, or for the first event of it; or why there is no figure."""

    client: str
    stream: str
    cpu_ms: float = 0.0
    ms: float = 0.0
    mib: float = 0.0
    first_us: float = 0.0
    failed: str = ""


async def _measure(stream: str, call: Call) -> tuple[float, float, float, float]:
    """Make the calls and return what each took."""
    path, calls = STREAMS[stream]
    kind, _, size = path.partition("/")
    reports = {"progress": int(size or 0), "late": 1}.get(kind, 0)
    letters = len(ARGUMENTS["text"]) if kind in bare_server.STREAMED else int(size)
    firsts: list[float] = []
    if calls > 1:
        await call(lambda: None)
    before, cpu, clock = peak_memory(), time.process_time(), time.perf_counter()
    for _ in range(calls):
        seen: list[float] = []
        began = time.perf_counter()
        text = await call(lambda seen=seen: seen.append(time.perf_counter()))
        assert len(text) == letters
        assert len(seen) == reports
        firsts += [(seen[0] - began) * 1e6] if kind == "late" else []
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    each = (cpu / calls * 1e3, clock / calls * 1e3, peak_memory() - before)
    return *each, statistics.median(firsts) if firsts else 0.0


def in_this_process(client: str, stream: str, url: str) -> Row:
    """Measure one client, which may fail."""
    target = url.removesuffix("mcp") + STREAMS[stream][0]
    try:
        figures = asyncio.run(_OPEN[client](target, lambda call: _measure(stream, call)))
    except Exception as error:  # noqa: BLE001 - the outcome is what is measured
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        return Row(client, stream, failed=f"{type(error).__name__}: {str(error)[:80]}")
    return Row(client, stream, *figures)


def in_a_process(client: str, stream: str, url: str) -> Row:
    """Measure one client in a process of its own."""
    command = [sys.executable, __file__, "--client", client, "--stream", stream, "--url", url]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=GIVE_UP_SECONDS)
    except subprocess.TimeoutExpired:
        return Row(client, stream, failed=f"no answer in {GIVE_UP_SECONDS} s")
    return Row(**json.loads(done.stdout))


# ---- all -----------------------------------------------------------------------------------------


def middle(runs: list[Row]) -> Row:
    """Put the processes of a client together; one that failed is all there is to say."""
    failed = next((each for each in runs if each.failed), None)
    if failed is not None:
        return failed
    names = ("cpu_ms", "ms", "mib", "first_us")
    medians = {name: statistics.median(getattr(each, name) for each in runs) for name in names}
    return Row(runs[0].client, runs[0].stream, **medians)


def measure(stream: str, url: str, *, short: bool) -> list[Row]:
    """Let the clients take turns; one that has failed is not asked again."""
    found: dict[str, list[Row]] = {}
    clients = [name for name in CLIENTS if importlib.util.find_spec(name)]
    for _ in range(SHORT_RUNS if short else RUNS):
        for client in clients:
            runs = found.setdefault(client, [])
            if not any(each.failed for each in runs):
                runs.append(in_a_process(client, stream, url))
    return [middle(runs) for runs in found.values()]


def bounds(rows: list[Row]) -> list[results.Bound]:
    """Return what must hold; a client that failed has taken no CPU, and fails all of its bounds."""
    cpu = {(each.client, each.stream): each.cpu_ms or float("inf") for each in rows}
    return [
        results.Bound(
            f"CPU of {stream}, of httpx's", cpu[OURS, stream] / cpu[BASELINE, stream], most, at_most=True
        )
        for stream, most in MOST_OF_HTTPX.items()
        if (BASELINE, stream) in cpu
    ]


def line(each: Row) -> str:
    """Return a row of the table."""
    if each.failed:
        return f"{each.stream:<15} {each.client:<10} {each.failed}"
    first = f" {each.first_us:>8.0f} us" if each.first_us else ""
    taken = f"{each.cpu_ms:>8.1f} ms {each.ms:>8.1f} ms {each.mib:>6.1f} MiB"
    return f"{each.stream:<15} {each.client:<10} {taken}{first}"


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--stream", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(asdict(in_this_process(options.client, options.stream, options.url))))
        return 0
    rows: list[Row] = []
    print("stream          client          CPU        time     memory  first event")
    with bare_server.started() as url:
        for stream in SHORT if options.short else STREAMS:
            found = measure(stream, url, short=options.short)
            rows += found
            print(*map(line, found), sep="\n", flush=True)
    return results.finish(options, bounds(rows), rows=[asdict(each) for each in rows])


if __name__ == "__main__":
    sys.exit(main())
