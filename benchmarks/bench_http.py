"""CPU time of a tool call over HTTP: this client beside others, in one process.

The others are no dependencies of the project; they are installed beside it::

    python -m venv .cache/benchmark && .cache/benchmark/bin/pip install -e '.[trio]' mcp==2.3.0
    .cache/benchmark/bin/python benchmarks/bench_http.py [--check] [--short] [--all] [--json FILE]

All clients live in one process and take turns in blocks of calls, so that whatever else the
machine does falls on all of them. The server is another process (``bare_server.py``), whose time is
not counted. Each result is checked. Medians over the blocks are printed: microseconds of CPU per
call, what that is of this client's in the same turn, calls per second, and how long single calls took.

``--check`` ends with 1 where the official client takes fewer times our CPU than ``MUST`` says, or a
call of ours takes more with a thousand at once than ``MOST_OF_A_CROWD`` times what it takes with
sixteen. Without ``--all`` only what these bounds need is measured.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import bare_server
import results
from clients import ARGUMENTS, OFFICIAL, OURS, SOCKET, THROUGH_HTTPX, Case, Client, Figures, installed


class Kind(NamedTuple):
    """What a call is like.

    Attributes:
        way: ``json`` or ``events``, as the answer is framed; ``tls`` and ``handshake`` are JSON over TLS,
            and of the era of sessions.
        letters: Of the result; 0 for those that are sent.
        concurrency: Calls at once.
    """

    way: str
    letters: int
    concurrency: int

    def __str__(self) -> str:
        size = f"{self.letters // 1024} KiB" if self.letters else "100 B"
        return f"{NAMES[self.way]} {size}, c={self.concurrency}"


LARGE = 65536
CROWD = 1000
MANY = 256
CONCURRENCIES = (1, 16, MANY, CROWD)
NAMES = {"json": "JSON", "events": "SSE", "tls": "JSON over TLS", "handshake": "JSON, handshake era"}
#: Where the server has each way.
PATHS = {"json": "mcp", "events": "events", "tls": "mcp", "handshake": "handshake"}
#: What the official client has to take at least, as a multiple of ours, and what it is to take one day.
MUST = {
    Kind("json", 0, 1): (7.0, 8.0),
    Kind("json", 0, 16): (11.0, 13.0),
    Kind("events", 0, 1): (10.0, 12.0),
    Kind("events", 0, 16): (14.0, 16.0),
    Kind("json", LARGE, 1): (5.0, 5.5),
    Kind("json", LARGE, 16): (6.5, 7.5),
    Kind("events", LARGE, 1): (6.3, None),
    Kind("events", LARGE, 16): (8.0, 10.0),
}
#: The most CPU of a call with a thousand at once, as a multiple of one with sixteen at once; no noise is
#: allowed beside it.
MOST_OF_A_CROWD, STRETCH_OF_A_CROWD = 2.2, 1.5
#: A thousand at once, and what it is compared with.
CROWDED, BESIDE = Kind("json", 0, CROWD), Kind("json", 0, 16)
#: Rows beside the table of ways, sizes and concurrencies.
EXTRA = [Kind(way, 0, concurrency) for way in ("tls", "handshake") for concurrency in (1, 16)]
#: Of these clients only the kinds that the bounds are of are measured.
FEW_KINDS = {THROUGH_HTTPX: [Kind("json", 0, 1), Kind("json", 0, 16)]}
#: MCP clients, which alone have an era.
SPEAKS_MCP = (OURS, OFFICIAL, "fastmcp")

#: Blocks of each client where a bound is at stake. The median of 7 stands still to about 5 %.
BLOCKS = 7
#: The same of ``--short``, and of what no bound is of.
FEW_BLOCKS = 3
#: Calls of a block: long beside a scheduler's tick.
CALLS, SHORT_CALLS = 320, 64


@dataclass(frozen=True, slots=True)
class Row:
    """What one client took in one case: medians over its blocks, times in microseconds."""

    client: str
    way: str
    letters: int
    concurrency: int
    cpu: float
    of_ours: float
    """The median of the multiples of this project's client in the same turns."""
    calls_per_second: float
    p50: float
    p99: float
    p999: float
    calls: int
    """Calls that the latencies are of."""

    @property
    def kind(self) -> Kind:
        """What was measured."""
        return Kind(self.way, self.letters, self.concurrency)


def row(client: str, kind: Kind, blocks: list[Figures], ours: list[Figures]) -> Row:
    """Put the blocks of a client together."""
    latencies = sorted(latency for block in blocks for latency in block.latencies)

    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))]

    return Row(
        client,
        *kind,
        statistics.median(block.cpu for block in blocks),
        statistics.median(block.cpu / beside.cpu for block, beside in zip(blocks, ours, strict=False)),
        1e6 / statistics.median(block.elapsed for block in blocks),
        at(0.5),
        at(0.99),
        at(0.999),
        len(latencies),
    )


