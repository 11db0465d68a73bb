"""CPU time of a tool call over HTTP: this client beside others, in one process.

The others are no dependencies of the project; they are installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e '.[trio]' mcp==2.3.0
    .cache/benchmark/bin/python benchmarks/bench_http.py [--check] [--all] [--json FILE]

All clients live in one process and take turns in blocks of calls, so that whatever else the
machine does falls on all of them. The server is another process (``bare_server.py``), whose time is
not counted. Each result is checked. Medians over the blocks are printed: microseconds of CPU per
call, calls per second, and how long single calls took.

``--check`` ends with 1 where the official client takes fewer times our CPU than ``REQUIRED``
says, or a call of ours takes more with a thousand at once than ``MOST_OF_A_CROWD`` times
what it takes with sixteen. Without ``--all`` only what these bounds need is measured.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass

import bare_server
import results
from clients import ARGUMENTS, Case, Client, Figures, installed

OURS, OFFICIAL = "routermcp", "mcp"

#: What the official client has to take at least, as a multiple of ours: by framing of the
#: answer, letters of the result (0 for those that are sent), and calls at once.
REQUIRED = {
    ("mcp", 0, 1): 5.0,
    ("mcp", 0, 16): 8.0,
    ("events", 0, 1): 8.0,
    ("events", 0, 16): 10.0,
    ("mcp", 65536, 1): 4.0,
    ("mcp", 65536, 16): 5.0,
    ("events", 65536, 1): 5.0,
    ("events", 65536, 16): 6.0,
}
#: The most CPU of a call with a thousand at once, as a multiple of one with sixteen at once.
MOST_OF_A_CROWD = 2.2
CROWD = 1000
CONCURRENCIES = (1, 16, 256, CROWD)
#: Blocks of each client. The median of 7 stands still to about 5 %.
BLOCKS = 7
#: Calls of a block: long beside a scheduler's tick.
CALLS = 320


@dataclass(frozen=True, slots=True)
class Row:
    """What one client took in one case: medians over its blocks, times in microseconds."""

    client: str
    framing: str
    letters: int
    concurrency: int
    cpu: float
    calls_per_second: float
    p50: float
    p99: float
    p999: float


def row(client: str, key: tuple[str, int, int], blocks: list[Figures]) -> Row:
    """Put the blocks of a client together."""
    latencies = sorted(latency for block in blocks for latency in block.latencies)

    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))]

    return Row(
        client,
        *key,
        statistics.median(block.cpu for block in blocks),
        1e6 / statistics.median(block.elapsed for block in blocks),
        at(0.5),
        at(0.99),
        at(0.999),
    )


def measure(url: str, key: tuple[str, int, int], clients: dict[str, Client]) -> list[Row]:
    """Let the clients take turns in blocks of calls."""
    framing, letters, concurrency = key
    target = f"{url.removesuffix('/mcp')}/{framing}" + (f"/{letters}" if letters else "")
    case = Case(target, letters or len(ARGUMENTS["text"]), concurrency, max(CALLS, 2 * concurrency))
    if concurrency > 1:
        clients = {name: client for name, client in clients.items() if name != "socket"}
    blocks: dict[str, list[Figures]] = {name: [] for name in clients}
    for _ in range(BLOCKS):
        for name, client in clients.items():
            blocks[name].append(client(case))
    return [row(name, key, each) for name, each in blocks.items()]


def keys(everything: bool) -> list[tuple[str, int, int]]:
    """Return the cases, in the order of the table."""
    if not everything:
        return [*REQUIRED, ("mcp", 0, CROWD)]
    return [
        (framing, letters, concurrency)
        for letters in (0, 65536)
        for framing in ("mcp", "events")
        for concurrency in CONCURRENCIES
    ]


HEADINGS = "answer  letters at once client                  CPU of ours  calls/s      p50      p99    p99.9"


def line(each: Row, ours: Row) -> str:
    """Return a row of the table."""
    times = "".join(f" {value:>5.0f} us" for value in (each.p50, each.p99, each.p999))
    return (
        f"{each.framing:<7} {each.letters or 60:>7} {each.concurrency:>7} {each.client:<18}"
        f" {each.cpu:>5.0f} us {each.cpu / ours.cpu:>6.2f}x {each.calls_per_second:>8.0f}{times}"
    )


def misses(rows: list[Row]) -> list[str]:
    """Return the bounds that were not kept."""
    cpu = {(each.client, each.framing, each.letters, each.concurrency): each.cpu for each in rows}
    missed = [
        f"{framing} of {letters or 'few'} letters, {concurrency} at once: {ratio:.1f}x, at least {least:.0f}x"
        for (framing, letters, concurrency), least in REQUIRED.items()
        if (ratio := cpu[OFFICIAL, framing, letters, concurrency] / cpu[OURS, framing, letters, concurrency])
        < least
    ]
    crowd = cpu[OURS, "mcp", 0, CROWD] / cpu[OURS, "mcp", 0, 16]
    if crowd > MOST_OF_A_CROWD:
        missed.append(f"{CROWD} at once: {crowd:.1f}x of a call with 16 at once, at most {MOST_OF_A_CROWD}x")
    return missed


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--all", action="store_true", help="all clients that are installed, in all cases")
    options = parser.parse_args()
    clients = installed()
    if not options.all:
        clients = {name: clients[name] for name in (OURS, OFFICIAL)}
    rows: list[Row] = []
    print(HEADINGS)
    with bare_server.started() as url:
        for key in keys(options.all):
            # The official client is not asked where no bound needs it.
            wanted = clients if options.all or key in REQUIRED else {OURS: clients[OURS]}
            measured = measure(url, key, wanted)
            rows += measured
            print(*(line(each, measured[0]) for each in measured), sep="\n", flush=True)
    fields = [{name: getattr(each, name) for name in Row.__slots__} for each in rows]
    return results.finish(options, misses(rows), rows=fields)


if __name__ == "__main__":
    sys.exit(main())