def turns(client: str, kind: Kind, *, short: bool) -> int:
    """Return how many blocks a client has."""
    if client == OURS:
        return FEW_BLOCKS if short else BLOCKS
    if client == OFFICIAL and kind in MUST and not short:
        return BLOCKS
    # A block of so many calls is long by itself.
    return FEW_BLOCKS if kind.concurrency < MANY else 1


def can(client: str, kind: Kind, everything: bool) -> bool:
    """Whether a client is measured in a case."""
    if client == SOCKET and (kind.concurrency > 1 or kind.way == "tls"):
        return False
    if kind.way == "handshake" and client.partition(",")[0] not in SPEAKS_MCP:
        return False
    if kind not in FEW_KINDS.get(client, [kind]):
        return False
    # The bounds are of two clients, and where they are of one, the other is not asked.
    return everything or client == OURS or (client == OFFICIAL and kind in MUST)


def measure(url: str, kind: Kind, clients: dict[str, Client], *, short: bool) -> Iterator[Row]:
    """Let the clients take turns in blocks of calls."""
    calls = max(SHORT_CALLS if short else CALLS, 2 * kind.concurrency)
    target = f"{url.removesuffix('/mcp')}/{PATHS[kind.way]}" + (f"/{kind.letters}" if kind.letters else "")
    case = Case(target, kind.letters or len(ARGUMENTS["text"]), kind.concurrency, calls)
    brief = replace(case, calls=min(calls, max(CALLS, kind.concurrency)))
    blocks: dict[str, list[Figures]] = {name: [] for name in clients}
    for turn in range(BLOCKS):
        for name, client in clients.items():
            if turn < turns(name, kind, short=short):
                try:
                    blocks[name].append(client(case if name.startswith(OURS) else brief))
                except Exception as error:
                    if name.startswith(OURS):
                        raise
                    print(f"{kind!s:<31} {name:<18} gave up: {type(error).__name__}", flush=True)
    for name, each in blocks.items():
        if each:
            yield row(name, kind, each, blocks[OURS])


def kinds(everything: bool) -> list[Kind]:
    """Return the cases, in the order of the table."""
    if not everything:
        return [*MUST, CROWDED]
    table = [
        Kind(way, letters, concurrency)
        for letters in (0, LARGE)
        for way in ("json", "events")
        for concurrency in CONCURRENCIES
    ]
    return table + EXTRA


HEADINGS = f"{'kind':<31} {'client':<18}     CPU of ours  calls/s      p50      p99    p99.9"


def line(each: Row) -> str:
    """Return a row of the table."""
    times = "".join(f" {value:>5.0f} us" for value in (each.p50, each.p99, each.p999))
    taken = f"{each.cpu:>5.0f} us {each.of_ours:>6.2f}x {each.calls_per_second:>8.0f}"
    return f"{each.kind!s:<31} {each.client:<18} {taken}{times}"


def bounds(rows: list[Row]) -> list[results.Bound]:
    """Return what must hold."""
    found = {(each.client, each.kind): each for each in rows}
    least = [
        results.Bound(f"mcp: CPU of a call, {kind}", found[OFFICIAL, kind].of_ours, must, stretch=stretch)
        for kind, (must, stretch) in MUST.items()
    ]
    crowd = found[OURS, CROWDED].cpu / found[OURS, BESIDE].cpu
    name = f"CPU of a call, c={CROWD} of c=16"
    most = MOST_OF_A_CROWD
    return [*least, results.Bound(name, crowd, most, at_most=True, stretch=STRETCH_OF_A_CROWD, limit=most)]


def main() -> int:
    """Run the benchmark and return its exit code."""
    parser = results.parser(__doc__)
    parser.add_argument("--all", action="store_true", help="all clients that are installed, in all cases")
    options = parser.parse_args()
    clients = installed()
    rows: list[Row] = []
    print(HEADINGS)
    with ExitStack() as stack:
        plain = tls = stack.enter_context(bare_server.started())
        if options.all:
            certificate = stack.enter_context(bare_server.trusted_certificate())
            tls = stack.enter_context(bare_server.started(certificate))
        for kind in kinds(options.all):
            asked = {name: client for name, client in clients.items() if can(name, kind, options.all)}
            for each in measure(tls if kind.way == "tls" else plain, kind, asked, short=options.short):
                rows.append(each)
                print(line(each), flush=True)
    return results.finish(options, bounds(rows), rows=[asdict(each) for each in rows])


if __name__ == "__main__":
    sys.exit(main())
